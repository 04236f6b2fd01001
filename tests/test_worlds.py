"""Worlds: their contracts, exact solutions against brute force, and golden episodes."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden.__main__ import record
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from moot.environments import (
    WORLDS,
    Environment,
    Episode,
    Scenario,
    Solution,
    Template,
    World,
    replay,
)
from moot.environments import check as checking
from moot.environments.check import check_environment
from moot.environments.load import draw, load_scenario
from moot.environments.worlds.item_division import ItemDivision, ItemScenario, ItemSpace
from moot.environments.worlds.price_bargaining import (
    Limit,
    Price,
    PriceBargaining,
    PriceGenerator,
    PriceScenario,
    PriceSpace,
)
from moot.environments.worlds.task_allocation import TaskAllocation
from moot.environments.worlds.task_scenario import TaskGenerator, TaskScenario
from moot.protocols import Act, ContractError, Ended, MootError, Reply
from moot.protocols.schemas import fits, forbidden, legal_reply, sample

GOLDEN = Path(__file__).parent / "golden"


# ---- contracts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_keeps_its_promises(world: str) -> None:
    tried = check_environment(world, episodes=40)
    assert tried.episodes == 40
    assert tried.messages > 150
    assert tried.refused > 5 * tried.messages
    assert tried.varied > 300


EDGES: dict[str, dict[str, Any]] = {
    "values larger than may be told, and fractions": {
        "world": "item_division",
        "protocol": "alternating_offers",
        "items": {"a": 2, "b": 3},
        "roles": {
            "x": {"values": {"a": 500, "b": 0.3}, "no_deal": 2},
            "y": {"values": {"a": 0, "b": 0}, "no_deal": -3},
        },
    },
    "no zone, quarter prices": {
        "world": "price_bargaining",
        "protocol": "alternating_offers",
        "item": "stamp",
        "high": 10,
        "tick": 0.25,
        "no_zone": True,
        "roles": {"seller": {"reserve": 6}, "buyer": {"reserve": 5.1}},
    },
    "one bidder": {
        "world": "task_allocation",
        "generate": {"doable": False, "bidders": [1, 1], "tasks": [1, 6]},
    },
    "more bidders than tasks": {
        "world": "task_allocation",
        "generate": {"bidders": [5, 6], "tasks": [2, 2]},
    },
    "a deadline of one": {
        "world": "item_division",
        "generate": {},
        "protocol": {"name": "alternating_offers", "deadline": 1},
        "patience": 0,
        "max_text": 0,
    },
    "no talk": {
        "world": "price_bargaining",
        "generate": {"tick": 5, "no_zone": 0.5},
        "protocol": {"name": "alternating_offers", "deadline": 6, "talk": False},
    },
}


@pytest.mark.parametrize("edge", EDGES)
def test_the_edges_keep_their_promises(edge: str) -> None:
    assert check_environment(EDGES[edge], episodes=15).messages >= 15


# ---- every kind of broken promise is found -------------------------------------------------------


def leak_in_public(world: PriceBargaining) -> dict[str, Any]:
    return {"reserves": [r.reserve for r in world.scenario.roles.values()]}


def broken(
    monkeypatch: pytest.MonkeyPatch, world: type, method: str, make: Callable[[Any], Any]
) -> None:
    """Replace a method by what `make` makes of the honest one."""
    monkeypatch.setattr(world, method, make(getattr(world, method)))


def test_a_check_that_allows_anything_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, ItemDivision, "check", lambda honest: lambda *a: None)
    with pytest.raises(ContractError, match="judged legal, though the schema forbids it"):
        check_environment("item_division", episodes=5)


def test_a_check_that_refuses_what_the_schema_allows_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(
        monkeypatch,
        ItemDivision,
        "check",
        lambda honest: lambda self, agent, content, move, to: (
            "less" if sum(getattr(content, "take", {}).values()) > 3
            else honest(self, agent, content, move, to)
        ),
    )  # fmt: skip
    with pytest.raises(ContractError, match="the schema allows what is judged illegal"):
        check_environment("item_division", episodes=5)


def other(world: Any, agent: str) -> Any:
    """The other side's private part."""
    return next(role for name, role in world.scenario.roles.items() if name != agent)


