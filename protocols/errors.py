"""The one exception that a user's mistake raises, and the did-you-mean behind it.

Agents' mistakes are records (`ProtocolError` in `message.py`); only what a person typed wrong, or a
machine that fails, becomes a `MootError`. The command line prints it on one line and exits.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MootError(Exception):
    """What arrived, what was legal, what to type next, on one line.

    `usage` tells a mistake in what was asked (exit status 2) from a failure while doing it (1).
    """

    def __init__(self, text: str, *, usage: bool = True) -> None:
        super().__init__(text)
        self.usage = usage


class ContractError(AssertionError):
    """A promise that a protocol or an environment breaks, in one sentence (see the `check` modules)."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A closing hint: the nearest known word, else the whole list (at most twelve names)."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}" if names else "there are none"
