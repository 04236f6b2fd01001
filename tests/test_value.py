"""The value of a message: both branches share their draws, and only what was said makes a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

import moot
from moot.environments import Environment, Episode, Turn
from moot.evaluation.table import value_table
from moot.protocols import Act, Message, MootError, Observation, Reply

SCENARIO = moot.load_scenario("camp_site")


class Waiter:
    """Asks for everything until it hears a kind word; then it takes what it is offered."""

    def reply(self, observation: Observation) -> Reply:
        kind = any(m.text == "please" and m.sender != observation.agent for m in observation.heard)
        if observation.standing is not None and kind:
            return Reply(act=Act.ACCEPT_PROPOSAL)
        return Reply(act=Act.PROPOSE, content={"take": dict(observation.public["items"])})


class Asker:
    """Says a kind word at first, with a chance that hangs on the seed; then offers the other one thing."""

    def reply(self, observation: Observation) -> Reply:
        if observation.turn == 0:
            said = "please" if observation.rng("kind").random() < 0.5 else "well"
            return Reply(act=Act.INFORM, text=said)
        items = observation.public["items"]
        return Reply(
            act=Act.PROPOSE, content={"take": {k: n - (k == "food") for k, n in items.items()}}
        )


SEATS = {"ann": Asker(), "bob": Waiter()}


def talk(first: str) -> Episode:
    """One that began with this word."""
    from moot.agents.seats import seat_all

    assert isinstance(SCENARIO, moot.Scenario)
    table = Environment(SCENARIO, seed=1)
    table.step(Reply(act=Act.INFORM, text=first))
    pools = {name: seat.pool for name, seat in seat_all(SEATS).items()}
    (episode,) = moot.play([table], pools)
    return episode


def test_a_kind_word_is_worth_the_deal_it_makes() -> None:
    kind = talk("please")
    assert kind.outcome.completed
    against = moot.message_value(kind, 0, SEATS, change="silence", replays=4)
    assert against is not None
    points = kind.outcome.utilities
    assert {a: e.value for a, e in against.agents.items()} == points
    assert against.joint.value == sum(points.values())
    assert (against.completed.value, against.joint.n) == (1, 4)
    assert against.joint.low == against.joint.high, "nothing else hangs on chance here"
    # Asked again, half of the seeds find the word anyhow.
    again = moot.message_value(kind, 0, SEATS, replays=40)
    assert again is not None
    assert 0.25 < again.completed.value < 0.75
    assert again.completed.low < again.completed.value < again.completed.high
    # The same message in its own place is worth nothing, whatever the seeds.
    same = moot.message_value(kind, 0, SEATS, change=Reply(act=Act.INFORM, text="please"))
    assert same is not None
    assert same.joint[:3] == (0, 0, 0)
    cold = moot.message_value(talk("well"), 0, SEATS, change=kind.messages[0], replays=4)
    assert cold is not None
    assert cold.completed.value == -1


def test_every_message_that_can_be_changed_has_a_value() -> None:
    episode = talk("please")
    values = list(moot.message_values(episode, SEATS, replays=2))
    assert [v.turn for v in values] == list(range(len(episode.turns)))
    assert values[1].data()["speaker"] == "bob"
    assert len(value_table(values).rows) == len(values)
    silent = list(moot.message_values(episode, SEATS, replays=2, change="silence"))
    assert [v.turn for v in silent] == [v.turn for v in values], "talk is legal at any time here"
    bad = Reply(act=Act.AGREE)
    assert moot.message_value(episode, 0, SEATS, change=bad) is None, "nobody may say that"


def test_recorded_seats_play_on(tmp_path: Path) -> None:
    run = moot.simulate(
        "task_market", agents={"*": "scripted:nash"}, episodes=1, out=tmp_path / "r"
    )
    (episode,) = run.episodes()
    values = list(moot.message_values(episode, replays=2))
    assert values, "oracles are shown everything in the forks too"
    assert all(abs(v.joint.value) < 1e-9 for v in values), "oracles say the same again"


def test_mistakes() -> None:
    episode = talk("please")
    with pytest.raises(MootError, match=r"no turn 99: it has 0 to"):
        moot.message_value(episode, 99, SEATS)
    with pytest.raises(MootError, match=">= 2"):
        moot.message_value(episode, 0, SEATS, replays=1)
    human = Turn(agent="ann", state="", message=episode.messages[0])
    with pytest.raises(MootError, match="human"):
        moot.message_value(episode.model_copy(update={"turns": (human,)}), 0, SEATS)
    error = episode.turns[0].model_copy(update={"message": None})
    assert moot.message_value(episode.model_copy(update={"turns": (error,)}), 0, SEATS) is None
    assert isinstance(episode.messages[0], Message)
