"""Numbers with their nouns: 1 episode, 2 episodes."""

from __future__ import annotations


def counted(number: float, noun: str, *, many: str | None = None, form: str = ",") -> str:
    """The number in `form` and the noun, in the plural (`many`, or with an s) unless it reads 1."""
    shown = format(number, form)
    return f"{shown} {noun if shown == '1' else many or f'{noun}s'}"
