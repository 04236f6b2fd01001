"""What an episode achieved: points, against the best that could be had, and how they were shared.

A part is what an episode adds to a metric's two sums (`metrics.py`); None is unscored.
"""

from __future__ import annotations

from collections.abc import Mapping

from .seen import Seen, best_least, distance
from .statistics import Part


def completion(seen: Seen) -> Part:
    """Whether the scenario's task was done. Forfeited and broken episodes count as not done."""
    return seen.completed, 1


def utility(seen: Seen) -> Part | None:
    """Mean over the agents of an episode; the disagreement point where there was no deal."""
    return (sum(seen.utilities) / len(seen.utilities), 1) if seen.utilities else None


def utility_agreed(seen: Seen) -> Part | None:
    """The same, over episodes that ended in agreement."""
    return utility(seen) if seen.agreed else None


def pareto(seen: Seen) -> Part | None:
    """Whether no other deal was better for someone and worse for nobody; only where they agreed, or played
    to the end a game that needs no agreement."""
    return (float(seen.efficient), 1) if seen.settled and seen.charted else None


def pareto_distance(seen: Seen) -> Part | None:
    """Euclidean distance from the utilities to the nearest Pareto-optimal ones, no deal among them
    where it is; 0 for one of these."""
    if seen.charted is None:
        return None
    return (0.0 if seen.efficient else distance(seen.charted, seen.utilities)), 1


def regret(seen: Seen) -> Part | None:
    """max over deals and no deal of sum_a u_a, minus sum_a u_a."""
    if seen.known is None:
        return None
    best = max(seen.known.max_joint, sum(seen.known.disagreement))
    return max(best - sum(seen.utilities), 0.0), 1


def reply_regret(seen: Seen) -> Part | None:
    """Mean over agents of  max over own choices of u_a(own, others as they did)  -  u_a: what an agent's best
    reply in hindsight would have brought more."""
    return None if seen.gaps is None else (_mean(seen.gaps.regret), 1)


def exploitability(seen: Seen) -> Part | None:
    """NashConv over agents (Lanctot et al. 2017), of the profile s in which each agent does what it did as
    often as it did: 1/n sum_a  max over own choices of u_a(own, s_-a)  -  u_a(s). Where each chose once, this
    is `reply_regret`."""
    if seen.gaps is None:
        return None
    return _mean(seen.gaps.regret if seen.gaps.mixed is None else seen.gaps.mixed), 1


def reactive_exploitability(seen: Seen) -> Part | None:
    """The same, of the profile in which each agent reacts to the round before as it did: NashConv of the game
    of all rounds. Where nobody can react, this is `exploitability`."""
    if seen.gaps is None or seen.gaps.reactive is None:
        return exploitability(seen)
    return _mean(seen.gaps.reactive), 1


def _mean(points: Mapping[str, float]) -> float:
    return sum(points.values()) / len(points)


def joint_share(seen: Seen) -> Part | None:
    """sum_a u_a / max over deals of sum_a u_a. Unscored where the maximum is not above 0 and above the
    disagreement point: there is then nothing to win together (a zero-sum game)."""
    if seen.known is None:
        return None
    most = seen.known.max_joint
    if most <= max(sum(seen.known.disagreement), 0.0) + 1e-9:
        return None
    return sum(seen.utilities) / most, 1


def nash_ratio(seen: Seen) -> Part | None:
    """prod_a (u_a - d_a)+ / its maximum over deals (Nash 1950), d the disagreement point. Unscored where
    no deal gives everyone a gain."""
    if seen.known is None or not 1e-9 < seen.known.max_nash < float("inf"):
        return None
    return seen.known.nash(seen.utilities) / seen.known.max_nash, 1


def jain(seen: Seen) -> Part | None:
    """(sum_a g_a)^2 / (n sum_a g_a^2) of the gains g_a = (u_a - d_a)+ (Jain et al. 1984): 1 where all
    gain the same, 1/n where one gains all. Unscored where nobody gains."""
    if not seen.utilities or not any(seen.gains):
        return None
    total, squares = sum(seen.gains), sum([g * g for g in seen.gains])
    return total * total / (len(seen.gains) * squares), 1


def gini(seen: Seen) -> Part | None:
    """sum_a sum_b |g_a - g_b| / (2 n sum_a g_a) of the gains (Gini 1912): 0 where all gain the same,
    1 - 1/n where one gains all. Unscored where nobody gains."""
    if not seen.utilities or not any(seen.gains):
        return None
    ranked = sorted(seen.gains)
    n, total = len(ranked), sum(ranked)
    apart = sum([(2 * i - n + 1) * g for i, g in enumerate(ranked)])
    return apart / (n * total), 1


def maxmin(seen: Seen) -> Part | None:
    """The smallest gain over the largest that a deal could give to everyone (Rawls 1971). Unscored where
    no deal gives everyone a gain."""
    known = seen.charted
    if known is None:
        return None
    if known.transfer:
        best = (known.max_joint - sum(known.disagreement)) / len(known.disagreement)
    else:
        best = best_least((known.frontier, known.disagreement))
    return (min(seen.gains) / best, 1) if best > 1e-9 else None
