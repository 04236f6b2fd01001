"""Simultaneous moves: the protocol, matrix games and their equilibria, and Axelrod's round robin."""

from __future__ import annotations

import pytest

from moot.environments import ProtocolChoice
from moot.protocols import MootError, check_protocol, joint_action


@pytest.mark.parametrize("talk", [0, 1, 3])
def test_joint_action_keeps_its_promises(talk: int) -> None:
    notes = check_protocol(joint_action(talk, 13), paths=60)
    assert notes.messages == 60 * 13 + 15 * 20, "no move ends it, only the deadline or the world"
    assert notes.seen[""] >= {("request", True)}
    assert (("inform", True) in notes.seen[""]) == (talk > 0)


def test_the_default_deadline_serves() -> None:
    assert check_protocol(joint_action(), paths=30).messages == 30 * 60


def test_no_talk_is_written_as_zero() -> None:
    assert ProtocolChoice.model_validate({"name": "joint_action", "talk": 0}).build() == (
        joint_action(talk=0)
    )
    for bad in (-1, None, True, 1.5):
        choice = ProtocolChoice.model_validate({"name": "joint_action", "talk": bad})
        with pytest.raises(MootError, match="talk is a whole number >= 0"):
            choice.build()
