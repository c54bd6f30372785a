# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry of `python -m nerdrain_gui`."""

from nerdrain_gui.app import main

if __name__ == "__main__":
    main()
