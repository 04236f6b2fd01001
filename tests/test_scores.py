"""Scores: the numbers of published dialogues, and the rules that keep a mean honest."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from moot.environments import WORLDS, Environment, Episode, Outcome, ProtocolChoice
from moot.environments.records import Run
from moot.environments.worlds.item_division import ItemGenerator, ItemRole, ItemScenario
from moot.environments.worlds.price_bargaining import PriceGenerator
from moot.evaluation import METRICS, Score, Scores, merged, score, score_path, score_paths, table
from moot.protocols import Ended, MootError, Reply

DATA = Path(__file__).parents[2] / "shared" / "data"
has_data = pytest.mark.skipif(not DATA.exists(), reason="no data folder beside the checkout")


def scenario(ann: int = 10, **more: Any) -> ItemScenario:
    """One book and one hat: ann wants the book, bob the hat."""
    return ItemScenario(
        name="two things",
        protocol=ProtocolChoice(name="alternating_offers"),
        items={"book": 1, "hat": 1},
        roles={
            "ann": ItemRole(values={"book": ann, "hat": 2}),
            "bob": ItemRole(values={"book": 4, "hat": 8}),
        },
        **more,
    )


def played(*replies: Reply, number: int = 0, seats: Any = None, of: Any = None) -> Episode:
    table = Environment(of or scenario(), seed=1, episode=number, seats=seats)
    for reply in replies:
        table.step(reply)
    return table.episode()


def offer(book: int, hat: int, text: str = "") -> Reply:
    return Reply(act="propose", content={"take": {"book": book, "hat": hat}}, text=text)


ACCEPT = Reply(act="accept-proposal", text="it is a deal")
LEAVE = Reply(act="cancel")


def drawn(number: int) -> Episode:
    """An episode at random: any world of two, any ending, counted tokens or none."""
    rng = random.Random(number)
    world = ItemGenerator() if rng.random() < 0.7 else PriceGenerator()
    table = Environment(world.draw(rng), seed=3, episode=number)
    public = table.world.public()
    while table.ended is None:
        kind = rng.random()
        counts = rng.random() < 0.5
        known: dict[str, Any] = (
            {"completion_tokens": rng.randrange(1, 9), "legal_mass": rng.random(), "raw": ""}
            if counts
            else {}
        )
        if kind < 0.05:
            table.step(Reply(error="RuntimeError: boom"))
        elif kind < 0.15:
            table.step(Reply(act="cancel"))
        elif kind < 0.3:
            table.step(Reply(**{**known, "raw": "mumble"}))
        elif kind < 0.6 and table.conversation.offer is not None:
            table.step(Reply(act="accept-proposal", text="ok then"))
        else:
            content = (
                {"take": {k: rng.randint(0, n) for k, n in public["items"].items()}}
                if "items" in public
                else {"price": rng.randrange(public["low"], public["high"] + 1)}
            )
            raw = json.dumps({"act": "propose", "content": content, "text": "a b c"})
            table.step(Reply(**{**known, "raw": raw}))
    return table.episode()


@has_data
def test_the_numbers_of_deal_or_no_deal() -> None:
    data = score_path(DATA / "deal_or_no_deal" / "dialogues.jsonl.gz").data()
    assert json.loads(json.dumps(data)) == data
    metrics = data["metrics"]
    expected = {
        "completion_rate": (0.7558, 5773),
        "utility": (5.6528, 5773),
        "utility_agreed": (7.4796, 4363),
        "pareto_rate": (0.7758, 4363),
        "messages_per_episode": (4.9744, 5773),
        "words_per_message": (8.886, 28717),
    }
    for name, (value, n) in expected.items():
        assert metrics[name]["value"] == pytest.approx(value, abs=6e-5), name
        assert metrics[name]["n"] == n, name
        low, high = metrics[name]["ci"]
        assert low < value < high, name
        assert high - low < 0.04 * value, name
    assert metrics["utility_agreed"]["unscored"] == 1410
    assert metrics["illegal_move_rate"] == {"value": None, "n": 0, "ci": None, "unscored": 5773}
    assert data["episodes"] == 5773
    assert data["ended"] == {"agreed": 4363, "no-deal": 1410}
    assert data["source"].endswith("dialogues.jsonl.gz")


@has_data
def test_the_numbers_of_casino_and_craigslist() -> None:
    camp = score_path(DATA / "casino" / "dialogues.jsonl.gz")
    assert camp["utility_agreed"].value == pytest.approx(18.98, abs=0.03)
    assert camp["completion_rate"].value == pytest.approx(906 / 930)
    assert camp["joint_share"].n == 930
    trade = score_path(DATA / "craigslist_bargain" / "dialogues.jsonl.gz")
    assert trade["completion_rate"].value == pytest.approx(0.712)
    assert (trade["utility"].n, trade["utility"].unscored) == (997, 3)
    # Both reserves are the same price, so what one wins the other loses: nothing to share.
    assert trade["utility"].value == pytest.approx(0)
    assert (trade["joint_share"].value, trade["nash_ratio"].value) == (None, None)
    assert trade["pareto_rate"].value == 1
    seller, buyer = trade["utility.seller"], trade["utility.buyer"]
    assert seller.value is not None
    assert buyer.value == pytest.approx(-seller.value)


def test_each_metric_by_hand() -> None:
    episodes = [
        # ann 10 and bob 8 of 18: optimal.
        played(offer(1, 0, "the book for me"), ACCEPT, number=0),
        # ann 12, bob 0: nothing left over, so nobody could gain for free; no Nash product.
        played(offer(1, 1), ACCEPT, number=1),
        # ann 2, bob 4: bad for both.
        played(offer(0, 1), offer(1, 0), ACCEPT, number=2),
        played(LEAVE, number=3),
    ]
    scores = score(episodes)
    values = {s.name: s.value for s in scores}
    assert values["completion_rate"] == 3 / 4
    assert values["utility"] == (18 + 12 + 6) / 8
    assert values["utility_agreed"] == (18 + 12 + 6) / 6
    assert values["pareto_rate"] == pytest.approx(2 / 3)
    assert values["joint_share"] == pytest.approx((18 + 12 + 6 + 0) / 18 / 4)
    assert values["nash_ratio"] == pytest.approx((80 + 0 + 8 + 0) / 80 / 4)
    assert values["messages_per_episode"] == (2 + 2 + 3 + 1) / 4
    assert values["words_per_message"] == (4 + 3 * 4) / 8
    assert values["illegal_move_rate"] == 0
    assert values["broken_rate"] == 0
    assert values["utility.ann"] == (10 + 12 + 2) / 4
    assert values["utility.bob"] == (8 + 0 + 4) / 4
    assert [values[n] for n in ("tokens_per_message", "legal_mass")] == [None, None]
    assert scores["pareto_rate"].unscored == 1
    assert scores.ended == {"agreed": 3, "walked-away": 1}


def test_tokens_and_mass_count_what_was_spent_in_vain() -> None:
    def said(act: str, tokens: int, mass: float) -> Reply:
        return Reply(raw=json.dumps({"act": act}), completion_tokens=tokens, legal_mass=mass)

    scores = score(
        [
            played(offer(1, 0), said("agree", 5, 0.2), said("accept-proposal", 7, 0.4)),
            played(offer(1, 0), said("cancel", 9, 0.9), number=1),
            played(offer(1, 0), ACCEPT, number=2),
        ]
    )
    assert scores["tokens_per_message"].value == (7 + 9) / 2
    assert scores["tokens_per_message"].n == 2
    assert scores["tokens_per_completed_task"].value == (5 + 7 + 9) / 1
    assert scores["tokens_per_completed_task"].unscored == 1
    assert scores["legal_mass"].value == pytest.approx((0.2 + 0.4 + 0.9) / 3)
    assert scores["illegal_move_rate"].value == 1 / 7
    assert scores["illegal_move_rate"].n == 7


def test_broken_and_forfeited_episodes_stay_in_the_mean() -> None:
    illegal = Reply(act="agree")
    scores = score(
        [
            played(offer(1, 0), ACCEPT),
            played(offer(1, 0), Reply(error="TimeoutError: 60 s"), number=1),
            played(illegal, illegal, illegal, number=2),
        ]
    )
    assert scores["completion_rate"].value == pytest.approx(1 / 3)
    assert scores["utility"].value == (10 + 8) / 6
    assert scores["broken_rate"].value == pytest.approx(1 / 3)
    assert scores["illegal_move_rate"].value == 3 / 6, "a crash is no reply"
    assert scores.ended == {"agreed": 1, "broken": 1, "forfeited": 1}


def test_unknown_worth_is_unscored_and_no_zero() -> None:
    known = played(offer(1, 0), ACCEPT)
    unknown = known.model_copy(update={"id": 1, "outcome": Outcome(completed=True, utilities={})})
    scores = score([known, unknown])
    assert scores["completion_rate"].value == 1
    for name, value in (
        ("utility", 9),
        ("utility_agreed", 9),
        ("joint_share", 1),
        ("utility.ann", 10),
    ):
        assert (scores[name].value, scores[name].n, scores[name].unscored) == (value, 1, 1)


def test_nothing_to_win_is_unscored() -> None:
    """A world where no deal beats walking away together has no share to speak of."""
    of = scenario(patience=0).model_copy(
        update={
            "roles": {
                "ann": ItemRole(values={"book": 5, "hat": 5}, no_deal=9),
                "bob": ItemRole(values={"book": 5, "hat": 5}, no_deal=9),
            }
        }
    )
    scores = score([played(offer(1, 0), ACCEPT, of=of)])
    assert scores["joint_share"].value is None
    assert scores["nash_ratio"].value is None
    assert scores["pareto_rate"].value == 0


def test_no_episodes_and_one() -> None:
    none = score([])
    assert all((s.value, s.n, s.ci, s.unscored) == (None, 0, None, 0) for s in none)
    assert none.data()["episodes"] == 0
    one = score([played(offer(1, 0), ACCEPT)])
    assert one["utility"].ci is None
    assert one["completion_rate"].ci == pytest.approx((0.025, 1))


def test_rates_without_exception_keep_a_width() -> None:
    scores = score([played(offer(1, 0), ACCEPT, number=n) for n in range(50)])
    assert scores["completion_rate"].ci == pytest.approx((0.9289, 1), abs=1e-4)
    assert scores["illegal_move_rate"].ci == pytest.approx((0, 0.0711), abs=1e-4)
    assert scores["utility"].ci == (9, 9)


def test_a_rate_of_few_episodes_has_the_exact_interval() -> None:
    """Resamples of 4 episodes often hold only one of the answers: their interval would be 0 to 1."""
    won = [played(offer(1, 0), ACCEPT, number=k) for k in range(3)]
    low, high = score([*won, played(LEAVE, number=3)])["completion_rate"].ci or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.19412, 0.99369), abs=1e-4)


def test_seats_are_scored_apart_only_while_they_are_the_same() -> None:
    ann = score([played(LEAVE)])
    assert "utility.bob" in [s.name for s in ann]
    other = scenario().model_copy(
        update={"roles": {"cleo": scenario().roles["ann"], "bob": scenario().roles["bob"]}}
    )
    mixed = score([played(LEAVE), played(LEAVE, of=other)])
    assert not [s.name for s in mixed if "." in s.name]
    assert not [s.name for s in ann.merge(score([played(LEAVE, of=other)])) if "." in s.name]
    for name in ("utility.bob", "utility.dan", "utlity"):
        with pytest.raises(KeyError):
            mixed[name]
    assert [s.name for s in Scores().merge(ann)] == [s.name for s in ann]


def near(one: Score, two: Score) -> None:
    assert (one.name, one.n, one.unscored) == (two.name, two.n, two.unscored)
    assert one.value == pytest.approx(two.value)
    assert one.ci == pytest.approx(two.ci)


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 10_000), unique=True, max_size=12),
    cut=st.integers(0, 12),
    shuffle=st.randoms(use_true_random=False),
)
def test_order_and_parts_do_not_matter(
    numbers: list[int], cut: int, shuffle: random.Random
) -> None:
    episodes = [drawn(n) for n in numbers]
    whole = score(episodes)
    parts = score(episodes[:cut]).merge(score(episodes[cut:]))
    shuffle.shuffle(episodes)
    for other in (parts, score(episodes)):
        assert (other.episodes, other.ended) == (whole.episodes, whole.ended)
        for one, two in zip(whole, other, strict=True):
            near(one, two)


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.integers(0, 10_000), unique=True, min_size=1, max_size=6))
def test_values_and_intervals_keep_to_their_range(numbers: list[int]) -> None:
    for found in score([drawn(n) for n in numbers]):
        assert found.unscored <= len(numbers)
        if found.value is None:
            assert (found.n, found.ci) == (0, None)
            continue
        low, high = METRICS[found.name].range if found.name in METRICS else (None, None)
        ends = (found.value, *(found.ci or ()))
        assert low is None or min(ends) >= low - 1e-9, found
        assert high is None or max(ends) <= high + 1e-9, found
        assert found.n >= 1
        if found.ci:
            assert found.ci[0] <= found.ci[1]


def test_the_same_run_gives_the_same_interval_wherever_it_lies(tmp_path: Path) -> None:
    for place in ("a", "b"):
        run = Run.create(
            tmp_path / place, name="x", source={}, agents={"*": "mine"}, seed=3, episodes=40
        )
        with run:
            for number in range(40) if place == "a" else reversed(range(40)):
                run.append(drawn(number))
    one, two = score_paths([tmp_path / "a", tmp_path / "b"]).values()
    for here, there in zip(one, two, strict=True):
        near(here, there)
    # The same episodes twice are no new evidence.
    both = merged({"a": one, "b": two})
    assert both.episodes == 80
    assert both["utility"].ci == pytest.approx(one["utility"].ci, rel=0.05)
    assert both.source == f"{tmp_path / 'a'}, {tmp_path / 'b'}"


def test_a_torn_line_is_noticed_and_the_rest_is_scored(tmp_path: Path) -> None:
    with Run.create(tmp_path / "a", name="x", source={}, agents={}, seed=3, episodes=9) as run:
        run.append(drawn(0))
        run.append(drawn(1))
    file = tmp_path / "a" / "episodes.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    scores = score_path(tmp_path / "a")
    assert scores.episodes == 1
    assert "torn last line" in scores.notices[0]
    assert "torn last line" in " ".join(shown({"a": scores}).split())
    with pytest.raises(MootError, match="is no run"):
        score_path(tmp_path)


def shown(parts: dict[str, Scores]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table(parts))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_name_what_they_show() -> None:
    agreed = score([played(offer(1, 0), ACCEPT, number=n) for n in range(3)])
    text = shown({"mine": agreed})
    row = next(line for line in text.splitlines() if "completion_rate" in line)
    assert "[0.292, 1.000]" in row
    assert METRICS["completion_rate"].summary in row
    assert "mine: 3 episodes (3 agreed)" in text
    assert "nothing to score for reciprocity, tokens_per_message" in " ".join(text.split())
    left = score([played(LEAVE, number=n) for n in range(2)])
    text = shown({"mine": agreed, "yours": left})
    row = next(line for line in text.splitlines() if "pareto_rate" in line)
    assert row.split()[-1] == "-"
    assert "words" in str(agreed)


def test_every_metric_is_described_and_every_world_can_be_scored() -> None:
    page = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name, metric in METRICS.items():
        assert name == metric.name
        assert metric.summary
        assert metric.part.__doc__
        assert f"`{name}`" in page, name
    for world in WORLDS.values():
        table = Environment(world.Generator().draw(random.Random(1)))  # type: ignore[attr-defined]
        table.step(Reply(error="gone"))
        scores = score([table.episode()])
        assert scores.ended == {str(Ended.BROKEN): 1}
        none = WORLDS[table.scenario.world].solve(table.scenario).disagreement
        assert scores["utility"].value == pytest.approx(sum(none) / len(none))
