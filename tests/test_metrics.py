"""Metrics beyond the first ones: each against its formula, by hand."""

from __future__ import annotations

import zlib
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moot
from moot.environments import Environment, Episode, Outcome, ProtocolChoice
from moot.environments.worlds.item_division import ItemRole, ItemScenario
from moot.environments.worlds.price_bargaining import PriceRole, PriceScenario
from moot.evaluation import METRICS, Metric, score
from moot.evaluation.seen import FEW, Seen
from moot.protocols import Message, MootError, Reply


def scenario(**more: Any) -> ItemScenario:
    """One book and one hat: ann wants the book, bob the hat."""
    return ItemScenario(
        name="two things",
        protocol=ProtocolChoice(name="alternating_offers"),
        items={"book": 1, "hat": 1},
        roles={
            "ann": ItemRole(values={"book": 10, "hat": 2}),
            "bob": ItemRole(values={"book": 4, "hat": 8}),
        },
        **more,
    )


BICYCLE = PriceScenario(
    name="bicycle",
    protocol=ProtocolChoice(name="alternating_offers"),
    item="bicycle",
    low=0,
    high=100,
    roles={"seller": PriceRole(reserve=20), "buyer": PriceRole(reserve=80)},
)


def played(*replies: Reply, number: int = 0, of: Any = None) -> Episode:
    table = Environment(of or scenario(), seed=1, episode=number)
    for reply in replies:
        table.step(reply)
    return table.episode()


def offer(book: int, hat: int, text: str = "") -> Reply:
    return Reply(act="propose", content={"take": {"book": book, "hat": hat}}, text=text)


def price(p: int) -> Reply:
    return Reply(act="propose", content={"price": p})


def claim(**values: int) -> Reply:
    return Reply(act="inform", content={"values": values})


def say(text: str) -> Reply:
    return Reply(act="inform", text=text)


ACCEPT, LEAVE = Reply(act="accept-proposal"), Reply(act="cancel")


def value(name: str, *episodes: Episode) -> float | None:
    return score(episodes)[name].value


def test_short_of_the_best() -> None:
    best = played(offer(1, 0), ACCEPT)  # 10 and 8
    worst = played(offer(0, 1), ACCEPT, number=1)  # 2 and 4
    none = played(LEAVE, number=2)  # 0 and 0
    assert value("regret", best, worst, none) == pytest.approx((0 + 12 + 18) / 3)
    # Nearest to (2, 4) and to (0, 0) on the frontier (0, 12), (10, 8), (12, 0).
    assert value("pareto_distance", worst) == pytest.approx((2**2 + 8**2) ** 0.5)
    assert value("pareto_distance", best) == 0
    assert value("pareto_distance", none) == pytest.approx(12)


def test_fairness() -> None:
    best, all_ = played(offer(1, 0), ACCEPT), played(offer(1, 1), ACCEPT, number=1)
    assert value("fairness_jain", best) == pytest.approx(18**2 / (2 * (100 + 64)))
    assert value("fairness_jain", all_) == pytest.approx(1 / 2)
    assert value("fairness_gini", best) == pytest.approx(2 * 2 / (2 * 2 * 18))
    assert value("fairness_gini", all_) == pytest.approx(1 - 1 / 2)
    assert value("fairness_maxmin", best, all_) == pytest.approx((8 / 8 + 0) / 2)
    left = played(LEAVE)
    for name in ("fairness_jain", "fairness_gini"):
        assert (value(name, left), score([left])[name].unscored) == (None, 1)
    assert value("fairness_maxmin", left) == 0


gains = st.lists(st.floats(0, 100), min_size=2, max_size=2).filter(lambda g: sum(g) > 0.01)


@settings(max_examples=50, deadline=None)
@given(gains)
def test_fairness_keeps_to_its_bounds(points: list[float]) -> None:
    outcome = Outcome(completed=True, utilities=dict(zip(("ann", "bob"), points, strict=True)))
    episode = played(offer(1, 0), ACCEPT).model_copy(update={"outcome": outcome})
    jain, gini = value("fairness_jain", episode), value("fairness_gini", episode)
    assert jain is not None
    assert gini is not None
    assert 0.5 - 1e-9 <= jain <= 1 + 1e-9
    assert -1e-9 <= gini <= 0.5 + 1e-9
    # Between two, one tells the other: J = 1 / (1 + 4 G^2).
    assert jain == pytest.approx(1 / (1 + 4 * gini**2))


