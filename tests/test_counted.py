"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from moot.protocols import PROTOCOLS
from moot.protocols.counted import counted


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [(0, ",", "0 games"), (1, ",", "1 game"), (1200, ",", "1,200 games"), (1.04, ".0f", "1 game"),
     (1.04, ".4g", "1.04 games"), (1.0, "g", "1 game")],
)  # fmt: skip
def test_one_is_alone(number: float, form: str, text: str) -> None:
    assert counted(number, "game", form=form) == text


def test_an_irregular_plural() -> None:
    assert counted(2, "reply", many="replies") == "2 replies"


def test_protocols_of_one_message_say_so() -> None:
    protocol = PROTOCOLS["alternating_offers"](deadline=1)
    from moot.protocols.wire import rules

    assert "At most 1 message is said in all." in rules(protocol, "", lambda move: "", False)