LEAKS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "public": ("public", lambda honest: lambda self: {**honest(self), **leak_in_public(self)}),
    "card": (
        "describe",
        lambda honest: lambda self, agent: (honest(self, agent)[0], f"{other(self, agent).reserve}"),
    ),
    "private": (
        "private",
        lambda honest: lambda self, agent: {**honest(self, agent), "x": other(self, agent).reserve},
    ),
    "utilities": (
        "space",
        lambda honest: lambda self, agent: PriceSpace(
            self.scenario.key()[0], (other(self, agent).reserve, self.scenario.target(agent) + 0.5)
        ),
    ),
    "schema": (
        "schema",
        lambda honest: lambda self, agent, move, to: {
            **honest(self, agent, move, to), "title": str(other(self, agent).reserve)
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", LEAKS)
def test_a_leaked_secret_is_found(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    method, make = LEAKS[where]
    broken(monkeypatch, PriceBargaining, method, make)
    with pytest.raises(ContractError, match=f"sees the secret of (seller|buyer) in its {where}"):
        check_environment("price_bargaining", episodes=5)


def test_a_schema_narrowed_by_another_secret_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody is granted more than it can do: kind, but then the manager's choices tell the capacity.
    broken(
        monkeypatch,
        TaskAllocation,
        "_grantable",
        lambda honest: (
            lambda self, bidder: [
                g for g in honest(self, bidder) if len(g) <= self.scenario.roles[bidder].capacity
            ]
        ),
    )
    with pytest.raises(ContractError, match=r"manager sees the secret of \w+ in its schema"):
        check_environment("task_allocation", episodes=30)


def test_a_secret_that_decides_what_another_may_say_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(
        monkeypatch,
        PriceBargaining,
        "check",
        lambda honest: lambda self, agent, content, move, to: (
            "another price" if agent == "seller" and self.scenario.roles["buyer"].reserve != 190
            else honest(self, agent, content, move, to)
        ),
    )  # fmt: skip
    with pytest.raises(ContractError, match="the secret of buyer decides what seller may say"):
        check_environment("used_bicycle", episodes=10)


def test_state_that_leaks_between_episodes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    def hear(self: PriceBargaining, message: Any) -> None:
        if isinstance(message.content, Price):
            heard.append(message.content.price)
            self._price = heard[0]  # the first price of any episode, not of this one

    monkeypatch.setattr(PriceBargaining, "hear", hear)
    with pytest.raises(ContractError, match=r"ranked the deal at .* and scores"):
        check_environment("price_bargaining", episodes=20)


def test_an_episode_that_depends_on_others_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    def build(honest: Any) -> Any:
        def init(self: Any, scenario: Any) -> None:
            honest(self, scenario)
            built.append(self)
            self._number = len(built)

        return init

    broken(monkeypatch, ItemDivision, "__init__", build)
    broken(
        monkeypatch,
        ItemDivision,
        "outcome",
        lambda honest: (
            lambda self, ended: honest(self, ended).model_copy(
                update={"utilities": dict.fromkeys(self.agents, float(self._number))}
            )
        ),
    )
    with pytest.raises(ContractError, match="otherwise among other episodes than alone"):
        check_environment("item_division", episodes=5)


@pytest.mark.parametrize(
    "draws", [random.random, lambda: random.seed(1), np.random.random], ids=["use", "seed", "numpy"]
)
def test_a_touched_global_generator_is_found(
    monkeypatch: pytest.MonkeyPatch, draws: Callable[[], object]
) -> None:
    broken(
        monkeypatch,
        ItemDivision,
        "hear",
        lambda honest: lambda self, message: (draws(), honest(self, message))[1],
    )
    with pytest.raises(ContractError, match="a global random generator was used or seeded"):
        check_environment("item_division", episodes=3)


def solved(world: type, **changed: Any) -> Callable[[Any], Any]:
    """`solve` with wrong fields, from the right ones."""

    def make(honest: Any) -> Any:
        def solve(cls: Any, scenario: Scenario) -> Solution:
            right = honest(scenario)
            return right.model_copy(update={k: f(right) for k, f in changed.items()})

        return classmethod(solve)

    return make


WRONG_SOLUTIONS: list[tuple[str, type, dict[str, Any], str]] = [
    ("item_division", ItemDivision, {"max_joint": lambda s: s.max_joint + 1}, "best sum and Nash"),
    ("item_division", ItemDivision, {"max_joint": lambda s: 0.0}, "sum to more than max_joint"),
    ("item_division", ItemDivision, {"max_nash": lambda s: s.max_nash - 1}, "Nash"),
    ("item_division", ItemDivision, {"frontier": lambda s: s.frontier[:1]}, "efficient"),
    ("item_division", ItemDivision, {"frontier": lambda s: ((0.5, 0.5),)}, "beats|efficient"),
    ("item_division", ItemDivision, {"disagreement": lambda s: (1.0, 0.0)}, "scores"),
    ("price_bargaining", PriceBargaining, {"max_nash": lambda s: 1.0}, "best sum and Nash"),
    ("task_allocation", TaskAllocation, {"max_joint": lambda s: -1e9}, "sum to more than max_joint"),
    ("task_allocation", TaskAllocation, {"disagreement": lambda s: (9.0,) * 9}, "scores"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "world", "changed", "sentence"), WRONG_SOLUTIONS)
def test_a_wrong_solution_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, world: type, changed: Any, sentence: str
) -> None:
    broken(monkeypatch, world, "solve", solved(world, **changed))
    with pytest.raises(ContractError, match=sentence):
        check_environment(name, episodes=20)


def test_a_ranking_that_is_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(self: PriceBargaining, agent: str) -> PriceSpace:
        line = (self.scenario.roles[agent].reserve, self.scenario.target(agent))
        space = PriceSpace(self.scenario.key()[0], line)
        space.offers, space.utilities = space.offers[::-1], space.utilities[::-1]
        return space

    monkeypatch.setattr(PriceBargaining, "space", backwards)
    with pytest.raises(ContractError, match="are not ranked best first"):
        check_environment("price_bargaining", episodes=2)


def test_telling_what_may_not_be_told_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PriceSpace, "told", lambda self: Limit(limit=10**9))
    with pytest.raises(ContractError, match="tells of its values is illegal"):
        check_environment("price_bargaining", episodes=2)


def test_an_endless_episode_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "LONGEST", 200)
    endless = {
        "world": "item_division",
        "generate": {},
        "protocol": {"name": "alternating_offers", "deadline": None},
    }
    with pytest.raises(ContractError, match="no end after 200 messages"):
        check_environment(endless, episodes=3)


