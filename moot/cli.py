"""The command line: the commands of the `cli_*` modules on one application, and how they end.

Every mistake of a user is one line on stderr. Exit status 2 for what was asked, 1 for what failed, and
after an interruption 128 and the number of its signal: 130 for Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

STOPPED = 128 + signal.SIGINT


def main() -> None:
    """Entry point of `moot`."""
    with _listening():
        try:
            if commands()(prog_name="moot", standalone_mode=False) == STOPPED:
                raise KeyboardInterrupt  # which is what the parser made that number of
        except SystemExit:
            raise
        except BaseException as e:
            from .terminal import fail

            words, status = _ended(e)
            if status > STOPPED - signal.SIGINT:
                gc.freeze()  # or Python goes through all of torch once more before it lets go
            if words:
                fail(words, status)
            sys.exit(status)


@contextmanager
def _listening() -> Generator[None]:
    """Before somebody listens there is nothing to keep: Ctrl-C ends the process without a word."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from .protocols.interrupt import listening

        with listening():
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def commands() -> Any:
    """The application, once its commands have put themselves on it: half a second of imports."""
    from . import cli_compare, cli_draft, cli_learn, cli_play, cli_report
    from .terminal import app

    assert all((cli_compare, cli_draft, cli_learn, cli_play, cli_report))
    return app


def _ended(e: BaseException) -> tuple[str, int]:
    """What the last line says, and the exit status. Raises what only a bug of ours can be."""
    import typer

    from .protocols import MootError
    from .protocols.interrupt import came
    from .terminal import Stopped

    number = came()
    if number is not None or isinstance(e, KeyboardInterrupt | Stopped):
        # Whatever else was raised may be what an interruption became on its way here.
        words = str(e) if isinstance(e, Stopped) else "stopped"
        return words, STOPPED if number is None else 128 + number
    if isinstance(e, MootError):
        return str(e), 2 if e.usage else 1
    if isinstance(e, typer.TyperException):
        # The parser's own words on one line; without arguments they are the help.
        words = e.format_message() if hasattr(e, "format_message") else str(e)
        return f"{words[0].lower()}{words[1:]} (moot --help)" if words else "", 2
    if isinstance(e, typer.Abort):
        return "the input has ended", 1
    if isinstance(e, BrokenPipeError):  # the reader of a pipe, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "", 1
    if isinstance(e, OSError):
        where = f" ({e.filename})" if e.filename else ""
        return f"{e.strerror or e}{where}", 1
    raise e
