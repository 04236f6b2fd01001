"""Tactics for the contract net: what a manager awards, what a bidder asks.

A call for proposals is answered once, so a bidder cannot concede over time. Its character is the share
of the room between its cost and the highest price that it asks for on top of its cost. Left out:
beliefs about the other bidders, and bids below cost to win a task (all but the random bidder).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import ceil, inf
from typing import Any

from ...protocols import Act, Key, Observation
from .bargaining import Say, field

Prices = Callable[[Observation, int], dict[str, int]]
"""What to ask for each task; at random by `chance`, a hashed number of the turn."""
Gains = tuple[tuple[float, ...], ...]
"""(bidder, task) -> what the award is worth; -inf where it is out of the question."""


def margin(share: float) -> Prices:
    """Cost plus `share` of what lies between it and the highest price, in whole money, rounded up."""

    def prices(observation: Observation, chance: int) -> dict[str, int]:
        most: int = observation.public["most_price"]
        costs: Mapping[str, float] = observation.private["costs"]
        return {t: min(ceil(c + share * max(most - c, 0)), most) for t, c in costs.items()}

    return prices


def markup(observation: Observation, chance: int) -> dict[str, int]:
    """Cost times 1.1 to 1.5, rounded up; the factor is drawn once for each agent and run seed."""
    key = observation.key
    factor = 1.1 + 0.4 * (Key(key.seed, 0, key.agent, 0).number("markup") % 1001) / 1000
    most: int = observation.public["most_price"]
    return {t: min(ceil(c * factor), most) for t, c in observation.private["costs"].items()}


def bid(observation: Observation, chance: int, prices: Prices | None) -> Say:
    """A bidder's move: bid, then carry out what was granted. `prices` None bids at random.

    It tells its true capacity, and refuses when every task costs it more than can be asked. At random,
    prices and the number of tasks are uniform, so it may be granted more than it can do.
    """
    private, tasks = observation.private, observation.public["tasks"]
    if observation.may(Act.PROPOSE):
        most_price = observation.public["most_price"]
        if prices is None:
            asked: dict[str, int] = {}
            for task in tasks:
                chance, asked[task] = divmod(chance, most_price + 1)
            return Say(Act.PROPOSE, {"prices": asked, "most": 1 + chance % len(tasks)})
        if min(private["costs"].values()) > most_price:
            return Say(Act.REFUSE)
        most = min(private["capacity"], len(tasks))
        return Say(Act.PROPOSE, {"prices": prices(observation, chance), "most": most})
    granted = _granted(observation, observation.agent)
    if len(granted) > private["capacity"]:
        return Say(Act.FAILURE)
    return Say(Act.INFORM, {"tasks": granted})


def award(observation: Observation, chance: int, full_information: bool = False) -> Say:
    """A manager's move: call for all tasks, then answer the bidders one by one.

    The assignment is exact: the largest sum of value minus price, at most as many tasks to each as it
    bid for; of equal ones, the one with more tasks. With `full_information` prices and bids give way to
    true costs and capacities, so that the sum of everybody's utility is the largest.
    """
    if observation.may(Act.CFP):
        return Say(Act.CFP, {"tasks": list(observation.public["tasks"])})
    bids, waiting, free = _bids(observation)
    tasks, values = observation.public["tasks"], observation.private["values"]
    # Whoever was answered stands before those who wait, if this manager has played all along; then
    # one table serves all its awards.
    order = list(bids)
    if order[len(order) - len(waiting) :] != waiting:
        order = waiting
    gains: list[tuple[float, ...]] = []
    most: list[int] = []
    for name in order:
        costs: Mapping[str, float] = field(bids[name], "prices")
        room: int = field(bids[name], "most")
        if full_information:
            if observation.secrets is None:
                raise ValueError("the nash manager needs sees_all: it must be shown all secrets")
            costs = observation.secrets[name]["costs"]
            room = min(room, observation.secrets[name]["capacity"])
        gains.append(tuple(values[t] - costs[t] for t in tasks))
        most.append(room)
    table = best_shares(tuple(gains), tuple(most))
    mask = sum(1 << i for i, task in enumerate(tasks) if task in free)
    share = table[len(order) - len(waiting)][mask]
    return _answer(waiting[0], [task for i, task in enumerate(tasks) if share >> i & 1])


def award_haphazardly(observation: Observation, chance: int) -> Say:
    """Accept or reject with even odds; what is granted is any number of any free tasks."""
    if observation.may(Act.CFP):
        return Say(Act.CFP, {"tasks": list(observation.public["tasks"])})
    bids, waiting, free = _bids(observation)
    chance, coin = divmod(chance, 2)
    if not coin or not free:
        return _answer(waiting[0], [])
    chance, count = divmod(chance, min(field(bids[waiting[0]], "most"), len(free)))
    picked = observation.rng("award").sample(range(len(free)), count + 1)
    return _answer(waiting[0], [free[i] for i in sorted(picked)])


@lru_cache(maxsize=1024)
def best_shares(gains: Gains, most: tuple[int, ...]) -> list[list[int]]:
    """For bidder b and each set of free tasks: the tasks (bit masks) that b gets when b and those
    after b share the free ones best. Shape (B, 2^T); takes B 3^T steps."""
    count = len(gains[0])
    later: list[tuple[float, int]] = [(0.0, 0)] * 2**count
    table: list[list[int]] = []
    for row, room in zip(reversed(gains), reversed(most), strict=True):
        worth = [
            (sum(g for i, g in enumerate(row) if mask >> i & 1), mask.bit_count())
            if mask.bit_count() <= room
            else (-inf, 0)
            for mask in range(2**count)
        ]
        totals: list[tuple[float, int]] = []
        shares: list[int] = []
        for free in range(2**count):
            best, share, part = later[free], 0, free
            while part:
                gain, size = worth[part]
                rest, others = later[free ^ part]
                if (gain + rest, size + others) > best:
                    best, share = (gain + rest, size + others), part
                part = (part - 1) & free
            totals.append(best)
            shares.append(share)
        later = totals
        table.append(shares)
    return table[::-1]


def _answer(bidder: str, tasks: Sequence[str]) -> Say:
    if tasks:
        return Say(Act.ACCEPT_PROPOSAL, {"tasks": list(tasks)}, bidder)
    return Say(Act.REJECT_PROPOSAL, None, bidder)


def _bids(observation: Observation) -> tuple[dict[str, Any], list[str], list[str]]:
    """Bidder -> its bid, in the order they were heard; those who wait for an answer; free tasks."""
    bids = {m.sender: m.content for m in observation.heard if m.act is Act.PROPOSE}
    named = next(o.to for o in observation.options if o.move.act is Act.REJECT_PROPOSAL)
    waiting = [name for name in bids if not named or name in named]
    gone = {t for name in bids for t in _granted(observation, name)}
    return bids, waiting, [t for t in observation.public["tasks"] if t not in gone]


def _granted(observation: Observation, bidder: str) -> list[str]:
    """What this bidder was granted, as far as this agent heard."""
    for message in reversed(observation.heard):
        if message.act is Act.ACCEPT_PROPOSAL and bidder in message.receivers:
            return list(field(message.content, "tasks"))
    return []