def test_the_sampler_and_the_validator_of_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 10, "maximum": 30, "multipleOf": 5},
            "x": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.25},
            "s": {"type": "string", "maxLength": 3},
            "b": {"type": "boolean"},
            "e": {"enum": [["a"], ["a", "b"], True]},
            "l": {"type": "array", "items": {"enum": ["p", "q"]}, "maxItems": 2, "uniqueItems": True},
        },
        "required": ["n", "x", "s", "b", "e", "l"],
        "additionalProperties": False,
    }  # fmt: skip
    rng = random.Random(0)
    good = [sample(schema, rng) for _ in range(300)]
    assert all(fits(schema, value) for value in good)
    assert {v["n"] for v in good} == {10, 15, 20, 25, 30}  # type: ignore[index]
    assert {v["x"] for v in good} == {0, 0.25, 0.5, 0.75, 1}  # type: ignore[index]
    bad = list(forbidden(schema, rng))
    assert len(bad) > 30
    assert not any(fits(schema, value) for value in bad)
    one = {"n": 10, "x": 0, "s": "", "b": True, "e": True, "l": ["q", "p"]}
    assert fits(schema, one)
    for key, value in (("n", 12), ("n", True), ("n", "10"), ("n", math.nan), ("x", 0.3), ("s", "four"),
                       ("b", 1), ("e", 1), ("e", ["b"]), ("l", ["p", "p"]), ("l", ["r"])):  # fmt: skip
        assert not fits(schema, {**one, key: value}), (key, value)
    assert not fits(schema, {**one, "more": 1})
    assert not fits(schema, {k: v for k, v in one.items() if k != "b"})
    with pytest.raises(ValueError, match="'pattern' is not covered"):
        sample({"type": "string", "pattern": "a+"}, rng)


