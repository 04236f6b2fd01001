"""Best replies against brute force: every other choice of an agent is played out by the world itself."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.environments import WORLDS, Environment, Episode, Scenario, said
from moot.environments.check import legal_reply
from moot.environments.scenario import Role
from moot.environments.worlds import replies
from moot.environments.worlds.auction_scenario import AuctionGenerator
from moot.environments.worlds.commons_scenario import CommonsScenario
from moot.environments.worlds.hidden_scenario import HiddenGenerator
from moot.environments.worlds.matrix_scenario import MatrixGenerator, MatrixScenario
from moot.environments.worlds.rounds import joint_action
from moot.evaluation import score
from moot.evaluation.seen import Seen
from moot.protocols import Message, Reply


def drawn(scenario: Scenario, number: int) -> Episode:
    """A random episode of random legal replies."""
    table = Environment(scenario, seed=1, episode=number)
    while table.ended is None:
        table.step(legal_reply(table.observe(), 1.0))
    return table.episode()


def chosen(m: Message) -> bool:
    """Whether a message is a choice that counts, not talk about it."""
    return m.act in ("request", "confirm", "propose", "refuse")


def otherwise(episode: Episode, agent: str, plan: Sequence[Reply]) -> float:
    """What the agent scores when its choices are these, and all else is as it was."""
    table, own = Environment(episode.scenario, seed=1, episode=episode.id), iter(plan)
    for m in episode.messages:
        if table.ended is not None:
            break
        turn = table.step(next(own) if m.sender == agent and chosen(m) else said(m))
        assert turn.error is None, turn.error
    assert table.ended is not None
    return table.episode().outcome.utilities[agent]


def brute(episode: Episode, ways: Mapping[str, Sequence[Reply]]) -> dict[str, float]:
    """Agent -> best score over all sequences of its ways to choose, minus its own."""
    found: dict[str, float] = {}
    for agent, choices in ways.items():
        times = sum(m.sender == agent and chosen(m) for m in episode.messages)
        plans: Iterator[Sequence[Reply]] = itertools.product(choices, repeat=times)
        best = max(otherwise(episode, agent, plan) for plan in plans)
        found[agent] = best - episode.outcome.utilities[agent]
    return found


def reacting(scenario: Any, at: int, xs: list[str], ys: list[str], *, best: bool) -> float:
    """Points of one seat over all histories, both reacting as they did; or it does the best after each."""
    names = [list(scenario.table), list(scenario.actions()[list(scenario.roles)[1]])]
    acts = xs, ys

    def chance(seat: int, before: tuple[str, str] | None, act: str) -> float:
        if before is None:
            return float(acts[seat][0] == act)
        after = [acts[seat][t + 1] for t in range(len(xs) - 1) if (xs[t], ys[t]) == before]
        after = after or acts[seat]
        return after.count(act) / len(after)

    def value(history: tuple[tuple[str, str], ...]) -> float:
        if len(history) == len(xs):
            return sum(scenario.table[a][b][at] for a, b in history)
        before = history[-1] if history else None
        worth: list[float] = []
        weight: list[float] = []
        for own in names[at]:
            pairs = [((own, b) if at == 0 else (b, own), b) for b in names[1 - at]]
            worth.append(
                sum(
                    p * value((*history, pair))
                    for pair, b in pairs
                    if (p := chance(1 - at, before, b))
                )
            )
            weight.append(chance(at, before, own))
        if best:
            return max(worth)
        return sum(w * p for w, p in zip(worth, weight, strict=True))

    return value(())


def test_who_strikes_back_is_less_exploitable() -> None:
    """Tit for tat against one that defects now and then: it is seen to answer."""
    scenario = MatrixScenario(
        name="x", game="prisoners_dilemma", rounds=6, roles={"ann": Role(), "bob": Role()},
        protocol=joint_action(0),
    )  # fmt: skip
    bob = ["cooperate", "defect", "cooperate", "cooperate", "defect", "cooperate"]
    found: list[Any] = []
    for ann in (["cooperate", *bob[:-1]], ["cooperate"] * 6):
        table = Environment(scenario)
        for pair in zip(ann, bob, strict=True):
            for action in pair:
                table.step(do("request", action=action))
        found.append(Seen(table.episode()).gaps)
    answers, suffers = found
    assert answers.reactive["bob"] < suffers.reactive["bob"]
    assert answers.reactive["bob"] < answers.mixed["bob"]


def do(act: str, **content: Any) -> Reply:
    return Reply(act=act, content=content or None)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_matrix_games(number: int) -> None:
    games = MatrixGenerator(games=("random", "chicken"), rounds=(1, 3), talk=number % 2)
    scenario = games.draw(random.Random(number))
    episode = drawn(scenario, number)
    gaps = Seen(episode).gaps
    assert gaps is not None
    assert gaps.mixed is not None
    ways = {a: [do("request", action=x) for x in xs] for a, xs in scenario.actions().items()}
    assert dict(gaps.regret) == pytest.approx(brute(episode, ways), abs=1e-9)
    # NashConv: every pure reply to the other's frequencies, with the pairs looked up one by one.
    one, two = scenario.roles
    acts = {
        a: [m.content.action for m in episode.messages if m.sender == a and chosen(m)]  # type: ignore[union-attr]
        for a in (one, two)
    }
    mean = {
        "first": lambda x, y: np.mean([scenario.table[a][b][0] for a in x for b in y]),
        "second": lambda x, y: np.mean([scenario.table[a][b][1] for a in x for b in y]),
    }
    xs, ys = acts[one], acts[two]
    first = max(mean["first"]([a], ys) for a in scenario.table) - mean["first"](xs, ys)
    second = max(mean["second"](xs, [b]) for b in scenario.actions()[two]) - mean["second"](xs, ys)
    assert dict(gaps.mixed) == pytest.approx({one: first, two: second}, abs=1e-9)
    assert min(first, second) > -1e-9
    assert gaps.reactive is not None
    for at, seat in enumerate((one, two)):
        best, same = (reacting(scenario, at, xs, ys, best=b) for b in (True, False))
        assert gaps.reactive[seat] == pytest.approx((best - same) / scenario.rounds, abs=1e-9)
    found = score([episode], metrics=["exploitability", "reply_regret"])
    assert found["exploitability"].value == pytest.approx((first + second) / 2, abs=1e-9)
    assert found["reply_regret"].value == pytest.approx(sum(gaps.regret.values()) / 2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_sealed_bids(number: int, second: bool) -> None:
    rule = "second_price" if second else "first_price"
    sales = AuctionGenerator(auctions=(rule,), bidders=(2, 4), high=40, tick=5, noise=8)
    scenario = sales.draw(random.Random(number))
    episode = drawn(scenario, number)
    prices = range(scenario.low, scenario.high + 1, scenario.tick)
    ways = [*(do("propose", price=p) for p in prices), do("refuse")]
    gaps = Seen(episode).gaps
    assert gaps is not None
    assert dict(gaps.regret) == pytest.approx(brute(episode, dict.fromkeys(scenario.roles, ways)))
    found = score([episode], metrics=["exploitability", "reply_regret"])
    assert found["exploitability"].value == found["reply_regret"].value


def test_truth_is_a_best_reply_at_the_second_price() -> None:
    sales = AuctionGenerator(auctions=("second_price",), tick=1, common=0)
    for number in range(20):
        scenario = sales.draw(random.Random(number))
        table = Environment(scenario, episode=number)
        for value in scenario.values().values():
            table.step(do("propose", price=value))
        gaps = Seen(table.episode()).gaps
        assert gaps is not None
        assert set(gaps.regret.values()) == {0.0}


def lake(**more: Any) -> CommonsScenario:
    fields = {
        "name": "lake", "protocol": {"name": "joint_action", "talk": 0, "deadline": None},
        "rounds": 3, "capacity": 12, "growth": 1.0, "most": 5, "roles": {"ann": {}, "bob": {}},
    }  # fmt: skip
    return CommonsScenario.model_validate(fields | more)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["ration", "blackout"]), st.booleans())
def test_commons(number: int, shortage: str, needs: bool) -> None:
    roles = {"ann": {"demands": [2, 5, 1]}, "bob": {}} if needs else {"ann": {}, "bob": {}}
    scenario = lake(shortage=shortage, roles=roles, start=8)
    episode = drawn(scenario, number)
    gaps = Seen(episode).gaps
    assert gaps is not None
    ways = [do("request", take=n) for n in range(scenario.most + 1)]
    assert dict(gaps.regret) == pytest.approx(brute(episode, dict.fromkeys(scenario.roles, ways)))


def test_a_lake_that_ran_dry_is_judged_by_the_rounds_that_there_were() -> None:
    scenario = lake(collapse=5)
    table = Environment(scenario)
    for _ in scenario.roles:
        table.step(do("request", take=5))
    assert table.ended is not None
    gaps = Seen(table.episode()).gaps
    assert gaps is not None
    assert dict(gaps.regret) == {"ann": 0, "bob": 0}  # 5 is the most of one round


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_votes(number: int, judge: bool) -> None:
    debates = HiddenGenerator(agents=(3, 4), rounds=(1, 1), judge=float(judge))
    scenario = debates.draw(random.Random(number))
    episode = drawn(scenario, number)
    who = scenario.debaters()
    ways = {
        a: [do("request" if a in who else "confirm", accuse=b) for b in who if a != b]
        for a in scenario.roles
    }
    gaps = Seen(episode).gaps
    assert gaps is not None
    assert dict(gaps.regret) == pytest.approx(brute(episode, ways))


@pytest.mark.parametrize("world", [n for n, w in WORLDS.items() if hasattr(w, "gaps")])
def test_what_was_not_played_to_its_end_is_unscored(world: str) -> None:
    scenario = WORLDS[world].Generator().draw(random.Random(1))  # type: ignore[attr-defined]
    table = Environment(scenario)
    table.step(Reply(error="gone"))
    found = score([table.episode()], metrics=["exploitability", "reply_regret"])
    assert (found["reply_regret"].value, found["exploitability"].unscored) == (None, 1)


def test_called_prices_and_large_lakes_are_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    english = AuctionGenerator(auctions=("english",)).draw(random.Random(3))
    assert Seen(drawn(english, 1)).gaps is None
    episode = drawn(lake(), 1)
    assert Seen(episode).gaps is not None
    monkeypatch.setattr(replies, "MOST_STEPS", 10)
    assert Seen(episode).gaps is None
    talk = WORLDS["item_division"].Generator().draw(random.Random(1))  # type: ignore[attr-defined]
    assert Seen(drawn(talk, 1)).gaps is None
