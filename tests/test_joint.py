"""The open negotiator makes talk worth something; the oracle finds the largest Nash product."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.strategies import STRATEGIES
from moot.environments import WORLDS, Environment, Episode, Scenario, play
from moot.protocols import Act, Ended, Observation, Reply

QUICK = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 10**6)


def items(
    values: tuple[dict[str, float], dict[str, float]],
    deadline: int = 10,
    no_deal: float = 0.0,
    talk: bool = True,
    **counts: int,
) -> Scenario:
    """Ann and bob divide `counts`; `values` are theirs."""
    return WORLDS["item_division"].Scenario.model_validate(
        {
            "protocol": {"name": "alternating_offers", "deadline": deadline, "talk": talk},
            "items": counts,
            "roles": {
                name: {"values": v, "no_deal": no_deal}
                for name, v in zip(("ann", "bob"), values, strict=True)
            },
        }
    )


def price(least: float, most: float, **fields: Any) -> Scenario:
    """A trade between a seller who takes `least` and a buyer who pays `most`."""
    return WORLDS["price_bargaining"].Scenario.model_validate(
        {
            "protocol": {"name": "alternating_offers", "deadline": 10},
            "item": "kayak",
            "high": 100,
            "no_zone": True,
            "roles": {"seller": {"reserve": least}, "buyer": {"reserve": most}},
            **fields,
        }
    )


def drawn(world: str, seed: int) -> Scenario:
    return WORLDS[world].Generator().draw(random.Random(seed))


def meet(scenario: Scenario, one: Any, two: Any, episode: int = 0) -> Episode:
    """One episode; names are strategies, and `one` sits first."""
    agents = [STRATEGIES[a]() if isinstance(a, str) else a for a in (one, two)]
    seats = dict(zip(scenario.roles, agents, strict=True))
    oracles = frozenset(n for n, a in seats.items() if getattr(a, "sees_all", False))
    table = Environment(scenario, seed=5, episode=episode, sees_all=oracles)
    (played,) = play([table], {name: ScriptedPool(agent) for name, agent in seats.items()})
    return played


def utilities(episode: Episode) -> tuple[float, ...]:
    return tuple(episode.outcome.utilities[a] for a in episode.scenario.roles)


def said(episode: Episode, agent: str, act: Act) -> list[Any]:
    return [m.content for m in episode.messages if m.sender == agent and m.act is act]


COUNTS = st.tuples(*[st.integers(1, 4)] * 3)
POINTS = st.tuples(*[st.integers(0, 9)] * 3).filter(any)


@QUICK
@given(counts=COUNTS, one=POINTS, two=POINTS, episode=st.integers(0, 999))
def test_two_open_negotiators_reach_the_best_sum(
    counts: tuple[int, ...], one: tuple[int, ...], two: tuple[int, ...], episode: int
) -> None:
    kinds = ("book", "hat", "ball")
    values = tuple({k: float(v) for k, v in zip(kinds, side, strict=True)} for side in (one, two))
    scenario = items(values, **dict(zip(kinds, counts, strict=True)))  # type: ignore[arg-type]
    played = meet(scenario, "open", "open", episode)
    assert 3 <= len(played.messages) <= 6
    splits = [
        (sum(a * t for a, t in zip(one, take, strict=True)),
         sum(b * (n - t) for b, n, t in zip(two, counts, take, strict=True)))
        for take in ((x, y, z) for x in range(counts[0] + 1) for y in range(counts[1] + 1)
                     for z in range(counts[2] + 1))
    ]  # fmt: skip
    worthy = [u for u in splits if min(u) > 0]
    if worthy:  # nobody is left with nothing where that can be helped
        best = max((a + b, a * b) for a, b in worthy)
        a, b = utilities(played)
        assert (a + b, a * b) == best
    for agent in ("ann", "bob"):
        assert len(said(played, agent, Act.QUERY_REF)) <= 1
        told = [t for t in said(played, agent, Act.INFORM) if t is not None]
        assert len(told) <= 1
        for t in told:
            assert t.values == scenario.roles[agent].values  # type: ignore[attr-defined]


def test_dialogues_of_open_negotiators_vary() -> None:
    scenario = drawn("item_division", 3)
    shapes = {
        tuple((m.sender, m.act) for m in meet(scenario, "open", "open", i).messages)
        for i in range(60)
    }
    assert len(shapes) >= 4


@QUICK
@given(seed=SEEDS, other=st.sampled_from(("linear", "boulware", "conceder", "micro", "random")))
def test_open_asks_once_and_bargains_with_those_who_do_not_tell(seed: int, other: str) -> None:
    played = meet(drawn("item_division", seed), "open", other, seed)
    assert len(said(played, "ann", Act.QUERY_REF)) <= 1
    assert played.outcome.completed or other == "micro"


def test_without_talk_open_is_linear() -> None:
    scenario = items(({"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 3.0}), talk=False, a=2, b=2)
    kept = [
        [(m.act, m.content) for m in meet(scenario, name, "boulware").messages]
        for name in ("open", "linear")
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("deadline", range(2, 9))
@pytest.mark.parametrize("seat", [0, 1])
def test_on_its_last_turn_open_takes_what_beats_no_deal(deadline: int, seat: int) -> None:
    class Stingy:
        """Leaves the other one `a` of three."""

        def reply(self, observation: Observation) -> Reply:
            return Reply(act=Act.PROPOSE, content={"take": {"a": 2}})

    pair: Any = ("open", Stingy()) if seat == 0 else (Stingy(), "open")
    name = ("ann", "bob")[seat]
    heard = deadline > 2 or seat == 1  # else its only turn comes before any offer
    for no_deal, agreed in ((0.0, heard), (1.5, False)):
        scenario = items(({"a": 1.0}, {"a": 1.0}), deadline, no_deal, a=3)
        played = meet(scenario, *pair)
        assert (played.ended is Ended.AGREED) == agreed
        assert played.outcome.utilities[name] == (1.0 if agreed else no_deal)


def test_open_takes_more_than_its_fair_share_and_counters_less() -> None:
    class Tells:
        """Tells its values, then makes one offer again and again."""

        def __init__(self, take: dict[str, int]) -> None:
            self.take = take

        def reply(self, observation: Observation) -> Reply:
            if not any(m.sender == observation.agent for m in observation.heard):
                return Reply(act=Act.INFORM, content={"values": {"a": 3, "b": 1}})
            return Reply(act=Act.PROPOSE, content={"take": self.take})

    scenario = items(({"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 3.0}), a=2, b=2)
    generous = meet(scenario, Tells({"a": 1, "b": 0}), "open")
    assert utilities(generous)[1] == 1 * 1 + 2 * 3
    assert len(generous.messages) <= 4
    greedy = meet(scenario, Tells({"a": 1, "b": 2}), "open")
    assert greedy.messages[-1].id == 9, "it is taken on the last turn only"
    assert said(greedy, "bob", Act.PROPOSE)[0].take == {"a": 0, "b": 2}
    greedy = meet(scenario, "open", Tells({"a": 1, "b": 2}))
    assert greedy.messages[-1].id == 8, "the first seat's last turn is the last but one"
    assert greedy.outcome.completed


@QUICK
@given(least=st.integers(0, 99), most=st.integers(1, 100), episode=st.integers(0, 999))
def test_open_traders_meet_halfway_or_leave(least: int, most: int, episode: int) -> None:
    for name in ("open", "nash"):
        played = meet(price(least, most), name, name, episode)
        if least > most:
            assert played.ended is Ended.WALKED_AWAY
        else:
            assert played.outcome.deal == {"price": (least + most) // 2}


def test_halfway_is_on_a_tick_and_within_reserves_that_are_not() -> None:
    played = meet(price(12.5, 24.9, tick=5), "open", "open")
    assert played.outcome.deal == {"price": 15}
    assert min(utilities(played)) >= 0
    for name in ("open", "nash"):
        nothing = meet(price(10.5, 10.9), name, name)
        assert not nothing.outcome.completed, "no whole price lies between them"


@QUICK
@given(seed=SEEDS, world=st.sampled_from(("item_division", "price_bargaining")))
def test_two_oracles_reach_the_largest_nash_product(seed: int, world: str) -> None:
    scenario = drawn(world, seed)
    played = meet(scenario, "nash", "nash", seed)
    solution = WORLDS[world].solve(scenario)
    assert played.outcome.completed
    assert len(played.messages) == 2
    assert solution.nash(utilities(played)) == pytest.approx(solution.max_nash, abs=1e-9)


@QUICK
@given(
    counts=COUNTS, one=POINTS, two=POINTS,
    floors=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)  # fmt: skip
def test_oracles_heed_what_no_deal_is_worth(
    counts: tuple[int, ...], one: tuple[int, ...], two: tuple[int, ...], floors: tuple[int, int]
) -> None:
    kinds = ("book", "hat", "ball")
    scenario = items(
        tuple({k: float(v) for k, v in zip(kinds, side, strict=True)} for side in (one, two)),  # type: ignore[arg-type]
        **dict(zip(kinds, [2 * n for n in counts], strict=True)),
    )
    data = scenario.model_dump()
    for role, low in zip(data["roles"].values(), floors, strict=True):
        most = sum(role["values"][k] * n for k, n in data["items"].items())
        role["no_deal"] = min(low, most) - 0.5
    scenario = type(scenario).model_validate(data)
    played = meet(scenario, "nash", "nash")
    solution = WORLDS["item_division"].solve(scenario)
    assert solution.nash(utilities(played)) == pytest.approx(solution.max_nash, abs=1e-6)


def test_an_oracle_without_secrets_is_an_error_record() -> None:
    table = Environment(drawn("item_division", 1))
    (played,) = play([table], {"*": ScriptedPool(STRATEGIES["nash"]())})
    assert played.ended is Ended.BROKEN
    assert "sees_all" in played.why
