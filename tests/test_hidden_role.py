"""The hidden role: the debate, the perfect listener against brute force, and who finds whom."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.hidden_role import suspicion
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, play
from moot.environments.check import check_environment
from moot.environments.load import load_scenario
from moot.environments.worlds.hidden_role import HiddenRole
from moot.environments.worlds.hidden_scenario import (
    ANIMALS,
    FEATURES,
    HiddenGenerator,
    HiddenScenario,
    posterior,
)
from moot.protocols import Act, Ended, Reply, check_protocol, debate

GAME: dict[str, Any] = {
    "protocol": {"name": "debate", "rounds": 1},
    "features": ["flies", "swims"],
    "things": {"owl": ["flies"], "otter": ["swims"], "duck": ["flies", "swims"], "cat": []},
    "common": "owl",
    "different": "duck",
    "liar": "cleo",
    "roles": {"ann": {}, "bob": {}, "cleo": {}},
}


def game(**fields: Any) -> HiddenScenario:
    return HiddenScenario.model_validate({**GAME, **fields})


def meet(scenario: HiddenScenario, name: str, liar: str | None = None) -> Episode:
    agents = dict.fromkeys(scenario.roles, name) | ({scenario.liar: liar} if liar else {})
    table = Environment(scenario, seed=1, sees_all=frozenset(scenario.roles))
    (played,) = play([table], {a: ScriptedPool(Scripted(n)) for a, n in agents.items()})
    assert played.ended is Ended.DONE, played.why
    assert all(turn.error is None for turn in played.turns)
    return played


def share(name: str, liar: str | None, result: str, count: int = 60, **fields: Any) -> float:
    """Mean of a result over drawn games."""
    kind = HiddenGenerator(**{"judge": 0.0, "aware": 1.0, **fields})
    drawn = (kind.draw(random.Random(n)) for n in range(count))
    return sum(meet(s, name, liar).outcome.results[result] for s in drawn) / count


# ---- the protocol and the rules ------------------------------------------------------------------


@pytest.mark.parametrize("judge", [False, True])
def test_debates_keep_their_promises(judge: bool) -> None:
    for rounds in (1, 3):
        notes = check_protocol(debate(rounds, judge), paths=60)
        speaker = "debater" if judge else ""
        assert notes.seen[speaker] == {("inform", True), ("inform", False), ("request", True)}
        assert ("judge" in notes.seen) == judge


def test_a_debate_by_hand() -> None:
    table = Environment(game())
    assert table.observe("cleo").private == {"thing": "duck", "liar": True}
    assert table.observe("ann").private == {"thing": "owl", "liar": False}
    for feature, holds in (("flies", True), ("swims", False), ("swims", True)):
        claim = {"feature": feature, "holds": holds}
        assert table.step(Reply(act=Act.INFORM, content=claim)).message
    assert table.step(Reply(act=Act.REQUEST, content={"accuse": "ann"})).error, "not oneself"
    assert table.step(Reply(act=Act.REQUEST, content={"accuse": "cleo"})).told is None
    assert [m.act for m in table.observe("bob").heard] == [Act.INFORM] * 3, "votes are sealed"
    table.step(Reply(act=Act.REQUEST, content={"accuse": "cleo"}))
    (told,) = table.step(Reply(act=Act.REQUEST, content={"accuse": "ann"})).told or ()
    assert told.text == (
        "ann accuses cleo, bob accuses cleo, cleo accuses ann. Accused: cleo. The liar was cleo, with duck;"
        " the others had owl."
    )
    outcome = table.episode().outcome
    assert outcome.utilities == {"ann": 1, "bob": 1, "cleo": 0}
    assert outcome.completed
    assert outcome.results["votes_right"] == outcome.results["honesty"] == 1
    assert outcome.results["listener_right"] == 0.5, "by claims alone it is bob or cleo"


def test_a_tie_lets_the_liar_go_and_a_judge_has_its_own_point() -> None:
    fields = {"protocol": {"name": "debate", "rounds": 1, "judge": True}}
    table = Environment(game(**fields, roles={"judge": {}, **GAME["roles"]}))
    assert table.observe("judge").private == {}
    for _ in range(3):
        table.step(Reply(act=Act.INFORM, text="I say nothing."))
    assert table.speaker == "judge"
    assert table.step(Reply(act=Act.CONFIRM, content={"accuse": "cleo"})).message
    for whom in ("bob", "cleo", "ann"):
        table.step(Reply(act=Act.REQUEST, content={"accuse": whom}))
    outcome = table.episode().outcome
    assert outcome.utilities == {"judge": 1, "ann": 0, "bob": 0, "cleo": 1}
    assert outcome.deal is not None
    assert outcome.deal["accused"] is None
    assert outcome.results == {
        "found": 0, "votes_right": 0.5, "posterior": pytest.approx(1 / 3),
        "listener_right": pytest.approx(1 / 3), "verdict_right": 1,
    }  # fmt: skip


def test_a_feature_is_claimed_once() -> None:
    table = Environment(game(protocol={"name": "debate", "rounds": 3}, patience=9))
    for holds in (True, False):
        for _ in range(3):
            feature = "flies" if holds else "swims"
            claim = Reply(act=Act.INFORM, content={"feature": feature, "holds": holds})
            assert table.step(claim).message
            if holds and table.speaker == "ann":
                assert table.step(claim).error, "ann has spoken of that"
    choices = table.observe().schema()["anyOf"]
    assert ["content" in c["properties"] for c in choices] == [False], "only words are left"


def test_nobody_sees_another_thing() -> None:
    """Other secrets of the liar, another liar: the same bytes for everybody else."""
    for changed in ({"different": "cat"}, {"liar": "bob", "different": "otter"}):
        for aware in (True, False):
            one = Environment(game(aware=aware)).observe("ann").dump()
            assert Environment(game(aware=aware, **changed)).observe("ann").dump() == one
    unaware = Environment(game(aware=False)).observe("cleo")
    assert unaware.private == {"thing": "duck"}
    other = Environment(game(aware=False, common="duck", different="owl", liar="bob")).observe(
        "cleo"
    )
    assert unaware.dump() == other.dump(), "who does not know cannot tell its own role"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"common": "eel"}, "'eel' is not one of the things"),
        ({"different": "owl"}, "which is what all have"),
        ({"liar": "dan"}, "want one of ann, bob, cleo"),
        ({"things": {"owl": ["flies"], "duck": ["flies"]}}, "same features"),
        ({"things": {"owl": ["sings"], "duck": []}}, "'sings' is not one"),
        ({"protocol": {"name": "debate", "judge": True}}, "wants 1"),
        ({"roles": {"cleo": {}, "bob": {}}}, "3 or more"),
        ({"protocol": "joint_action"}, "want debate"),
    ],
    ids=str,
)
def test_what_cannot_be_played_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        game(**fields)


def test_the_generator_draws_what_it_promises() -> None:
    assert len(set(map(frozenset, ANIMALS.values()))) == len(ANIMALS)
    for number in range(60):
        scenario = HiddenGenerator(apart=(2, 3)).draw(random.Random(number))
        one, two = (set(scenario.things[t]) for t in (scenario.common, scenario.different))
        assert 2 <= len(one ^ two) <= 3
        reference = HiddenRole.solve(scenario).reference["features that tell"]
        assert set(reference) == one ^ two
    with pytest.raises(ValueError, match="agents: got 2 to 4"):
        HiddenGenerator(agents=(2, 4))
    judged = {"world": "hidden_role", "generate": {"judge": 1, "agents": (3, 3)}}
    assert check_environment(judged, episodes=4).messages > 30


# ---- the perfect listener ------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    agents=st.integers(3, 4),
    slip=st.floats(0.01, 0.49),
)
def test_the_listener_against_brute_force(seed: int, agents: int, slip: float) -> None:
    """Bayes' rule over every (liar, common thing, different thing) one by one."""
    rng = random.Random(seed)
    things = {a: [FEATURES[i] for i in ANIMALS[a]] for a in rng.sample(sorted(ANIMALS), 5)}
    claims = {
        f"a{i}": [(f, rng.random() < 0.5) for f in rng.sample(FEATURES, rng.randint(0, 3))]
        for i in range(agents)
    }
    weights = dict.fromkeys(claims, 0.0)
    for liar, common, different in itertools.product(claims, things, things):
        if common == different:
            continue
        weight = 1.0
        for agent, said in claims.items():
            has = things[different if agent == liar else common]
            for feature, holds in said:
                weight *= 1 - slip if (feature in has) == holds else slip
        weights[liar] += weight
    total = sum(weights.values())
    assert posterior(things, claims, slip) == pytest.approx(
        {a: w / total for a, w in weights.items()}
    )


