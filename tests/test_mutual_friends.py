"""Mutual friends: the exchange protocol, what is told and picked, who asks well, and the data file."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.friends import ANY, beliefs, fits, question
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, Scenario, play
from moot.environments.datafile import load_scenarios
from moot.environments.load import load_scenario
from moot.environments.worlds.friends_scenario import FriendsGenerator, FriendsScenario
from moot.environments.worlds.mutual_friends import MutualFriends, least_messages
from moot.protocols import Act, Ended, MootError, Reply, check_protocol, exchange

DATA = Path(__file__).parents[2] / "shared" / "data" / "mutual_friends" / "scenarios.jsonl.gz"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs the data folder")
NAMES = ("job", "town")
SMALL: dict[str, Any] = {
    "world": "mutual_friends",
    "protocol": {"name": "exchange", "deadline": 12},
    "attributes": list(NAMES),
    "roles": {
        "ann": {"rows": [{"job": "nurse", "town": "Bath"}, {"job": "nurse", "town": "Lund"},
                         {"job": "baker", "town": "Nice"}]},
        "bob": {"rows": [{"job": "baker", "town": "Lund"}, {"job": "nurse", "town": "Lund"}]},
    },
}  # fmt: skip


def small(**changed: Any) -> Environment:
    return Environment(FriendsScenario.model_validate({**SMALL, **changed}))


def ask(job: str = ANY, town: str = ANY) -> Reply:
    return Reply(act=Act.QUERY_REF, content={"where": {"job": job, "town": town}})


def tell(count: int, job: str = ANY, town: str = ANY) -> Reply:
    content = {"where": {"job": job, "town": town}, "count": count}
    return Reply(act=Act.INFORM, content=content)


def pick(row: str) -> Reply:
    return Reply(act=Act.PROPOSE, content={"row": row})


YES, NO = Reply(act=Act.ACCEPT_PROPOSAL), Reply(act=Act.REJECT_PROPOSAL)


def done(table: Environment, *replies: Reply) -> Episode:
    for reply in replies:
        error = table.step(reply).error
        assert error is None, error
    return table.episode()


def played(scenario: Scenario, *names: str, episode: int = 0) -> Episode:
    agents = dict(zip(scenario.roles, map(Scripted, names), strict=True))
    oracles = frozenset(seat for seat, agent in agents.items() if agent.sees_all)
    table = Environment(scenario, episode=episode, sees_all=oracles)
    (record,) = play([table], {seat: ScriptedPool(agent) for seat, agent in agents.items()})
    assert all(turn.error is None for turn in record.turns), record.turns[-1]
    return record


# ---- the protocol and the world ------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [1, 6, 24])
@pytest.mark.parametrize("talk", [True, False])
def test_exchange_keeps_its_promises(deadline: int, talk: bool) -> None:
    notes = check_protocol(exchange(deadline, talk), paths=60)
    assert notes.refused > 10 * notes.messages


def test_found_when_both_pick_the_shared_row() -> None:
    record = done(small(), ask("nurse"), tell(1, "nurse"), pick("nurse / Lund"), YES)
    assert record.ended is Ended.AGREED
    assert record.outcome.completed
    assert record.outcome.deal == {"row": "nurse / Lund"}
    assert record.outcome.utilities == {"ann": 1, "bob": 1}
    # Bob's 3 counts are worth log2(3) bits, just what ann has to learn of her 3 rows: one answer.
    assert record.outcome.results == {"found": 1, "untrue": 0, "over": 1}


def test_to_agree_on_another_row_finds_nothing() -> None:
    record = done(small(), pick("baker / Nice"), YES)
    assert record.ended is Ended.AGREED
    assert not record.outcome.completed
    assert record.outcome.deal is None
    assert record.outcome.utilities == {"ann": 0, "bob": 0}
    assert record.outcome.results == {"found": 0, "untrue": 0}


def test_false_counts_are_legal_and_counted() -> None:
    record = done(
        small(), tell(2, "nurse"), tell(2, town="Lund"), tell(0), ask("nurse"), tell(3, "nurse"),
        Reply(act=Act.INFORM), pick("nurse / Lund"), pick("baker / Lund"), NO, pick("nurse / Lund"), YES
    )  # fmt: skip
    assert record.outcome.results["untrue"] == 2
    assert record.outcome.completed


def test_an_answer_answers_what_was_asked() -> None:
    table = small()
    table.step(ask("baker", "Nice"))
    wrong = table.step(tell(1, "baker"))
    assert wrong.error is not None
    assert "as you were asked" in wrong.error.legal
    assert table.step(tell(0, "baker", "Nice")).error is None


@pytest.mark.parametrize(
    ("reply", "legal"),
    [
        (ask("pilot"), "job: any or nurse or baker"),
        (tell(4), "count 0 to 3"),
        (tell(-1), "count 0 to 3"),
        (pick("baker / Lund"), "row one of nurse / Bath; nurse / Lund; baker / Nice"),
        (Reply(act=Act.QUERY_REF, content={"where": {"job": "nurse"}}), "where job"),
        (YES, "query-ref"),
    ],
    ids=str,
)
def test_what_is_not_legal(reply: Reply, legal: str) -> None:
    error = small().step(reply).error
    assert error is not None
    assert legal in error.legal


def rows(*values: str) -> dict[str, Any]:
    return {"rows": [dict(zip(NAMES, v.split("/"), strict=True)) for v in values]}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"roles": {"a": rows("x/y"), "b": rows("x/z")}},
            "exactly one row in both tables, got none",
        ),
        (
            {"roles": {"a": rows("x/y", "u/v"), "b": rows("x/y", "u/v")}},
            "in both tables, got x / y; u / v",
        ),
        ({"roles": {"a": rows("x/y", "x/y"), "b": rows("x/y")}}, "a row stands there twice"),
        (
            {"roles": {"a": rows("any/y"), "b": rows("any/y")}},
            "no value may be empty, 'any' or hold",
        ),
        ({"roles": {"a": rows("x/y")}}, "got 1, want two"),
        ({"attributes": ["job", "pet"]}, "attributes are"),
        ({"attributes": ["job", "job"]}, "want different names"),
        ({"protocol": "alternating_offers"}, "want exchange"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MootError, match=sentence):
        load_scenario({**SMALL, **changed})


def test_another_table_changes_nothing_that_is_seen() -> None:
    one = small()
    other = rows("pilot/Lund", "nurse/Lund", "baker/Bath", "clerk/Turku")
    two = small(roles={**SMALL["roles"], "bob": other})
    for reply in (None, ask("nurse"), tell(1, "nurse"), pick("nurse / Lund"), NO):
        if reply is not None:
            assert one.step(reply).error is None
            assert two.step(reply).error is None
        assert one.observe("ann").dump() == two.observe("ann").dump()


def test_the_bound_is_the_bits_over_what_an_answer_holds() -> None:
    assert least_messages((1, 9)) == 2
    assert least_messages((6, 6)) == 3
    assert least_messages((50, 6)) == 3  # whoever has fewer rows may be the one who learns
    assert least_messages((50, 50)) == 3
    solution = MutualFriends.solve(small().scenario)
    assert solution.reference == {"bits": 1.0, "messages": 3}
    assert solution.best == {"row": "nurse / Lund"}


# ---- drawn tables --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.floats(0.05, 5))
def test_drawn_tables_share_one_row(seed: int, alpha: float) -> None:
    scenario = FriendsGenerator(rows=(2, 9), alpha=(alpha, alpha)).draw(random.Random(seed))
    one, two = (role.rows for role in scenario.roles.values())
    assert len(one) == len(two)
    assert [row for row in one if row in two] == [scenario.shared]


def test_a_low_concentration_makes_some_values_common() -> None:
    def most(alpha: float) -> float:
        tables = [
            role.rows
            for n in range(20)
            for role in FriendsGenerator(rows=(8, 8), values=(8, 8), alpha=(alpha, alpha))
            .draw(random.Random(n)).roles.values()
        ]  # fmt: skip
        shares = [
            max([r[a] for r in table].count(v) for v in {r[a] for r in table})
            for table in tables
            for a in table[0]
        ]
        return sum(shares) / len(shares)

    assert most(0.2) > most(20) + 1


@pytest.mark.parametrize("wrong", [{"rows": (5, 4)}, {"values": (2, 9)}, {"attributes": (1, 3)},
                                   {"alpha": (0, 1)}, {"seats": ("a", "a")}], ids=str)  # fmt: skip
def test_a_generator_says_what_it_cannot(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="want"):
        FriendsGenerator(**wrong)


def test_too_few_values_for_so_many_rows() -> None:
    with pytest.raises(MootError, match="100 draws"):
        FriendsGenerator(rows=(20, 20), attributes=(2, 2), values=(2, 2)).draw(random.Random(0))


@needs_data
def test_the_data_file_as_scenarios() -> None:
    scenarios = load_scenarios(DATA)
    assert len(scenarios) == 800
    with gzip.open(DATA, "rt") as file:
        for scenario, line in zip(scenarios, file, strict=True):
            assert isinstance(scenario, FriendsScenario)
            told = json.loads(line)
            assert scenario.source == told["id"]
            assert scenario.shared == told["outcome"]["mutual_friend"]
    sizes = {len(role.rows) for s in scenarios[:200] for role in s.roles.values()}  # type: ignore[attr-defined]
    assert sizes == set(range(5, 13))
    assert scenarios[0].protocol.build().deadline == 20
    found = [played(s, "sensible", "sensible", episode=i) for i, s in enumerate(scenarios[:40])]
    assert sum(e.outcome.completed for e in found) >= 38


# ---- players -------------------------------------------------------------------------------------


def entropy(weights: Any) -> float:
    return -sum(w * math.log(w) for w in weights if w > 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_question_asked_leaves_the_least_entropy(seed: int) -> None:
    """By brute force: the belief after every count, weighed by how likely the count is."""
    scenario = FriendsGenerator(rows=(3, 6)).draw(random.Random(seed))
    table = tuple(tuple(row.values()) for row in next(iter(scenario.roles.values())).rows)
    many = len(table)
    facts, nobody = (((ANY, ANY, table[0][2]), 1),), frozenset[Any]()
    now = beliefs(table, facts, nobody)
    best = 0.0
    for row, kept in itertools.product(table, itertools.product((True, False), repeat=3)):
        where = tuple(v if keep else ANY for v, keep in zip(row, kept, strict=True))
        left = 0.0
        for count in range(many + 1):
            # P(count) by total probability, from the odds that Bayes' rule turns into beliefs.
            after = beliefs(table, (*facts, (where, count)), nobody)
            left += likelihood(table, now, where, count) * entropy(after)
        best = max(best, entropy(now) - left)
    assert question(table, facts, nobody)[1] == pytest.approx(best, abs=1e-9)


def likelihood(table: Any, now: Any, where: Any, count: int) -> float:
    p, many = 0.0, len(table)
    if ANY in where:
        p = 1.0
        for at, want in enumerate(where):
            column = [row[at] for row in table]
            p *= 1 if want == ANY else (column.count(want) + 1) / (many + len(set(column)) + 1)

    def others(n: int) -> float:
        return math.comb(many - 1, n) * p**n * (1 - p) ** (many - 1 - n) if 0 <= n < many else 0.0

    return sum(
        w * others(count - fits(where, row)) for w, row in zip(now, table, strict=True)
    )  # fmt: skip


def test_what_was_told_rules_rows_out() -> None:
    table = (("nurse", "Bath"), ("nurse", "Lund"), ("baker", "Nice"))
    assert beliefs(table, ((("nurse", ANY), 0),), frozenset()) == (0, 0, 1)
    assert beliefs(table, (), frozenset({("nurse", "Lund")})) == (0.5, 0, 0.5)
    assert beliefs(table, ((("nurse", "Lund"), 1),), frozenset()) == (0, 1, 0)
    wide = tuple((*row, pet) for row, pet in zip(table, ("cat", "dog", "hen"), strict=True))
    rare = beliefs(wide, ((("baker", "Nice", ANY), 1),), frozenset())
    assert rare[2] > 0.6 > rare[0] == rare[1] > 0
    assert sum(beliefs(table, ((("nurse", ANY), 0), (("baker", ANY), 0)), frozenset())) == 1


def test_sensible_finds_it_oracle_at_once_random_by_luck() -> None:
    scenarios = [FriendsGenerator().draw(random.Random(n)) for n in range(40)]

    def both(name: str) -> list[Episode]:
        return [played(s, name, name, episode=i) for i, s in enumerate(scenarios)]

    sensible, oracle, chance = both("sensible"), both("oracle"), both("random")
    assert all(e.outcome.completed and not e.outcome.results["untrue"] for e in sensible)
    assert sum(len(e.messages) for e in sensible) / 40 < 11
    assert all(len(e.messages) == 2 and e.outcome.completed for e in oracle)
    assert sum(e.outcome.completed for e in chance) < 20
    assert sum(e.outcome.results["untrue"] for e in chance) > 10


@pytest.mark.parametrize("other", ["oracle", "random"])
def test_sensible_copes_with_anybody(other: str) -> None:
    for number in range(20):
        scenario = FriendsGenerator().draw(random.Random(number))
        for names in ((other, "sensible"), ("sensible", other)):
            record = played(scenario, *names, episode=number)
            assert record.ended in (Ended.AGREED, Ended.LIMIT)
            words = [m.text for m in record.messages if m.sender == list(scenario.roles)[1]]
            assert all(len(w) <= 160 for w in words)


def test_the_shipped_search_ends_soon() -> None:
    scenario = load_scenario("shared_friend")
    assert isinstance(scenario, FriendsScenario)
    assert scenario.label(scenario.shared) == "nurse / chess / Lund"
    assert len(played(scenario, "sensible", "sensible").messages) <= 12
