"""The terminal: the application that commands hang on, its two consoles, and how it fails.

Every mistake of a user ends in one line on stderr (`cli.py` has the exit status).
With `--json`, stdout holds one JSON document and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .protocols import MootError
from .protocols.interrupt import came, settle

app = typer.Typer(
    name="moot",
    help="Language-model agents that talk through protocols, act in environments and learn together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]

COLUMNS = (
    SpinnerColumn(),
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[note]}"),
    TimeRemainingColumn(),
)
"""Of a progress bar; its task has a `note`."""


class Stopped(MootError):
    """The user has stopped it: what is kept, and what to type to go on."""


@contextmanager
def stoppable(kept: Callable[[], str]) -> Generator[None]:
    """An interruption within becomes `Stopped`, in the words of `kept`."""
    try:
        yield
    except BaseException as e:
        if not isinstance(e, KeyboardInterrupt) and came() is None:
            raise
        settle()
        raise Stopped(f"stopped; {kept()}", usage=False) from None


def fail(words: str, status: int) -> NoReturn:
    err.print(Text.assemble(("moot: ", "bold red"), words), soft_wrap=True)
    sys.exit(status)


def tell(document: object) -> None:
    """The one JSON document of `--json`."""
    from .evaluation.written import written

    print(written(document, ensure_ascii=False))


def notice(text: str) -> None:
    """Something to know, on stderr."""
    if text:
        err.print(Text(f"moot: {text}"), soft_wrap=True)


def seat_pairs(pairs: list[str]) -> dict[str, str]:
    """Seats as they are typed, `ROLE=SPEC`. Raises `MootError`."""
    seats: dict[str, str] = {}
    for pair in pairs:
        name, equals, spec = pair.partition("=")
        if not (name and equals and spec):
            raise MootError(f"--agents {pair!r}: write ROLE=SPEC, such as '*=scripted:linear'")
        if name in seats:
            raise MootError(f"--agents names {name!r} twice")
        seats[name] = spec
    return seats