def test_who_spoke_and_what_was_repeated() -> None:
    talk = played(say("one two three four"), say("one two three"), say("nine"), LEAVE)
    p = 5 / 8
    assert value("speaking_balance", talk) == pytest.approx(
        -(p * log(p) + (1 - p) * log(1 - p)) / log(2)
    )
    assert value("repeated_trigrams", talk) == pytest.approx(1 / 3)
    text = b"one two three four\none two three\nnine"
    assert value("compression", talk) == pytest.approx(
        1 - len(zlib.compress(text, 1, -15)) / len(text)
    )
    silent = played(offer(1, 0), ACCEPT)
    for name in ("speaking_balance", "repeated_trigrams", "compression"):
        assert value(name, silent) is None
    parrot = played(*[say("the same words again and again")] * 8, LEAVE)
    repeats, saved = value("repeated_trigrams", parrot), value("compression", parrot)
    assert repeats == pytest.approx(7 / 8)
    assert saved is not None
    assert saved > 0.7


def test_costs_are_spread_over_what_was_won() -> None:
    counted = Reply(raw='{"act": "accept-proposal"}', completion_tokens=9)
    gave_up = Reply(raw='{"act": "cancel"}', completion_tokens=6)
    episodes = played(offer(1, 0), counted), played(offer(1, 0), gave_up, number=1)
    found = score(episodes)["tokens_per_point"]
    assert (found.value, found.n) == (pytest.approx(15 / 18), 18)
    assert value("messages_per_completed_task", *episodes) == 4 / 1


def test_claims_against_the_truth() -> None:
    honest = played(claim(book=10, hat=2), claim(book=4, hat=8), LEAVE)
    assert (value("false_claim_rate", honest), value("claim_error", honest)) == (0, 0)
    liar = played(claim(book=10, hat=10), claim(book=4, hat=8), LEAVE, number=1)
    assert value("false_claim_rate", liar) == 1 / 2
    assert value("claim_error", liar) == pytest.approx((8 / 2 / 10) / 2)
    assert value("false_claim_rate", played(LEAVE)) is None
    limit = Reply(act="inform", content={"limit": 60})
    haggler = played(limit, Reply(act="inform", content={"limit": 80}), LEAVE, of=BICYCLE)
    assert value("false_claim_rate", haggler) == 1 / 2
    assert value("claim_error", haggler) == pytest.approx((40 / 20) / 2)


def test_a_record_is_scored_like_the_episode_that_was_played(tmp_path: Path) -> None:
    """A record does not keep the types of contents."""
    lively = [
        played(claim(book=9, hat=2), offer(1, 1), offer(1, 0), offer(1, 0), offer(0, 1), LEAVE),
        played(price(90), price(30), price(80), price(50), ACCEPT, number=1, of=BICYCLE),
    ]
    again = [Episode.model_validate_json(e.line()) for e in lively]
    for one, two in zip(score(lively), score(again), strict=True):
        assert one == two


def test_reciprocity() -> None:
    # Seller: 90, then 10 less; buyer: 10, then 20 more: min/max of 20 against 10.
    uneven = played(price(90), price(10), price(80), price(30), LEAVE, of=BICYCLE)
    assert value("reciprocity", uneven) == pytest.approx(10 / 20)
    even = played(price(90), price(10), price(80), price(20), price(70), LEAVE, of=BICYCLE)
    assert value("reciprocity", even) == pytest.approx(1)
    stubborn = played(price(90), price(10), price(80), price(10), price(70), LEAVE, of=BICYCLE)
    assert value("reciprocity", stubborn) == 0
    assert value("reciprocity", played(price(90), price(10), LEAVE, of=BICYCLE)) is None


def test_how_it_ended() -> None:
    nonsense = Reply(act="agree")
    late = Reply(error="TimeoutError: no reply within 60 s")
    short = scenario().model_copy(
        update={"protocol": ProtocolChoice(name="alternating_offers", deadline=2)}
    )
    episodes = [
        played(nonsense, nonsense, nonsense),
        played(late, number=1),
        played(Reply(error="ValueError: boom"), number=2),
        played(say("a"), say("b"), number=3, of=short),
    ]
    found = score(episodes)
    for name in ("forfeit_rate", "timeout_rate", "deadline_rate"):
        assert found[name].value == 1 / 4, name
    assert found["broken_rate"].value == 2 / 4


