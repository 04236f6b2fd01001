"""Best replies, exactly: what an agent could have had more if nobody else had done otherwise (`Replying`).

The gain of a best reply to what the others did is ex-post regret; with what all did as mixtures, its sum over
agents is NashConv (Lanctot et al. 2017, arXiv 1711.00832). Who replies knows here what it could not: the
others' sealed moves, and the common worth of a good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...protocols import Act, Message
from ..world import Gaps
from .auction_scenario import AuctionScenario, sale
from .commons_scenario import CommonsScenario
from .matrix_scenario import MatrixScenario

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
MOST_STEPS = 2_000_000
"""Amounts that are tried out for the commons of one episode; where it would be more, nothing is said."""


def matrix_gaps(scenario: MatrixScenario, messages: Sequence[Message]) -> Gaps | None:
    """Mean points of a round, like the scores. With u_t the points of round t, T rounds, and x, y the
    shares of the rounds in which each action was chosen:

        regret_1 = 1/T sum over t of  max over a of u(a, b_t)  -  u(a_t, b_t)
        mixed_1  = max over a of u(a, y)  -  u(x, y)

    `reactive` is of the game of T rounds: after a pair of actions an agent does what it did after this pair
    in the episode, as often as it did (x, y after a pair that never came up), in the first round what it did.
    """
    chose = _choices(messages, "action")
    if sorted(map(len, chose.values())) != [scenario.rounds] * 2:
        return None
    (one, first), (two, second) = ((a, tuple(names)) for a, names in scenario.actions().items())
    points = np.array([[*row.values()] for row in scenario.table.values()], dtype=np.float64)
    times = np.zeros((len(first), len(second)))
    for a, b in zip(chose[one], chose[two], strict=True):
        times[first.index(str(a)), second.index(str(b))] += 1
    regret: dict[str, float] = {}
    mixed: dict[str, float] = {}
    for agent, gains, often in ((one, points[:, :, 0], times), (two, points[:, :, 1].T, times.T)):
        x, y = often.sum(axis=1) / scenario.rounds, often.sum(axis=0) / scenario.rounds
        regret[agent] = float(gains.max(axis=0) @ y - (gains * often).sum() / scenario.rounds)
        mixed[agent] = float((gains @ y).max() - x @ gains @ y)
    acts = (
        np.array([names.index(str(a)) for a in chose[agent]])
        for agent, names in ((one, first), (two, second))
    )
    gains = _reactive(points, *acts)
    return Gaps(
        _floored(regret), _floored(mixed), _floored(dict(zip((one, two), gains, strict=True)))
    )


def _reactive(points: Array, rows: Whole, columns: Whole) -> tuple[float, float]:
    """What the best replies to seen reactions gain over one's own reactions, in mean points of a round;
    `points` (m, n, 2), the actions (T,). Backwards over rounds, with i, j the pair before and s what it leads
    the other to:

        V_t(i, j) = max over a of  sum over b of  s(b | i, j) (u(a, b) + V_t+1(a, b))
    """
    found: list[float] = []
    for own, other, turned in ((rows, columns, False), (columns, rows, True)):
        gains = points[:, :, 1].T if turned else points[:, :, 0]
        pair = own[:-1], other[:-1]
        mine = _reactions(own, pair, gains.shape, gains.shape[0])
        theirs = _reactions(other, pair, gains.shape, gains.shape[1])
        best, same = np.zeros(gains.shape), np.zeros(gains.shape)
        for _ in range(len(own) - 1):
            best = np.einsum("ijb,ab->ija", theirs, gains + best).max(axis=2)
            same = np.einsum("ija,ijb,ab->ij", mine, theirs, gains + same)
        start = float((gains + best)[:, other[0]].max() - (gains + same)[own[0], other[0]])
        found.append(start / len(own))
    return found[0], found[1]


def _reactions(acts: Whole, last: tuple[Whole, Whole], shape: tuple[int, ...], many: int) -> Array:
    """Shares of the actions (T,) after each pair of actions, those of all rounds where it never came up:
    (own actions, the other's, `many`)."""
    times = np.zeros((*shape, many))
    np.add.at(times, (*last, acts[1:]), 1)
    every = np.bincount(acts, minlength=many) / len(acts)
    seen = times.sum(axis=2, keepdims=True)
    return np.where(seen > 0, times / np.maximum(seen, 1), every)


def auction_gaps(scenario: AuctionScenario, messages: Sequence[Message]) -> Gaps | None:
    """Of sealed bids: the lowest bids that win or tie are tried, and to make none."""
    made: dict[str, int | None] = {
        m.sender: m.content.price if m.act is Act.PROPOSE and m.content is not None else None  # pyright: ignore
        for m in messages
    }
    if made.keys() != scenario.roles.keys():
        return None
    regret: dict[str, float] = {}
    for agent, value in scenario.values().items():
        theirs = [b for a, b in made.items() if a != agent and b is not None]
        tries = {None, scenario.low, made[agent], *theirs, *(b + scenario.tick for b in theirs)}
        worth = {
            b: _profit(scenario, made, agent, b, value) for b in tries if (b or 0) <= scenario.high
        }
        regret[agent] = float(max(worth.values()) - worth[made[agent]])
    return Gaps(regret)


def _profit(
    scenario: AuctionScenario,
    made: Mapping[str, int | None],
    agent: str,
    bid: int | None,
    value: int,
) -> int:
    """What an agent gains by a bid (None: none), all other bids as they were made."""
    bids = {a: bid if a == agent else made[a] for a in scenario.roles}
    placed = {a: b for a, b in bids.items() if b is not None}
    sold = sale(placed, scenario.rule, scenario.low, scenario.lot)
    return value - sold.price if sold is not None and sold.winner == agent else 0


def commons_gaps(scenario: CommonsScenario, messages: Sequence[Message]) -> Gaps | None:
    """Of the rounds that were played, against what the others asked for in each; what is left in the end
    is worth nothing. None where there is too much to try."""
    stock, uses = scenario.stock, np.array(scenario.uses())
    chose = _choices(messages, "take")
    rounds = min((len(chose.get(a, ())) for a in scenario.roles), default=0)
    steps = (stock.capacity + 1) * (scenario.most + 1) * rounds * len(uses) ** 2
    if not rounds or steps > MOST_STEPS:
        return None
    asked = np.array([chose[a][:rounds] for a in scenario.roles], dtype=np.int64)
    had, now = np.zeros(len(uses)), scenario.first
    grown: int | None = now
    for t in range(rounds):
        got = stock.taken(now, asked[:, t].tolist())
        had += np.minimum(got, uses[:, t])
        grown = stock.grown(now - sum(got))
        now = grown or 0
    if grown is not None and rounds < scenario.rounds:
        return None
    regret = {
        agent: _harvest(scenario, uses[i], np.delete(asked, i, axis=0)) - float(had[i])
        for i, agent in enumerate(scenario.roles)
    }
    return Gaps(_floored(regret))


def _harvest(scenario: CommonsScenario, use: Whole, others: Whole) -> float:
    """The most units that one can take and use, (rounds,); `others` ask for these, (agents - 1, rounds).

    V_t(s) = max over a of  min(taken(s, a), use_t) + V_t+1(grown(s - all taken)),   0 once it is gone
    """
    stock = scenario.stock
    s, a = np.arange(stock.capacity + 1)[:, None], np.arange(scenario.most + 1)[None, :]
    grown = [stock.grown(left) for left in range(stock.capacity + 1)]
    after, alive = np.array([g or 0 for g in grown]), np.array([g is not None for g in grown])
    later = np.zeros(stock.capacity + 1)
    for t in reversed(range(others.shape[1])):
        total = a + others[:, t].sum()
        short = 0 if stock.blackout else s
        taken = [
            np.where(total <= s, asks, short * asks // np.maximum(total, 1))
            for asks in (a, *others[:, t])
        ]
        left = s - sum(taken)
        later = (np.minimum(taken[0], use[t]) + np.where(alive, later[after], 0.0)[left]).max(
            axis=1
        )
    return float(later[scenario.first])


def _choices(messages: Sequence[Message], field: str) -> dict[str, list[object]]:
    """Sender -> what it chose when it acted, in order."""
    found: dict[str, list[object]] = {}
    for m in messages:
        value = getattr(m.content, field, None) if m.act is Act.REQUEST else None
        if value is not None:
            found.setdefault(m.sender, []).append(value)
    return found


def _floored(gains: Mapping[str, float]) -> dict[str, float]:
    """Without what rounding leaves below 0."""
    return {agent: max(gain, 0.0) for agent, gain in gains.items()}
