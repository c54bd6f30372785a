# SPDX-License-Identifier: GPL-3.0-or-later
"""The desktop application: rain taken out of cameras, streams and files, in a window."""