def test_results_of_the_world_are_metrics() -> None:
    episode = played(offer(1, 0), ACCEPT)
    worth = Outcome(completed=True, utilities={"ann": 1, "bob": 2}, results={"revenue": 7})
    sold = episode.model_copy(update={"id": 1, "outcome": worth})
    found = score([episode, sold])
    assert (found["result.revenue"].value, found["result.revenue"].unscored) == (7, 1)
    assert [s.name for s in found][-1] == "result.revenue"
    with pytest.raises(KeyError):
        found["result.price"]


def test_a_metric_of_ones_own() -> None:
    def long(seen: Seen) -> tuple[float, float]:
        """Messages of more than two words."""
        return sum(len(there) > 2 for there in seen.words), len(seen.messages)

    own = Metric("long", "long messages", "of messages", (0, 1), long)
    talk: list[Episode] = [played(say("one two three"), say("one"), LEAVE)]
    found = score(talk, metrics={"long": own})
    assert [s.name for s in found] == ["long", "utility.ann", "utility.bob"]
    assert found["long"].value == pytest.approx(1 / 3)
    assert next(iter(score(talk, metrics=["utility"]))).name == "utility"
    with pytest.raises(MootError, match="did you mean 'utility'"):
        score(talk, metrics=["utilty"])


def test_hidden_best_is_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    episode = played(offer(1, 0), ACCEPT)
    unknown = Seen(episode).solution.model_copy(
        update={"max_joint": float("inf"), "max_nash": float("inf"), "frontier": ()}
    )
    monkeypatch.setattr(Seen, "solution", unknown)
    found = score([episode])
    for name in (
        "pareto_rate",
        "pareto_distance",
        "joint_share",
        "regret",
        "nash_ratio",
        "fairness_maxmin",
    ):
        assert found[name].value is None, name
    assert found["utility"].value == 9


def test_where_the_frontier_is_not_known_nothing_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    episode = played(offer(1, 0), ACCEPT)
    bare = Seen(episode).solution.model_copy(update={"frontier": ()})
    monkeypatch.setattr(Seen, "solution", bare)
    found = score([episode])
    for name in ("pareto_rate", "pareto_distance", "fairness_maxmin"):
        assert found[name].value is None, name
    assert found["regret"].value == 0


def test_a_game_played_to_its_end_has_a_pareto_rate(tmp_path: Path) -> None:
    agents = {"*": "scripted:always_cooperate"}
    run = moot.simulate("prisoners", agents=agents, episodes=2, out=tmp_path / "kind")
    assert score(run)["pareto_rate"].value == 1
    agents = {"*": "scripted:always_defect"}
    run = moot.simulate("prisoners", agents=agents, episodes=2, out=tmp_path / "hard")
    found = score(run)
    assert (found["pareto_rate"].value, found["utility_agreed"].value) == (0, None)
    assert found["pareto_distance"].value is not None
    # From (1, 1) to (3, 3) or to a mixture that is nearer.
    assert 2 < found["pareto_distance"].value <= 2 * 2**0.5


def test_many_parties_with_a_long_frontier() -> None:
    scenario = moot.draw(moot.load_scenario("harbour"), 0, 0)
    table = Environment(scenario)
    table.step(Reply(error="gone"))
    found = score([table.episode()])
    solution = Seen(table.episode()).solution
    none = solution.disagreement
    near = min(
        sum((a - b) ** 2 for a, b in zip(p, none, strict=True)) ** 0.5 for p in solution.frontier
    )
    assert len(solution.frontier) > FEW
    assert Seen(table.episode()).efficient == solution.efficient(none) is False
    assert found["pareto_distance"].value == pytest.approx(near)


def test_messages_of_strangers_have_no_share() -> None:
    episode = played(say("one two"), say("three four"), LEAVE)
    stray = Message(
        id=3, conversation="x", sender="world", receivers=("ann",), act="inform", text="hm"
    )
    turn = episode.turns[-1].model_copy(update={"message": stray})
    told = episode.model_copy(update={"turns": (*episode.turns, turn)})
    assert value("speaking_balance", told) == value("speaking_balance", episode) == 1


def test_all_are_described() -> None:
    for metric in METRICS.values():
        assert metric.part.__doc__
