"""Managers award exactly, bidders bid in character and keep to their capacity."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.contractors import best_shares
from moot.agents.scripted.strategies import STRATEGIES
from moot.environments import WORLDS, Environment, Episode, Scenario, fork, play
from moot.protocols import Act, Ended, Reply

WORLD = WORLDS["task_allocation"]
QUICK = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 10**6)


def drawn(seed: int) -> Scenario:
    return WORLD.Generator().draw(random.Random(seed))


def meet(scenario: Scenario, manager: str, bidder: str, episode: int = 0, seed: int = 5) -> Episode:
    oracles = frozenset(scenario.roles) if "nash" in (manager, bidder) else frozenset[str]()
    table = Environment(scenario, seed=seed, episode=episode, sees_all=oracles)
    seats = {
        "manager": ScriptedPool(STRATEGIES[manager]()),
        "bidder": ScriptedPool(STRATEGIES[bidder]()),
    }
    (played,) = play([table], seats)
    assert all(turn.error is None for turn in played.turns)
    return played


def bids(episode: Episode) -> dict[str, Any]:
    return {m.sender: m.content for m in episode.messages if m.act is Act.PROPOSE}


def private(episode: Episode, agent: str) -> Any:
    return episode.scenario.roles[agent]


@QUICK
@given(
    gains=st.integers(1, 4).flatmap(
        lambda tasks: st.lists(
            st.tuples(*[st.integers(-5, 9)] * tasks, st.integers(1, tasks)), min_size=1, max_size=3
        )
    ),
    data=st.data(),
)
def test_the_shares_are_the_best_of_all(gains: list[tuple[int, ...]], data: st.DataObject) -> None:
    rows, most = [g[:-1] for g in gains], [g[-1] for g in gains]
    tasks = range(len(rows[0]))
    free = data.draw(st.sets(st.sampled_from(list(tasks))))
    table = best_shares(tuple(rows), tuple(most))
    left, total, count = sum(1 << t for t in free), 0, 0
    for row, room, shares in zip(rows, most, table, strict=True):
        share = shares[left]
        assert share & ~left == 0
        assert share.bit_count() <= room
        left ^= share
        total += sum(row[t] for t in tasks if share >> t & 1)
        count += share.bit_count()
    best = (0, 0)
    for doers in itertools.product(range(-1, len(rows)), repeat=len(free)):
        if all(doers.count(b) <= room for b, room in enumerate(most)):
            pairs = [(b, t) for b, t in zip(doers, sorted(free), strict=True) if b >= 0]
            best = max(best, (sum(rows[b][t] for b, t in pairs), len(pairs)))
    assert (total, count) == best


@QUICK
@given(
    seed=SEEDS, names=st.sampled_from((("manager", "honest"), ("nash", "nash"), ("nash", "markup")))
)
def test_true_costs_or_full_information_give_the_best_sum(
    seed: int, names: tuple[str, str]
) -> None:
    scenario = drawn(seed)
    played = meet(scenario, *names)
    total = sum(played.outcome.utilities.values())
    assert total == pytest.approx(WORLD.solve(scenario).max_joint)
    assert played.outcome.completed


@QUICK
@given(seed=SEEDS)
def test_honest_bids_are_costs_and_awards_suit_the_manager(seed: int) -> None:
    played = meet(drawn(seed), "manager", "honest")
    for name, bid in bids(played).items():
        assert bid.prices == private(played, name).costs
        assert bid.most == min(private(played, name).capacity, len(bid.prices))
        assert played.outcome.utilities[name] == 0
    assert played.outcome.utilities["manager"] >= 0


@QUICK
@given(seed=SEEDS)
def test_bids_rise_with_the_strategy_from_cost_to_the_highest_price(seed: int) -> None:
    scenario = drawn(seed)
    most = scenario.most_price  # type: ignore[attr-defined]
    last: dict[str, dict[str, int]] = {}
    for name in ("honest", "open", "conceder", "linear", "boulware", "hardliner"):
        for bidder, bid in bids(meet(scenario, "manager", name)).items():
            for task, asked in bid.prices.items():
                assert isinstance(asked, int)
                assert private_cost(scenario, bidder, task) <= asked <= most
                assert asked >= last.get(bidder, bid.prices)[task]
            last[bidder] = bid.prices
    assert all(asked == most for prices in last.values() for asked in prices.values())


def private_cost(scenario: Scenario, bidder: str, task: str) -> float:
    return scenario.roles[bidder].costs[task]  # type: ignore[attr-defined]


def test_a_markup_stays_with_its_agent_for_the_run() -> None:
    factors: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for seed in (1, 2):
        for episode in range(40):
            played = meet(drawn(episode), "manager", "markup", episode, seed)
            for name, bid in bids(played).items():
                for task, asked in bid.prices.items():
                    cost = private(played, name).costs[task]
                    if cost * 1.5 < 100:
                        span = ((asked - 1) / cost, asked / cost)
                        factors.setdefault((seed, name), []).append(span)
    kept = {
        who: (max(low for low, _ in spans), min(high for _, high in spans))
        for who, spans in factors.items()
    }
    assert all(high >= 1.1 - 1e-9 and low <= min(high, 1.5) for low, high in kept.values())
    assert len({round(high, 2) for _, high in kept.values()}) > len(kept) / 2, "agents differ"
    assert any(
        abs(kept[1, n][1] - kept[2, n][1]) > 0.05 for s, n in kept if s == 1 and (2, n) in kept
    )


def scenario_of(costs: dict[str, float], capacity: int, **fields: Any) -> Scenario:
    """One bidder, `bob`, whose costs are given; every task is worth 60 to the manager."""
    return WORLD.Scenario.model_validate(
        {
            "protocol": "contract_net",
            "tasks": list(costs),
            "roles": {
                "manager": {"values": dict.fromkeys(costs, 60)},
                "bob": {"role": "bidder", "costs": costs, "capacity": capacity},
            },
            **fields,
        }
    )


def test_who_cannot_earn_refuses_and_dear_tasks_get_the_highest_price() -> None:
    refused = meet(scenario_of({"dig": 31, "weld": 40}, 2, most_price=30), "manager", "honest")
    assert refused.ended is Ended.REFUSED
    dear = meet(scenario_of({"dig": 10.2, "weld": 40}, 2, most_price=30), "manager", "honest")
    assert bids(dear)["bob"].prices == {"dig": 11, "weld": 30}


def test_a_manager_rejects_what_costs_more_than_it_is_worth() -> None:
    played = meet(scenario_of({"dig": 10, "weld": 20}, 2), "manager", "hardliner")
    assert played.messages[-1].act is Act.REJECT_PROPOSAL
    assert played.ended is Ended.REFUSED


class Boast:
    """Bids its costs for every task, whatever its capacity."""

    def reply(self, observation: Any) -> Reply:
        reply = STRATEGIES["honest"]().reply(observation)
        if reply.act == Act.PROPOSE:
            most = len(observation.public["tasks"])
            bid = {"prices": observation.private["costs"], "most": most}
            return Reply(act=Act.PROPOSE, content=bid)
        return reply


@pytest.mark.parametrize(("manager", "ended"), [("manager", Ended.FAILED), ("nash", Ended.AGREED)])
def test_who_is_granted_too_much_reports_failure(manager: str, ended: Ended) -> None:
    """The oracle knows better than to grant it."""
    scenario = scenario_of({"dig": 10, "weld": 20}, 1)
    seats = {"manager": ScriptedPool(STRATEGIES[manager]()), "bob": ScriptedPool(Boast())}
    oracles = frozenset({"manager"}) if manager == "nash" else frozenset[str]()
    (played,) = play([Environment(scenario, sees_all=oracles)], seats)
    assert played.ended is ended
    assert played.outcome.utilities["manager"] == (50.0 if ended is Ended.AGREED else 0.0)


def test_random_contracting_takes_every_turn_it_may() -> None:
    ends = {meet(drawn(i), "random", "random", i).ended for i in range(60)}
    assert ends == {Ended.AGREED, Ended.FAILED, Ended.REFUSED}


def test_a_manager_goes_on_from_awards_that_it_did_not_make() -> None:
    for seed in range(20):
        played = meet(drawn(seed), "manager", "honest")
        at = next(i for i, t in enumerate(played.turns) if t.state == "awarding")
        table = fork(played, at)
        waiting = next(o.to for o in table.observe().options if o.move.act is Act.REJECT_PROPOSAL)
        who = waiting[-1] if waiting else None
        first = Reply(
            act=Act.ACCEPT_PROPOSAL, to=who, content={"tasks": [table.world.public()["tasks"][0]]}
        )
        changed = fork(played, at, first)
        seats = {
            "manager": ScriptedPool(STRATEGIES["manager"]()),
            "bidder": ScriptedPool(STRATEGIES["honest"]()),
        }
        (other,) = play([changed], seats)
        assert all(t.error is None for t in other.turns)
        granted = [
            t for m in other.messages if m.act is Act.ACCEPT_PROPOSAL for t in m.content.tasks
        ]  # type: ignore[union-attr]
        assert len(granted) == len(set(granted))
        assert sum(other.outcome.utilities.values()) <= sum(played.outcome.utilities.values())


def test_an_oracle_manager_needs_the_secrets() -> None:
    seats = {
        "manager": ScriptedPool(STRATEGIES["nash"]()),
        "bidder": ScriptedPool(STRATEGIES["honest"]()),
    }
    (played,) = play([Environment(drawn(1))], seats)
    assert played.ended is Ended.BROKEN
    assert "sees_all" in played.why
