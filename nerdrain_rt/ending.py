"""How programs are asked to end: the signals for it, and the exit code that says so."""

from __future__ import annotations

import signal

INTERRUPTED = 130
"""Exit code of a program that was interrupted or terminated."""


def end_signals() -> list[signal.Signals]:
    """Those this platform has, Ctrl-C aside; without SIGHUP where `nohup` has the program ignore it."""
    known = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    return [it for it in known if it.name != "SIGHUP" or signal.getsignal(it) is not signal.SIG_IGN]
