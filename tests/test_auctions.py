"""The auction house: the rules of the sale, what theory says of them, and the players against it."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, play
from moot.environments.check import check_environment
from moot.environments.load import load_scenario
from moot.environments.worlds.auction_house import AuctionHouse
from moot.environments.worlds.auction_scenario import AuctionGenerator, AuctionScenario, sale
from moot.protocols import Act, Ended, Reply, check_protocol, sealed_bid


def house(kind: str, values: list[int], reserve: int = 0, **fields: Any) -> AuctionScenario:
    """`kind`: first_price, second_price, english_auction or dutch_auction; bidders b0, b1, ..."""
    key = "value" if fields.get("worth") is None else "signal"
    roles: dict[str, Any] = {f"b{i}": {key: v} for i, v in enumerate(values)}
    if kind.endswith("_price"):
        return AuctionScenario.model_validate(
            {"protocol": "sealed_bid", "rule": kind, "roles": roles, **fields}
        )
    roles = {"auctioneer": {"reserve": reserve}, **roles}
    protocol = {"name": kind, "deadline": None}
    return AuctionScenario.model_validate({"protocol": protocol, "roles": roles, **fields})


def meet(scenario: AuctionScenario, name: str, **others: str) -> Episode:
    agents = {a: ScriptedPool(Scripted(others.get(a, name))) for a in scenario.roles}
    table = Environment(scenario, seed=1, sees_all=frozenset(scenario.roles))
    (played,) = play([table], agents)
    assert played.ended in (Ended.DONE, Ended.AGREED, Ended.REFUSED), played.why
    assert all(turn.error is None for turn in played.turns)
    return played


# ---- the rules -----------------------------------------------------------------------------------


def test_sealed_bids_keep_their_promises() -> None:
    notes = check_protocol(sealed_bid(), paths=200)
    assert notes.seen == {"": {("propose", True), ("refuse", False)}}


def test_bids_are_sealed_until_the_sale() -> None:
    table = Environment(house("first_price", [10, 20, 30]))
    assert table.step(Reply(act=Act.PROPOSE, content={"price": 7})).told is None
    assert table.observe("b1").heard == ()
    table.step(Reply(act=Act.REFUSE))
    (told,) = table.step(Reply(act=Act.PROPOSE, content={"price": 6})).told or ()
    assert (told.text, told.receivers) == ("Sold to b0 for 7.", ("b0", "b1", "b2"))
    outcome = table.episode().outcome
    assert outcome.utilities == {"b0": 3, "b1": 0, "b2": 0}
    assert outcome.results == {"winner_profit": 3, "revenue": 7, "efficiency": 10 / 30}


def test_who_pays_what() -> None:
    bids = {"a": 4, "b": 9, "c": 9, "d": 2}
    assert sale(bids, "first_price", 0) == ("b", 9)
    assert sale(bids, "first_price", 0, lot=3) == ("c", 9)
    assert sale(bids, "second_price", 0) == ("b", 9)
    assert sale({"a": 4, "d": 2}, "second_price", 1) == ("a", 2)
    assert sale({"a": 4}, "second_price", 1) == ("a", 1)
    assert sale({}, "second_price", 1) is None


def test_nobody_bids() -> None:
    table = Environment(house("second_price", [10, 20]))
    table.step(Reply(act=Act.REFUSE))
    (told,) = table.step(Reply(act=Act.REFUSE)).told or ()
    assert told.text == "Nobody bids: not sold."
    outcome = table.episode().outcome
    assert (outcome.completed, outcome.deal) == (False, None)
    assert outcome.results == {"revenue": 0, "efficiency": 0}


def test_calls_rise_or_fall_and_a_bid_takes_the_call() -> None:
    for kind, legal, illegal in (
        ("english_auction", (15, 100), (10, 5, 12, 105)),
        ("dutch_auction", (0, 5), (10, 15, 3, -5)),
    ):
        table = Environment(house(kind, [50, 60], tick=5, patience=99))
        table.step(Reply(act=Act.INFORM))
        assert table.step(Reply(act=Act.CFP, content={"price": 10})).message
        assert table.step(Reply(act=Act.PROPOSE, content={"price": 15})).error
        for _ in range(2):
            assert table.step(Reply(act=Act.REFUSE)).message
        if kind == "english_auction":  # all have passed: only the end is left
            assert [o.move.act for o in table.observe().options] == [Act.INFORM]
            continue
        for price in illegal:
            assert table.step(Reply(act=Act.CFP, content={"price": price})).error, price
        assert table.step(Reply(act=Act.CFP, content={"price": legal[0]})).message
        for _ in range(2):
            table.step(Reply(act=Act.REFUSE))
        assert [o.move.act for o in table.observe().options] == [Act.CFP, Act.INFORM]
        acts = [c["properties"]["act"]["const"] for c in table.observe().schema()["anyOf"]]
        assert acts == ["inform"], "there is no price left to call"


def test_an_english_sale_by_hand() -> None:
    sold = meet(house("english_auction", [30, 72, 55], reserve=20, tick=5), "sensible")
    assert sold.ended is Ended.AGREED
    assert sold.outcome.deal == {"winner": "b1", "price": 55}
    assert sold.outcome.utilities == {"auctioneer": 35, "b0": 0, "b1": 17, "b2": 0}
    kept = meet(house("english_auction", [30, 35], reserve=36, tick=5), "sensible")
    assert kept.ended is Ended.REFUSED
    assert kept.outcome.deal is None
    assert kept.outcome.results == {"revenue": 0, "efficiency": 1}, "it is worth most to the seller"


def test_auctioneers_mind_the_deadline() -> None:
    """A hundred prices in steps of one, and time for a few calls: they are made wider apart."""
    for kind in ("english_auction", "dutch_auction"):
        slow = house(kind, [50, 80, 66], tick=1)
        for deadline in (25, 40, 120):
            data = slow.model_dump(exclude_unset=True)
            data["protocol"] = {"name": kind, "deadline": deadline}
            played = meet(AuctionScenario.model_validate(data), "truthful")
            assert played.outcome.deal is not None, (kind, deadline)
            assert played.outcome.deal["winner"] == "b1" or deadline == 25


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"protocol": "alternating_offers"}, "one of sealed_bid"),
        ({"protocol": "english_auction"}, "wants 1 auctioneer"),
        ({"low": 3, "tick": 2}, "multiples of the tick"),
        (
            {"worth": 5, "roles": {"b0": {"signal": 3}, "b1": {"value": 3}}},
            "has value, want a signal",
        ),
        ({"roles": {"b0": {"value": 3}, "b1": {"role": "thief"}}}, "want auctioneer or bidder"),
    ],
    ids=str,
)
def test_what_cannot_be_sold_is_said(fields: dict[str, Any], words: str) -> None:
    good = house("first_price", [3, 4]).model_dump(exclude_unset=True)
    with pytest.raises(ValueError, match=words):
        AuctionScenario.model_validate({**good, **fields})


def test_common_worth_and_many_prices_keep_their_promises() -> None:
    for auctions in (["english"], ["dutch"], ["second_price"]):
        fields = {"auctions": auctions, "common": 1, "tick": 1, "low": 10, "high": 60}
        assert check_environment({"world": "auction_house", "generate": fields}, episodes=6)


# ---- theory --------------------------------------------------------------------------------------


def test_the_truth_is_a_best_reply_at_the_second_price() -> None:
    """Whatever the others bid and whatever it is worth: no bid does better (brute force; Vickrey)."""
    prices = range(6)
    for lot in (0, 1):
        for value, others in itertools.product(prices, itertools.product(prices, repeat=2)):

            def gain(bid: int, value: int = value, others: Any = others, lot: int = lot) -> int:
                sold = sale({"me": bid, "x": others[0], "y": others[1]}, "second_price", 0, lot)
                return value - sold.price if sold is not None and sold.winner == "me" else 0

            assert gain(value) == max(map(gain, prices))


def test_shading_is_a_best_reply_to_shading_at_the_first_price() -> None:
    """Three bidders with values uniform on 0 to 1000, the others bid 2/3 of theirs: over 200,000 draws, no
    bid gains more than 2/3 of the own value beyond what chance explains, and far ones gain less."""
    rng = np.random.default_rng(7)
    highest = (rng.integers(0, 1001, (200_000, 2)) * 2 // 3).max(axis=1)
    for value in (300, 600, 900):

        def gains(bid: int, value: int = value) -> np.ndarray[Any, Any]:
            return (value - bid) * (highest < bid)

        best = gains(value * 2 // 3)
        for bid in range(0, value, 20):
            ahead = gains(bid) - best
            interval = 1.96 * ahead.std() / math.sqrt(len(ahead))
            assert ahead.mean() <= interval, (value, bid)
            # (v - b) b^2 as theory has it, with its maximum at 2/3 v.
            theory = (value - bid) * min(bid * 1.5 / 1000, 1) ** 2
            assert gains(bid).mean() == pytest.approx(theory, abs=2)


def test_revenue_is_the_same_at_the_first_and_at_the_second_price() -> None:
    """Sensible bidders, values uniform: both rules bring (n - 1) / (n + 1) of the highest price on average
    (Vickrey 1961), within the 99 % interval of 500 sales; and so is the difference."""
    for n in (2, 4):
        rng = random.Random(n)
        values = [[rng.randint(0, 1000) for _ in range(n)] for _ in range(500)]
        first, second = (
            np.array(
                [
                    meet(house(kind, v, high=1000), "sensible").outcome.results["revenue"]
                    for v in values
                ]
            )
            for kind in ("first_price", "second_price")
        )
        for revenue in (first, second):
            interval = 2.58 * revenue.std() / math.sqrt(500)
            assert abs(revenue.mean() - 1000 * (n - 1) / (n + 1)) < interval
        apart = first - second
        assert abs(apart.mean()) < 2.58 * apart.std() / math.sqrt(500)
        assert second.std() > 1.2 * first.std(), "the same mean, with more risk for the seller"


def test_called_prices_end_where_sealed_bids_do() -> None:
    """English: at the second value, up to a step. Dutch: at the highest first-price bid, down to a step."""
    rng = random.Random(5)
    for _ in range(40):
        values = rng.sample(range(10, 101), 3)
        second = sorted(values)[1]
        english = meet(house("english_auction", values, tick=5), "sensible").outcome.deal
        assert english is not None
        assert second - 5 <= english["price"] <= second + 5
        assert values[int(english["winner"][1])] >= max(values) - 5
        dutch = meet(house("dutch_auction", values, tick=5), "sensible").outcome.deal
        assert dutch is not None
        shaded = max(values) * 2 / 3
        assert shaded - 5 < dutch["price"] <= shaded


def test_the_winners_curse() -> None:
    """Of a common worth, who bids its estimate loses by winning; who minds the curse does not."""
    profit = dict.fromkeys(("truthful", "sensible"), 0.0)
    for number in range(150):
        kind = AuctionGenerator(
            auctions=("first_price",), common=1.0, low=20, bidders=(4, 6), tick=1
        )
        scenario = kind.draw(random.Random(number))
        for name in profit:
            profit[name] += meet(scenario, name).outcome.results.get("winner_profit", 0.0) / 150
    assert profit["truthful"] < -7
    assert profit["sensible"] > 0


# ---- references and players ----------------------------------------------------------------------


def test_the_oracle_reaches_the_largest_sum() -> None:
    kind = AuctionGenerator(tick=1, common=0, reserve=(0, 0))
    for number in range(40):
        scenario = kind.draw(random.Random(number))
        outcome = meet(scenario, "oracle").outcome
        assert sum(outcome.utilities.values()) == AuctionHouse.solve(scenario).max_joint
        assert outcome.results["efficiency"] == 1


def test_the_reference_is_what_truthful_bidders_play() -> None:
    for number in range(40):
        kind = AuctionGenerator(auctions=("second_price",), tick=1, common=0)
        scenario = kind.draw(random.Random(number))
        reference = AuctionHouse.solve(scenario).reference["truthful second price"]
        deal = meet(scenario, "truthful").outcome.deal
        assert deal is not None
        assert deal["price"] == reference["price"]
        values = scenario.values()
        assert values[deal["winner"]] == values[reference["winner"]]


def test_solutions_by_hand() -> None:
    sealed = AuctionHouse.solve(house("first_price", [30, 50], low=10))
    assert sealed.frontier == ((0, 40), (20, 0))
    assert (sealed.max_joint, sealed.max_nash, sealed.transfer) == (40, 0, False)
    single = AuctionHouse.solve(house("english_auction", [50], reserve=11, tick=5))
    # 30: 19 x 20 = 380; 29.5 would be the middle.
    assert (single.max_joint, single.max_nash, single.transfer) == (39, 380, True)


def test_shipped_sales() -> None:
    scenario = load_scenario("estate_sale")
    assert isinstance(scenario, AuctionScenario)
    played = meet(scenario, "sensible")
    assert played.outcome.deal == {"winner": "eve", "price": 70}
    assert AuctionHouse.solve(scenario).max_joint == 45
