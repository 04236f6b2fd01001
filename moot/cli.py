"""The command line: the commands of the `cli_*` modules on one application, and how they end.

Every mistake of a user is one line on stderr: exit status 2 for what was asked, 1 for what failed.
"""

from __future__ import annotations

import os
import sys

import typer

from . import cli_compare, cli_draft, cli_learn, cli_play, cli_report
from .protocols import MootError
from .terminal import app, fail

__all__ = ["cli_compare", "cli_draft", "cli_learn", "cli_play", "cli_report", "main"]


def main() -> None:
    """Entry point of `moot`."""
    try:
        app(prog_name="moot", standalone_mode=False)
    except MootError as e:
        fail(str(e), 2 if e.usage else 1)
    except typer.TyperException as e:
        # The parser's own words on one line; without arguments they are the help.
        words = e.format_message() if hasattr(e, "format_message") else str(e)
        if words:
            fail(f"{words[0].lower()}{words[1:]} (moot --help)", 2)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        fail("stopped", 1)
    except BrokenPipeError:  # the reader of a pipe, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as e:
        where = f" ({e.filename})" if e.filename else ""
        fail(f"{e.strerror or e}{where}", 1)
