# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry of `python -m nerdrain_gui`."""

import sys

from nerdrain_gui.app import main

sys.exit(main())
