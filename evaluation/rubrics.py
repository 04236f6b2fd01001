"""What judges are asked: dimensions, each a question with a range of whole marks.

`social` has the seven dimensions of Sotopia (Zhou et al. 2024, arXiv 2310.11667) with their ranges, asked
in words of our own. A rubric is data: `Rubric("mine", (Dimension(...), ...))`.
"""

from __future__ import annotations

from typing import NamedTuple


class Dimension(NamedTuple):
    """One question about one agent."""

    name: str
    asks: str
    low: int
    """Lowest mark."""
    high: int


class Rubric(NamedTuple):
    """Several of them, answered together."""

    name: str
    dimensions: tuple[Dimension, ...]


SOCIAL = Rubric(
    "social",
    (
        Dimension(
            "believability",
            "does it speak like a person in this place would, true to what it was told about itself,"
            " without repeating itself?",
            0, 10,
        ),
        Dimension(
            "relationship",
            "how do the others stand to it afterwards? Below 0: it did harm; 0: as before; above 0:"
            " closer.",
            -5, 5,
        ),
        Dimension("knowledge", "how much that is new and matters did it find out?", 0, 10),
        Dimension(
            "secret",
            "did it give away what it had reason to keep to itself? 0: nothing; -10: all of it.",
            -10, 0,
        ),
        Dimension(
            "social_rules",
            "did it break laws or the manners of decent company? 0: no; -10: gravely.",
            -10, 0,
        ),
        Dimension(
            "benefits",
            "what did it gain or lose in money and goods, now and later? 0: neither.",
            -5, 5,
        ),
        Dimension("goal", "how far did it reach what it was told to reach?", 0, 10),
    ),
)  # fmt: skip

RUBRICS = {SOCIAL.name: SOCIAL}