def test_players_suspect_by_the_same_rule() -> None:
    """A judge, who has no thing, believes what the perfect listener does."""
    kind = HiddenGenerator(judge=1.0)
    for number in range(30):
        scenario = kind.draw(random.Random(number))
        table = Environment(scenario)
        rng = random.Random(number)
        claims: dict[str, list[tuple[str, bool]]] = {a: [] for a in scenario.debaters()}
        while table.speaker != "judge":
            agent = table.speaker
            assert agent is not None
            feature = rng.choice([f for f in FEATURES if f not in dict(claims[agent])])
            claims[agent].append((feature, rng.random() < 0.5))
            content = {"feature": feature, "holds": claims[agent][-1][1]}
            assert table.step(Reply(act=Act.INFORM, content=content)).message
        assert suspicion(table.observe("judge")) == pytest.approx(
            posterior(scenario.things, claims, scenario.slip)
        )


def test_an_own_thing_tells_more() -> None:
    """Who has an owl and knows that it is not the liar is sure of more than one who only listens."""
    table = Environment(game(slip=0.01))
    for feature, holds in (("flies", True), ("flies", True), ("swims", True)):
        table.step(Reply(act=Act.INFORM, content={"feature": feature, "holds": holds}))
    ann = suspicion(table.observe("ann"))
    assert ann["ann"] == 0
    assert ann["cleo"] > 0.95


# ---- players -------------------------------------------------------------------------------------


def test_the_truth_finds_the_liar_and_lying_helps_it() -> None:
    candid = share("candid", None, "found")
    assert candid > 0.75
    assert share("candid", None, "honesty", count=20) == 1
    assert share("sensible", "sensible", "found") < candid - 0.2
    assert share("sensible", "echo", "found") < candid - 0.1
    assert share("candid", None, "found", agents=(5, 5), rounds=(4, 4)) > candid


def test_listeners_beat_chance_and_the_oracle_is_never_wrong() -> None:
    assert share("random", None, "votes_right") < 0.55
    assert share("candid", None, "votes_right") > 0.8
    for number in range(20):
        scenario = HiddenGenerator().draw(random.Random(number))
        outcome = meet(scenario, "oracle").outcome
        assert sum(outcome.utilities.values()) == HiddenRole.solve(scenario).max_joint


def test_who_does_not_know_is_found_more_often() -> None:
    assert share("sensible", None, "found", aware=0.0) > share("sensible", None, "found") + 0.2


def test_shipped_games() -> None:
    scenario = load_scenario("odd_one_out")
    assert isinstance(scenario, HiddenScenario)
    assert HiddenRole.solve(scenario).reference == {"features that tell": ["has fur", "lays eggs"]}
    assert HiddenRole.solve(scenario).max_joint == 3
