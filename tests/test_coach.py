"""A coach whispers to one agent before its moves: who hears it, what it costs, how it fails."""

from __future__ import annotations

from typing import Any

import pytest

import moot
from moot.environments import Environment, Episode, Scenario, replay
from moot.environments.check import check_environment
from moot.environments.load import load_scenario
from moot.protocols import Ended, MootError, Observation, Reply

CAMP: dict[str, Any] = {
    "name": "camp",
    "world": "item_division",
    "protocol": {"name": "alternating_offers", "deadline": 4},
    "items": {"food": 2, "water": 1},
    "roles": {
        "ann": {"values": {"food": 3, "water": 1}, "brief": "You are hungry."},
        "bob": {"values": {"food": 1, "water": 3}},
    },
    "coach": {"of": "bob", "brief": "See to it that they agree."},
}


def camp(**change: Any) -> Scenario:
    loaded = load_scenario({**CAMP, **change})
    assert isinstance(loaded, Scenario)
    return loaded


def talk() -> Reply:
    return Reply(act="inform", text="well")


def test_the_coach_speaks_before_each_move_of_its_agent_and_only_that_agent_hears() -> None:
    table = Environment(camp())
    order: list[str] = []
    while table.speaker is not None:
        order.append(table.speaker)
        table.step(Reply(act="inform", text=f"by {table.speaker}"))
    assert order == ["ann", "coach", "bob", "ann", "coach", "bob"]
    assert table.ended is Ended.LIMIT  # four messages of the protocol; whispers are none
    assert [m.sender for m in table.observe("bob").heard] == order
    assert [m.sender for m in table.observe("ann").heard] == ["ann", "bob", "ann", "bob"]
    assert [m.sender for m in table.episode().messages] == order


def test_the_coach_sees_what_its_agent_sees_and_its_own_goal() -> None:
    table = Environment(camp())
    table.step(talk())
    seen = table.observe()
    assert seen.agent == seen.role == "coach"
    assert "See to it that they agree." in seen.card
    assert "You are hungry." not in seen.card
    assert seen.private == table.observe("bob").private
    assert [o.move.act for o in seen.options] == ["inform"]
    assert table.observe("bob").options == ()
    assert "See to it" not in table.observe("bob").card


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(act="propose", content={"take": {"food": 1, "water": 1}}), "illegal-act"),
        (Reply(act="inform", content={"values": {}}), "bad-content"),
        (Reply(act="inform", to="ann"), "bad-receiver"),
        (Reply(act="inform", text="x" * 161), "too-long"),
        (Reply(raw="be brave"), "unreadable"),
    ],
)
def test_a_whisper_is_words_and_a_bad_coach_forfeits(reply: Reply, kind: str) -> None:
    table = Environment(camp())
    table.step(talk())
    for _ in range(3):
        assert table.speaker == "coach"
        error = table.step(reply).error
        assert error is not None
        assert error.kind == kind
    assert table.ended is Ended.FORFEITED


def test_nobody_speaks_for_the_coach_nor_before_it() -> None:
    table = Environment(camp())
    early = table.step(talk(), "coach").error
    assert early is not None
    assert early.kind == "not-your-turn"
    table.step(talk())
    hasty = table.step(talk(), "bob").error
    assert hasty is not None
    assert hasty.legal == "coach has the floor"


def test_the_promises_of_a_world_hold_with_a_coach() -> None:
    tried = check_environment(camp(), episodes=12)
    assert tried.varied > 0


class Advice:
    def reply(self, observation: Observation) -> Reply:
        return Reply(act="inform", text=f"{observation.left} left")


def test_a_run_seats_a_coach_and_reads_back(tmp_path: Any) -> None:
    run = moot.simulate(
        CAMP, agents={"*": "scripted:open", "coach": Advice()}, episodes=3, out=tmp_path / "run"
    )
    for episode in run.episodes():
        assert episode.seats["coach"].endswith("Advice")
        whispers = [t.message for t in episode.turns if t.agent == "coach"]
        assert whispers
        assert all(m is not None and m.receivers == ("bob",) for m in whispers)
        again: Episode = replay(episode).episode()
        assert again.line() == episode.line()


def test_scripted_agents_coach_in_silence_and_a_coach_has_to_be_named(tmp_path: Any) -> None:
    run = moot.simulate(CAMP, agents={"*": "scripted:open"}, episodes=5, out=tmp_path / "run")
    for episode in run.episodes():
        assert episode.ended is Ended.AGREED
        assert {t.message.text for t in episode.turns if t.agent == "coach" and t.message} == {""}
    with pytest.raises(MootError, match=r"nobody coaches; .*--agents coach=SPEC"):
        moot.simulate({**CAMP, "agents": {"ann": "nano", "bob": "nano"}}, episodes=1)


def test_an_agreement_is_ranked_by_the_offer_and_not_by_a_whisper() -> None:
    check_environment(camp(protocol={"name": "alternating_offers", "deadline": 12}), episodes=40)


def test_a_coach_of_nobody_is_refused() -> None:
    with pytest.raises(MootError, match=r"coach.of: there is no seat 'bobb'; did you mean 'bob'"):
        camp(coach={"of": "bobb"})
    with pytest.raises(MootError, match="a seat cannot be called 'coach'"):
        camp(roles={"ann": CAMP["roles"]["ann"], "coach": CAMP["roles"]["bob"]}, coach=None)
