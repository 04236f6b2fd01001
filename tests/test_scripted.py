"""Each strategy's defining property, on random scenarios of the bargaining worlds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.bargaining import at_least, conceding, lapse
from moot.agents.scripted.players import PLAYERS
from moot.agents.scripted.strategies import STRATEGIES, Scripted
from moot.environments import WORLDS, Environment, Episode, Scenario, play
from moot.protocols import Act, Ended, MootError, Observation, Reply

QUICK = settings(max_examples=60, deadline=None)
BARGAINING = ("item_division", "price_bargaining")
TACTICAL = [w for w in WORLDS if w not in PLAYERS]
"""Worlds that the tactics play; the others have players of their own."""


def draw(world: str, seed: int, deadline: int | None = 10, **fields: Any) -> Scenario:
    """A random scenario; `talk` and other fields as given."""
    scenario = WORLDS[world].Generator().draw(random.Random(seed))
    data = scenario.model_dump(exclude_unset=True)
    if world in BARGAINING:
        talk = fields.pop("talk", True)
        data["protocol"] = {"name": "alternating_offers", "deadline": deadline, "talk": talk}
    return type(scenario).model_validate({**data, **fields})


class Watched:
    """An agent that keeps what it saw and said."""

    def __init__(self, agent: Any) -> None:
        self.agent, self.log = agent, list[tuple[Observation, Reply]]()

    def reply(self, observation: Observation) -> Reply:
        reply = self.agent.reply(observation)
        self.log.append((observation, reply))
        return reply


class Talker:
    """Only talks: lets time pass."""

    def reply(self, observation: Observation) -> Reply:
        return Reply(act=Act.INFORM, text="Hm.")


class Says:
    """Offers what a function of its space picks, and never accepts."""

    def __init__(self, pick: Any) -> None:
        self.pick = pick

    def reply(self, observation: Observation) -> Reply:
        space = observation.space
        assert space is not None
        return Reply(act=Act.PROPOSE, content=space.offers[self.pick(space)])


def meet(scenario: Scenario, one: Any, two: Any, episode: int = 0) -> Episode:
    """One episode; `one` sits first."""
    seats = dict(zip(scenario.roles, (one, two), strict=True))
    oracles = frozenset(n for n, a in seats.items() if getattr(a, "sees_all", False))
    table = Environment(scenario, seed=5, episode=episode, sees_all=oracles)
    (played,) = play([table], {name: ScriptedPool(agent) for name, agent in seats.items()})
    return played


def offers(watched: Watched) -> list[float]:
    """Own utility of the offers made, in order."""
    return [
        observation.space.utility(reply.content, mine=True)  # type: ignore[union-attr,arg-type]
        for observation, reply in watched.log
        if reply.act == Act.PROPOSE
    ]


def sound(episode: Episode) -> bool:
    """Every reply was legal and nobody broke."""
    fine = episode.ended not in (Ended.BROKEN, Ended.FORFEITED)
    return fine and all(turn.error is None for turn in episode.turns)


@pytest.mark.parametrize("world", TACTICAL)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_legal_in_every_world(name: str, world: str) -> None:
    def tables() -> Iterator[Environment]:
        for i in range(60):
            scenario = draw(
                world, i, deadline=(None, 1, 2, 3, 4, 7, 10)[i % 7], max_text=(160, 25, 0)[i % 3],
                **({"talk": i % 5 != 0} if world in BARGAINING else {}),
            )  # fmt: skip
            yield Environment(scenario, seed=1, episode=i, sees_all=frozenset(scenario.roles))

    others = sorted(STRATEGIES)
    for turn in range(2):  # in the first seat, then in the others
        other = others[(others.index(name) + 3 + turn) % len(others)]
        one, two = (STRATEGIES[n]() for n in ((name, other) if turn else (other, name)))
        first = {"ann", "seller", "manager"}
        seats = {n: ScriptedPool(one) for n in first} | {"*": ScriptedPool(two)}
        if "micro" in (name, other) or "hardliner" in (name, other):
            bounded = (t for t in tables() if t.protocol.deadline or world not in BARGAINING)
        else:
            bounded = tables()
        for episode in play(bounded, seats):
            assert sound(episode), (episode.why, episode.turns[-1])


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_observation_gets_the_same_reply(name: str) -> None:
    for world in TACTICAL:
        scenario = draw(world, 3)
        watched = Watched(STRATEGIES[name]())
        table = Environment(scenario, seed=2, sees_all=frozenset(scenario.roles))
        list(play([table], {"*": ScriptedPool(watched)}))
        again, silent = STRATEGIES[name](), STRATEGIES[name](words=False)
        assert watched.log
        for observation, reply in watched.log:
            assert again.reply(observation) == reply
            assert silent.reply(observation) == reply.model_copy(update={"text": ""})


def test_each_has_a_summary_and_oracles_say_so() -> None:
    assert {n for n, make in STRATEGIES.items() if make().sees_all} == {"nash"}
    for make in STRATEGIES.values():
        first = (make.__doc__ or "").splitlines()[0]
        assert first.endswith(".")
        assert 20 < len(first) < 110


def test_an_unknown_world_is_refused_with_its_name() -> None:
    observation = Environment(draw("item_division", 1)).observe()
    about = dataclasses.replace(observation.about, world="chess", make_space=lambda: None)
    with pytest.raises(MootError, match="'chess'"):
        STRATEGIES["linear"]().reply(observation._replace(about=about))


@QUICK
@given(
    seed=st.integers(0, 10**6),
    beta=st.floats(0.05, 20),
    k=st.floats(0, 1),
    deadline=st.integers(1, 20),
    seat=st.integers(0, 1),
    world=st.sampled_from(BARGAINING),
)
def test_time_dependent_tactics_follow_the_formula(
    seed: int, beta: float, k: float, deadline: int, seat: int, world: str
) -> None:
    watched = Watched(Scripted(conceding(beta, k), None))
    scenario = draw(world, seed, deadline)
    meet(scenario, *((watched, Talker()) if seat == 0 else (Talker(), watched)))
    turns = len(range(seat, deadline, 2))
    assert len(watched.log) == turns
    private = [o.private for o, _ in watched.log]
    for t, utility in enumerate(offers(watched)):
        space = watched.log[t][0].space
        assert space is not None
        alpha = k + (1 - k) * (t / (turns - 1) if turns > 1 else 1.0) ** (1 / beta)
        low = private[t].get("no_deal", 0.0)
        high = 1.0 if "target" in private[t] else max(space.utilities)
        target = high - alpha * (high - low)
        assert utility == min(u for u in space.utilities if u >= target - 1e-9)
    assert offers(watched) == sorted(offers(watched), reverse=True)


@QUICK
@given(seed=st.integers(0, 10**6), deadline=st.integers(6, 20), world=st.sampled_from(BARGAINING))
def test_boulware_asks_no_less_than_linear_no_less_than_conceder(
    seed: int, deadline: int, world: str
) -> None:
    asked: list[list[float]] = []
    for name in ("boulware", "linear", "conceder"):
        watched = Watched(STRATEGIES[name]())
        meet(draw(world, seed, deadline), watched, Talker())
        asked.append(offers(watched))
    assert all(a >= b >= c for a, b, c in zip(*asked, strict=True))
    assert asked[0][0] == asked[2][0]
    assert asked[0][-1] == asked[2][-1]
    if world == "price_bargaining":  # where there is an offer for nearly every target
        assert asked[0] > asked[1] > asked[2]


@QUICK
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(("boulware", "linear", "conceder")),
    world=st.sampled_from(BARGAINING),
)
def test_they_accept_exactly_what_beats_their_next_offer(seed: int, name: str, world: str) -> None:
    watched = Watched(STRATEGIES[name]())
    meet(draw(world, seed), STRATEGIES["random"](), watched, episode=seed)
    for observation, reply in watched.log:
        space, standing = observation.space, observation.standing
        assert space is not None
        assert standing is not None
        assert standing.content is not None
        mine = STRATEGIES[name]().reply(observation._replace(standing=None))
        assert mine.act == Act.PROPOSE
        least = space.utility(mine.content, mine=True)  # type: ignore[arg-type]
        accepts = space.utility(standing.content, mine=False) >= least - 1e-9
        assert (reply.act == Act.ACCEPT_PROPOSAL) == accepts
        assert accepts or reply.content == mine.content


@QUICK
@given(deadline=st.integers(1, 40), agents=st.integers(2, 5), seat=st.integers(0, 4))
def test_time_runs_from_the_first_own_turn_to_the_last(
    deadline: int, agents: int, seat: int
) -> None:
    about = dataclasses.replace(
        Environment(draw("item_division", 1)).observe().about,
        agents=tuple("abcde"[:agents]),
        deadline=deadline,
    )
    mine = [
        lapse(Observation(about, said, (), (), None, deadline - said, None))
        for said in range(seat % agents, deadline, agents)
    ]
    assert mine == sorted(mine)
    assert not mine or mine[-1] == 1.0
    assert len(mine) < 2 or mine[0] == 0.0
    assert len(set(mine)) == len(mine)


def test_without_a_deadline_they_still_end() -> None:
    for world in BARGAINING:
        played = meet(draw(world, 4, None), STRATEGIES["linear"](), STRATEGIES["linear"]())
        assert played.ended is Ended.AGREED
        assert len(played.messages) <= 20


@QUICK
@given(
    utilities=st.lists(st.integers(-5, 20), min_size=1, max_size=30),
    target=st.integers(-6, 21),
)
def test_the_least_offer_that_reaches_a_target(utilities: list[int], target: int) -> None:
    class Space:
        pass

    space: Any = Space()
    space.utilities = sorted(utilities, reverse=True)
    reach = [u for u in utilities if u >= target]
    want = min(reach) if reach else max(utilities)
    assert at_least(space, target) == space.utilities.index(want)


@QUICK
@given(seed=st.integers(0, 10**6), world=st.sampled_from(BARGAINING))
def test_the_hardliner_never_concedes(seed: int, world: str) -> None:
    watched = Watched(STRATEGIES["hardliner"]())
    played = meet(draw(world, seed), watched, STRATEGIES["random"](), episode=seed)
    for observation, reply in watched.log:
        assert observation.space is not None
        best = max(observation.space.utilities)
        if reply.act == Act.PROPOSE:
            assert observation.space.utility(reply.content, mine=True) == best  # type: ignore[arg-type]
        else:
            assert played.outcome.utilities[observation.agent] >= best


@QUICK
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(("micro", "random", "conceder", "hardliner", "open")),
    first=st.booleans(),
)
def test_micro_concedes_one_step_for_each_new_offer(seed: int, name: str, first: bool) -> None:
    watched = Watched(STRATEGIES["micro"]())
    other = STRATEGIES[name]()
    scenario = draw("item_division", seed, 24)
    meet(scenario, *((watched, other) if first else (other, watched)), episode=seed)
    made: list[Any] = []
    for observation, reply in watched.log:
        space = observation.space
        assert space is not None
        heard = [
            m.content
            for m in observation.heard
            if m.act is Act.PROPOSE and m.sender != observation.agent
        ]
        received = sum(c not in heard[:i] for i, c in enumerate(heard))
        n = len(made)
        more = n < len(space.offers) and space.utilities[n] > 0
        ready = n == 0 or (n <= received and more)
        least = space.utilities[n] if ready else space.utilities[n - 1]
        standing = observation.standing
        if standing is not None and standing.sender != observation.agent:
            worth = space.utility(standing.content, mine=False)  # type: ignore[arg-type]
            assert (reply.act == Act.ACCEPT_PROPOSAL) == (worth >= least)
        if reply.act == Act.PROPOSE:
            assert reply.content == space.offers[n] if ready else reply.content in made
            if reply.content not in made:
                made.append(reply.content)


def test_micro_neither_offers_nor_takes_what_no_deal_is_worth() -> None:
    roles = {name: {"values": {"a": 1}, "no_deal": 5} for name in ("ann", "bob")}
    scenario = WORLDS["item_division"].Scenario.model_validate(
        {
            "protocol": {"name": "alternating_offers", "deadline": 40},
            "items": {"a": 10},
            "roles": roles,
        }
    )
    watched = Watched(STRATEGIES["micro"]())
    moves = iter([*range(6), *[5] * 20])  # one step after the other, down to an even split
    meet(scenario, Says(lambda space: next(moves)), watched)
    assert set(offers(watched)) == {10, 9, 8, 7, 6}
    assert len(watched.log) == 20


def test_micro_repeats_different_earlier_offers() -> None:
    """Against one who stops conceding it does not freeze on its last offer."""
    watched = Watched(STRATEGIES["micro"]())
    moves = iter([0, 1, 2, 3] + [3] * 30)
    meet(draw("item_division", 8, 40), Says(lambda space: next(moves)), watched)
    late = [str(reply.content) for _, reply in watched.log[6:]]
    assert 1 < len(set(late)) <= 5


def test_random_play_is_even() -> None:
    scenario = draw("item_division", 1, 2)
    splits = [
        meet(scenario, STRATEGIES["random"](), STRATEGIES["random"](), episode=i)
        for i in range(800)
    ]
    agreed = sum(e.ended is Ended.AGREED for e in splits) / 800
    assert 0.43 < agreed < 0.57
    items: Mapping[str, int] = scenario.items  # type: ignore[attr-defined]
    for kind, count in items.items():
        takes: Sequence[int] = [e.messages[0].content.take[kind] for e in splits]  # type: ignore[union-attr]
        assert abs(sum(takes) / 800 - count / 2) < 0.2 * count