@pytest.mark.parametrize("world", WORLDS)
def test_the_decoder_takes_the_same_replies_as_the_judge(world: str) -> None:
    tokens = LLTokenizer("byte")

    def decodes(matcher: LLMatcher, reply: object) -> bool:
        ids = tokens.tokenize_str(json.dumps(reply, ensure_ascii=False))
        matcher.reset()
        return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

    source, rng = Template(name="decoded", world=world, generate={}), random.Random(world)
    refused = 0
    for number in range(4):
        table = Environment(draw(source, 0, number), episode=number)
        while table.ended is None:
            schema = table.observe().schema()
            matcher = LLMatcher(tokens, LLMatcher.grammar_from_json_schema(json.dumps(schema)))
            assert not matcher.get_error(), matcher.get_error()
            for choice in rng.sample(schema["anyOf"], min(3, len(schema["anyOf"]))):
                good: Any = sample(choice, rng)
                assert decodes(matcher, good)
                near = list(forbidden(choice["properties"].get("content", {"const": {}}), rng))
                for content in rng.sample(near, 5):
                    bad = {**good, "content": content}
                    if not fits(schema, bad):
                        refused += 1
                        assert not decodes(matcher, bad)
            table.step(legal_reply(table.observe(), "deal"))
    assert refused > 100


# ---- item division -------------------------------------------------------------------------------


def items(
    counts: list[int], one: list[int], two: list[int], none: tuple[float, float]
) -> ItemScenario:
    kinds = [f"k{i}" for i in range(len(counts))]
    return ItemScenario.model_validate(
        {
            "protocol": "alternating_offers",
            "items": dict(zip(kinds, counts, strict=True)),
            "roles": {
                name: {"values": dict(zip(kinds, values, strict=True)), "no_deal": d}
                for name, values, d in (("ann", one, none[0]), ("bob", two, none[1]))
            },
        }
    )


