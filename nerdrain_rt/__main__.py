"""Entry of the `nerdrain` command: errors as one line, exit codes, a quick end when interrupted."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import NoReturn

from nerdrain_rt.ending import INTERRUPTED, end_signals


def main() -> NoReturn:
    """Run the command line; exit codes: 0 done, 1 failed, 2 refused, 130 interrupted or terminated."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold what it cannot write
    for number in end_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        # A network on a slow processor may be minutes inside a frame; its thread is not waited for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; KeyboardInterrupt passes."""
    from nerdrain_rt import console
    from nerdrain_rt.cli import app
    from nerdrain_rt.errors import DerainError, UsageError

    is_verbose = "--verbose" in arguments or "-v" in arguments
    try:
        app(arguments, prog_name="nerdrain")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            console.note("interrupted")
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except DerainError as error:
        console.error(error)
        if is_verbose:
            console.stderr.print_exception()
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        console.error(f"{error.filename or 'output'}: {error.strerror or error}")
        return 1
    except Exception as error:
        if is_verbose:
            console.stderr.print_exception()
        console.error(f"unexpected {type(error).__name__}: {error}; run again with --verbose and report it")
        return 1
    return 0


if __name__ == "__main__":
    main()
