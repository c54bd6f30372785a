"""Entry of the `nerdrain` command: errors as one line, exit codes, a quick end when interrupted."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM, treated as Ctrl-C up to the exit code."""


def main() -> NoReturn:
    """Run the command line; exit codes: 0 done, 1 failed, 2 refused, 130 interrupted, 143 terminated."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        code = _run()
    except _Terminated:
        code = TERMINATED
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code in (INTERRUPTED, TERMINATED):
        # A network on a slow processor may be minutes inside a frame; its thread is not waited for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    from nerdrain_rt import console
    from nerdrain_rt.cli import app
    from nerdrain_rt.errors import DerainError, UsageError

    is_verbose = "--verbose" in sys.argv or "-v" in sys.argv
    try:
        app(prog_name="nerdrain")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            console.note("interrupted")
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except DerainError as error:
        console.error(error)
        if is_verbose:
            console.stderr.print_exception()
        return 2 if isinstance(error, UsageError) else 1
    except Exception as error:
        if is_verbose:
            console.stderr.print_exception()
        console.error(f"unexpected {type(error).__name__}: {error}; run again with --verbose and report it")
        return 1
    return 0


def _raise_terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


if __name__ == "__main__":
    main()