def dominated(point: tuple[float, ...], others: list[tuple[float, ...]]) -> bool:
    return any(
        all(o >= p for o, p in zip(other, point, strict=True)) and other != point
        for other in others
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_item_division_is_solved_exactly(data: st.DataObject) -> None:
    kinds = data.draw(st.integers(1, 3))
    counts = data.draw(st.lists(st.integers(1, 3), min_size=kinds, max_size=kinds))
    values = st.lists(st.integers(0, 5), min_size=kinds, max_size=kinds).filter(any)
    one, two = data.draw(values), data.draw(values)
    none = data.draw(st.sampled_from([(0, 0), (0.5, 0), (-1, 0.5)]))
    solution = ItemDivision.solve(items(counts, one, two, none))
    points = [
        (
            float(sum(v * c for v, c in zip(one, take, strict=True))),
            float(sum(v * (n - c) for v, n, c in zip(two, counts, take, strict=True))),
        )
        for take in itertools.product(*(range(n + 1) for n in counts))
    ]
    assert set(solution.frontier) == {p for p in points if not dominated(p, points)}
    assert list(solution.frontier) == sorted(solution.frontier)
    assert solution.max_joint == max(map(sum, points))
    assert solution.max_nash == max(max(a - none[0], 0) * max(b - none[1], 0) for a, b in points)
    for point in points:
        assert solution.efficient(point) == (not dominated(point, [*points, none]))


def test_a_deal_leaves_nothing_over() -> None:
    table = Environment(items([3, 1], [1, 7], [2, 4], (0, 0)))
    table.step(Reply(act=Act.PROPOSE, content={"take": {"k0": 1, "k1": 0}}))
    table.step(Reply(act=Act.ACCEPT_PROPOSAL))
    outcome = table.episode().outcome
    assert outcome.deal == {"ann": {"k0": 1, "k1": 0}, "bob": {"k0": 2, "k1": 1}}
    assert outcome.utilities == {"ann": 1, "bob": 8}


def test_large_values_are_told_in_proportion() -> None:
    space = ItemSpace({"a": 1, "b": 1}, {"a": 500, "b": 250}, 1.0)
    assert space.told().model_dump() == {"values": {"a": 100, "b": 50}}
    assert ItemSpace({"a": 1}, {"a": 0}, 1.0).told().model_dump() == {"values": {"a": 0}}


# ---- price bargaining ----------------------------------------------------------------------------


def price(seller: dict[str, Any], buyer: dict[str, Any], **more: Any) -> PriceScenario:
    return PriceScenario.model_validate(
        {
            "protocol": "alternating_offers",
            "item": "lamp",
            "low": 0,
            "high": 100,
            "roles": {"seller": seller, "buyer": buyer},
            **more,
        }
    )


def test_utilities_are_linear_between_reserve_and_target() -> None:
    scenario = price({"reserve": 40, "target": 90}, {"reserve": 80, "target": 30})
    for at, seller, buyer in (
        (40, 0, 0.8),
        (90, 1, -0.2),
        (80, 0.8, 0),
        (30, -0.2, 1),
        (65, 0.5, 0.3),
    ):
        got = PriceBargaining.close(scenario, at).utilities
        assert got == pytest.approx({"seller": seller, "buyer": buyer})
    assert PriceBargaining.close(scenario, None).utilities == {"seller": 0, "buyer": 0}
    assert not PriceBargaining.close(scenario, None).completed


def test_targets_default_to_the_ends_of_the_grid() -> None:
    world = PriceBargaining(price({"reserve": 40}, {"reserve": 80}))
    assert world.private("seller") == {"reserve": 40, "target": 100}
    assert world.private("buyer") == {"reserve": 80, "target": 0}


def test_only_prices_of_the_grid_are_legal() -> None:
    scenario = price({"reserve": 40}, {"reserve": 80}, low=10, tick=5, list_price=95)
    table = Environment(scenario.model_copy(update={"patience": 99}))
    assert table.observe().public == {
        "item": "lamp", "low": 10, "high": 100, "tick": 5, "list_price": 95
    }  # fmt: skip
    for bad in (12, 5, 105, "50", None, True, 50.5, [50]):
        turn = table.step(Reply(act=Act.PROPOSE, content={"price": bad}))
        assert turn.error is not None, bad
        assert turn.error.kind == "bad-content"
    assert "a price from 10 to 100 in steps of 5" in table.turns[0].error.legal  # type: ignore[union-attr]
    assert table.step(Reply(act=Act.PROPOSE, content={"price": 55})).message is not None
    assert table.step(Reply(act=Act.INFORM, content={"limit": 80})).message is not None
    table.step(Reply(act=Act.INFORM, text="Hm."))
    table.step(Reply(act=Act.ACCEPT_PROPOSAL))
    assert table.episode().outcome.deal == {"price": 55}


def test_the_limit_told_is_the_next_price_that_is_no_worse() -> None:
    scenario = price({"reserve": 42}, {"reserve": 78}, tick=5)
    world = PriceBargaining(scenario)
    assert world.space("seller").told() == Limit(limit=45)
    assert world.space("buyer").told() == Limit(limit=75)
    outside = price({"reserve": -20}, {"reserve": 300})
    assert PriceBargaining(outside).space("seller").told() == Limit(limit=0)
    assert PriceBargaining(outside).space("buyer").told() == Limit(limit=100)


def test_each_judges_the_other_by_what_it_told() -> None:
    world = PriceBargaining(price({"reserve": 40}, {"reserve": 80}))
    for me, you in (("seller", "buyer"), ("buyer", "seller")):
        space, other = world.space(me), world.space(you)
        guessed = space.partner(other.told())
        assert list(guessed) == pytest.approx([other.utility(o, mine=False) for o in space.offers])
        hopeless = space.partner(Limit(limit=0 if you == "buyer" else 100))
        assert max(hopeless) == 0


@settings(max_examples=60, deadline=None)
@given(
    low=st.integers(0, 5),
    width=st.integers(2, 25),
    tick=st.sampled_from([1, 2, 0.5, 0.1]),
    share=st.tuples(*[st.floats(0.05, 0.95)] * 2),
)
def test_price_bargaining_is_solved_exactly(
    low: int, width: int, tick: float, share: tuple[float, float]
) -> None:
    bottom, top = low * tick, (low + width) * tick
    reserves = [bottom + s * (top - bottom) for s in share]
    scenario = price(
        {"reserve": reserves[0]}, {"reserve": reserves[1]},
        low=bottom, high=top, tick=tick, no_zone=True,
    )  # fmt: skip
    solution = PriceBargaining.solve(scenario)
    prices = [bottom + i * tick for i in range(width + 1)]
    points = {
        p: ((p - reserves[0]) / (top - reserves[0]), (reserves[1] - p) / (reserves[1] - bottom))
        for p in prices
    }
    both = [p for p in prices if reserves[0] <= p + 1e-9 and p - 1e-9 <= reserves[1]]
    assert solution.zone == (pytest.approx((both[0], both[-1])) if both else None)
    assert solution.max_joint == pytest.approx(max(map(sum, points.values())))
    assert solution.max_nash == pytest.approx(
        max((max(a, 0) * max(b, 0) for a, b in points.values())), abs=1e-9
    )
    assert len(solution.frontier) == len(both)
    assert list(solution.frontier) == sorted(solution.frontier)
    assert solution.efficient((0.0, 0.0)) == (not any(sum(points[p]) > 1e-9 for p in both))


def test_generated_prices_have_a_zone_of_the_width_asked_for() -> None:
    generator = PriceGenerator(zone=(0.2, 0.3), tick=5, cheapest=40, dearest=80)
    for number in range(200):
        scenario = generator.draw(random.Random(number))
        zone = PriceBargaining.solve(scenario).zone
        assert zone is not None
        assert scenario.low % 5 == scenario.high % 5 == 0
        share = (zone[1] - zone[0]) / (scenario.high - scenario.low)
        assert 0.15 <= share <= 0.35
        assert 40 * 5 <= scenario.high - scenario.low <= 80 * 5
    for first, names in (("either", {"seller", "buyer"}), ("buyer", {"buyer"})):
        generator = PriceGenerator.model_validate({"first": first})
        assert {next(iter(generator.draw(random.Random(n)).roles)) for n in range(50)} == names


def test_the_share_without_a_zone() -> None:
    generator = PriceGenerator(no_zone=0.3)
    solved_ = [PriceBargaining.solve(generator.draw(random.Random(n))) for n in range(400)]
    without = [s for s in solved_ if s.zone is None]
    assert 0.2 < len(without) / 400 < 0.4
    assert all(s.max_nash == 0 and s.frontier == () for s in without)
    assert all(s.efficient((0.0, 0.0)) for s in without), "walking away is right"
    assert all(
        PriceBargaining.solve(PriceGenerator().draw(random.Random(n))).zone for n in range(200)
    )


# ---- task allocation -----------------------------------------------------------------------------


def tasks(values: list[int], bidders: list[tuple[list[int], int]]) -> TaskScenario:
    names = [f"t{i}" for i in range(len(values))]
    return TaskScenario.model_validate(
        {
            "protocol": "contract_net",
            "tasks": names,
            "roles": {
                "manager": {"values": dict(zip(names, values, strict=True))},
                **{
                    f"b{i}": {"costs": dict(zip(names, costs, strict=True)), "capacity": capacity}
                    for i, (costs, capacity) in enumerate(bidders)
                },
            },
        }
    )


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_task_allocation_is_solved_exactly(data: st.DataObject) -> None:
    count, seats = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    values = data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    costs = st.lists(st.integers(0, 9), min_size=count, max_size=count)
    bidders = data.draw(
        st.lists(st.tuples(costs, st.integers(1, 3)), min_size=seats, max_size=seats)
    )
    sums: dict[tuple[int | None, ...], int] = {}
    for who in itertools.product((None, *range(seats)), repeat=count):
        if all(who.count(b) <= capacity for b, (_, capacity) in enumerate(bidders)):
            sums[who] = sum(
                values[t] - bidders[b][0][t] for t, b in enumerate(who) if b is not None
            )
    best = max(sums.values())
    if best == 0:
        with pytest.raises(ValueError, match="no task is worth more to the manager"):
            tasks(values, bidders)
        return
    scenario = tasks(values, bidders)
    solution = TaskAllocation.solve(scenario)
    assert solution.transfer
    assert solution.max_joint == best
    assert solution.best is not None
    doers = [solution.best.get(t) for t in scenario.tasks]
    chosen = tuple(None if d is None else int(d[1:]) for d in doers)
    assert sums[chosen] == best
    everyone = [s for who, s in sums.items() if {*range(seats)} <= set(who)]
    shared = max([*everyone, 0])
    assert solution.max_nash == pytest.approx((shared / (seats + 1)) ** (seats + 1))
    assert solution.efficient((float(best), *[0.0] * seats))
    assert not solution.efficient((best - 0.5, *[0.0] * seats))


def auction() -> Environment:
    """Three tasks; b0 can do two, b1 one. Both have bid 5 a task and claim to take two."""
    scenario = tasks([10, 10, 10], [([1, 2, 3], 2), ([3, 2, 1], 1)])
    table = Environment(scenario.model_copy(update={"patience": 99}))
    table.step(Reply(act=Act.CFP, content={"tasks": ["t0", "t1", "t2"]}))
    for _ in range(2):
        bid = {"prices": {"t0": 5, "t1": 5, "t2": 5}, "most": 2}
        assert table.step(Reply(act=Act.PROPOSE, content=bid)).message is not None
    return table


def test_grants_are_the_subsets_that_are_still_free() -> None:
    table = auction()

    def legal(to: str) -> list[list[str]]:
        for choice in table.observe().schema()["anyOf"]:
            fields = choice["properties"]
            if fields["act"]["const"] == "accept-proposal" and fields["to"]["const"] == to:
                return fields["content"]["properties"]["tasks"]["enum"]
        return []

    pairs = [["t0"], ["t1"], ["t2"], ["t0", "t1"], ["t0", "t2"], ["t1", "t2"]]
    assert legal("b0") == legal("b1") == pairs
    for bad in ([], ["t1", "t0"], ["t0", "t0"], ["t0", "t1", "t2"], ["t9"], "t0"):
        turn = table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b0", content={"tasks": bad}))
        assert turn.error is not None, bad
    assert table.step(
        Reply(act=Act.ACCEPT_PROPOSAL, to="b0", content={"tasks": ["t0", "t2"]})
    ).message
    assert legal("b1") == [["t1"]]


def test_when_nothing_is_left_only_rejection_is_legal() -> None:
    table = Environment(tasks([9], [([1], 1), ([2], 1)]))
    table.step(Reply(act=Act.CFP, content={"tasks": ["t0"]}))
    for _ in range(2):
        table.step(Reply(act=Act.PROPOSE, content={"prices": {"t0": 3}, "most": 1}))
    table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b1", content={"tasks": ["t0"]}))
    choices = table.observe().schema()["anyOf"]
    assert [c["properties"]["act"]["const"] for c in choices] == ["reject-proposal"]
    turn = table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b0", content={"tasks": ["t0"]}))
    assert turn.error is not None
    assert "reject-proposal: no task is left" in turn.error.legal


def test_more_than_the_capacity_can_only_fail() -> None:
    table = auction()
    table.step(Reply(act=Act.REJECT_PROPOSAL, to="b0"))
    table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b1", content={"tasks": ["t1", "t2"]}))
    assert table.speaker == "b1"
    choices = table.observe().schema()["anyOf"]
    assert [c["properties"]["act"]["const"] for c in choices] == ["failure"]
    turn = table.step(Reply(act=Act.INFORM, content={"tasks": ["t1", "t2"]}))
    assert turn.error is not None
    assert "failure: you can do at most 1" in turn.error.legal
    table.step(Reply(act=Act.FAILURE))
    episode = table.episode()
    assert episode.ended is Ended.FAILED
    assert set(episode.outcome.utilities.values()) == {0.0}
    assert episode.outcome.deal is None


def test_utilities_are_money() -> None:
    table = auction()
    table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b0", content={"tasks": ["t0", "t1"]}))
    table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b1", content={"tasks": ["t2"]}))
    assert table.step(Reply(act=Act.INFORM, content={"tasks": ["t0"]})).error, (
        "all that was granted"
    )
    table.step(Reply(act=Act.INFORM, content={"tasks": ["t0", "t1"]}))
    table.step(Reply(act=Act.INFORM, content={"tasks": ["t2"]}))
    outcome = table.episode().outcome
    assert outcome.completed
    assert outcome.utilities == {"manager": 15, "b0": 7, "b1": 4}
    assert outcome.deal == {
        "t0": {"by": "b0", "price": 5}, "t1": {"by": "b0", "price": 5}, "t2": {"by": "b1", "price": 5},
    }  # fmt: skip
    solution = TaskAllocation.solve(table.scenario)
    assert sum(outcome.utilities.values()) == solution.max_joint == 26


def test_failed_tasks_pay_nothing_and_the_rest_counts() -> None:
    table = auction()
    table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b0", content={"tasks": ["t0", "t1"]}))
    table.step(Reply(act=Act.ACCEPT_PROPOSAL, to="b1", content={"tasks": ["t2"]}))
    table.step(Reply(act=Act.FAILURE))
    table.step(Reply(act=Act.INFORM, content={"tasks": ["t2"]}))
    episode = table.episode()
    assert episode.ended is Ended.FAILED
    assert not episode.outcome.completed
    assert episode.outcome.utilities == {"manager": 5, "b0": 0, "b1": 4}


@pytest.mark.parametrize(
    "bid",
    [
        {"prices": {"t0": 5, "t1": 5}, "most": 1},
        {"prices": {"t0": 5, "t1": 5, "t2": 101}, "most": 1},
        {"prices": {"t0": 5, "t1": 5, "t2": -1}, "most": 1},
        {"prices": {"t0": 5, "t1": 5, "t2": 5.5}, "most": 1},
        {"prices": {"t0": 5, "t1": 5, "t2": 5}, "most": 0},
        {"prices": {"t0": 5, "t1": 5, "t2": 5}, "most": 4},
        {"prices": {"t0": 5, "t1": 5, "t2": 5}},
    ],
    ids=str,
)
def test_bad_bids(bid: dict[str, Any]) -> None:
    table = Environment(tasks([10, 10, 10], [([1, 2, 3], 2)]))
    table.step(Reply(act=Act.CFP, content={"tasks": ["t0", "t1", "t2"]}))
    turn = table.step(Reply(act=Act.PROPOSE, content=bid))
    assert turn.error is not None
    assert turn.error.kind == "bad-content"


def test_generated_tasks_can_all_be_done() -> None:
    for number in range(100):
        scenario = TaskGenerator().draw(random.Random(number))
        assert set(TaskAllocation.solve(scenario).best or ()) == set(scenario.tasks)
    some = [TaskGenerator(doable=False).draw(random.Random(n)) for n in range(100)]
    assert any(len(TaskAllocation.solve(s).best or ()) < len(s.tasks) for s in some)
    with pytest.raises(MootError, match="1,000 draws"):
        TaskGenerator(
            values=(5, 5), costs=(4, 60), tasks=(4, 4), capacity=(1, 1), bidders=(4, 4)
        ).draw(random.Random(0))


# ---- golden episodes -----------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_golden_episodes_are_played_again_byte_for_byte(world: str) -> None:
    kept = (GOLDEN / f"{world}.jsonl").read_text(encoding="utf-8")
    assert record(world) == kept, "a change of records is meant? then: python -m tests.golden"


@pytest.mark.parametrize("world", WORLDS)
def test_golden_episodes_are_read_replayed_and_written_byte_for_byte(world: str) -> None:
    lines = (GOLDEN / f"{world}.jsonl").read_text(encoding="utf-8").splitlines()
    ends: set[Ended] = set()
    for line in lines:
        episode = Episode.model_validate_json(line)
        assert type(episode.scenario) is WORLDS[world].Scenario
        assert episode.line() == line
        assert replay(episode).episode().line() == line
        ends.add(episode.ended)
    assert ends & {Ended.AGREED, Ended.DONE, Ended.FAILED}
    assert len(ends) >= 2
    assert any("error" in turn for line in lines for turn in json.loads(line)["turns"])


def test_every_world_has_a_golden_file() -> None:
    assert {p.stem for p in GOLDEN.glob("*.jsonl")} == set(WORLDS)


def test_worlds_know_their_scenarios() -> None:
    for name, world in WORLDS.items():
        kind: type[World] = world
        assert kind.name == name
        assert kind.summary
        for model in (kind.Scenario, kind.Generator):
            silent = [
                n for n, f in model.model_fields.items() if not f.description and n != "world"
            ]
            assert not silent, f"{name}: undocumented {silent}"
    assert load_scenario("camp_site").world == "item_division"
