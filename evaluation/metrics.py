"""Metrics by name. What each sees in an episode stands in `achieved.py`, `talk.py` and `conduct.py`.

Every metric is a ratio of sums over episodes, and an episode adds a part to either sum. One that a metric
has nothing to say about is *unscored* there: it adds nothing and is counted as such, never as a zero.
What the names mean in words, and where they mislead: `docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from ..protocols import MootError, did_you_mean
from . import achieved, conduct, informed, talk
from .seen import Seen
from .statistics import Part


@dataclass(frozen=True, slots=True)
class Metric:
    """One score: what it means, and what an episode adds to its two sums (None: unscored)."""

    name: str
    summary: str
    unit: str
    range: tuple[float | None, float | None]
    """Lowest and highest value; None where there is no bound."""
    part: Callable[[Seen], Part | None]
    rate: bool = False
    """A share of yes among yes and no; its interval does not collapse where all say the same."""
    better: Literal["high", "low"] | None = None
    """Which direction is good; None where that depends on what one wants."""


SEAT, RESULT = "utility.", "result."
"""Prefixes of the metrics that episodes bring along: points of each seat, results of the world's own."""

SHARE, ANY, COUNT = (0.0, 1.0), (None, None), (0.0, None)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "completion_rate", "episodes whose task was completed",
            "of episodes", SHARE, achieved.completion, rate=True, better="high",
        ),
        Metric(
            "utility", "points per agent, episodes without a deal included",
            "points", ANY, achieved.utility, better="high",
        ),
        Metric(
            "utility_agreed", "points per agent where they agreed",
            "points", ANY, achieved.utility_agreed, better="high",
        ),
        Metric(
            "pareto_rate", "outcomes that are Pareto-optimal, where they agreed or played to the end",
            "of outcomes", SHARE, achieved.pareto, rate=True, better="high",
        ),
        Metric(
            "pareto_distance", "points to the nearest Pareto-optimal outcome",
            "points", COUNT, achieved.pareto_distance, better="low",
        ),
        Metric(
            "joint_share", "points of all agents over the most that a deal could give",
            "of best", (None, 1.0), achieved.joint_share, better="high",
        ),
        Metric(
            "regret", "points of all agents short of the best outcome",
            "points", COUNT, achieved.regret, better="low",
        ),
        Metric(
            "nash_ratio", "product of gains over the most that a deal could give",
            "of best", SHARE, achieved.nash_ratio, better="high",
        ),
        Metric(
            "fairness_jain", "Jain's index of the gains: 1 where all gain the same",
            "of equality", SHARE, achieved.jain, better="high",
        ),
        Metric(
            "fairness_gini", "Gini's coefficient of the gains: 0 where all gain the same",
            "of inequality", SHARE, achieved.gini, better="low",
        ),
        Metric(
            "fairness_maxmin", "smallest gain over the largest that all could have",
            "of best", SHARE, achieved.maxmin, better="high",
        ),
        Metric(
            "reciprocity", "how far concessions are answered by as large ones",
            "of equality", SHARE, conduct.reciprocity,
        ),
        Metric(
            "messages_per_episode", "messages said",
            "messages", COUNT, talk.messages,
        ),
        Metric(
            "messages_per_completed_task", "messages, failures included, per completed task",
            "messages", COUNT, talk.messages_per_task, better="low",
        ),
        Metric(
            "words_per_message", "words of free text",
            "words", COUNT, talk.words,
        ),
        Metric(
            "speaking_balance", "evenness of the agents' shares of the words",
            "of equality", SHARE, talk.balance,
        ),
        Metric(
            "repeated_trigrams", "word trigrams said before in the episode",
            "of trigrams", SHARE, talk.repeated, better="low",
        ),
        Metric(
            "compression", "bytes of the talk that compression saves",
            "of bytes", (None, 1.0), talk.compression,
        ),
        Metric(
            "tokens_per_message", "tokens generated for a message",
            "tokens", COUNT, talk.tokens,
        ),
        Metric(
            "tokens_per_completed_task", "tokens generated, failures included, per completed task",
            "tokens", COUNT, talk.tokens_per_task, better="low",
        ),
        Metric(
            "tokens_per_point", "tokens generated per point above the disagreement point",
            "tokens", COUNT, talk.tokens_per_gain, better="low",
        ),
        Metric(
            "false_claim_rate", "claims of own values that are not true",
            "of claims", SHARE, conduct.false_claims, rate=True, better="low",
        ),
        Metric(
            "claim_error", "how far claims of own values are off",
            "of largest value", COUNT, conduct.claim_error, better="low",
        ),
        Metric(
            "illegal_move_rate", "replies that broke the rules",
            "of replies", SHARE, conduct.illegal, rate=True, better="low",
        ),
        Metric(
            "legal_mass", "chance of a legal reply without the mask",
            "probability", SHARE, conduct.legal_mass, better="high",
        ),
        Metric(
            "forfeit_rate", "episodes that ended by too many illegal replies",
            "of episodes", SHARE, conduct.forfeited, rate=True, better="low",
        ),
        Metric(
            "deadline_rate", "episodes that the deadline ended",
            "of episodes", SHARE, conduct.cut_off, rate=True, better="low",
        ),
        Metric(
            "broken_rate", "episodes that an agent's crash or time-out ended",
            "of episodes", SHARE, conduct.broken, rate=True, better="low",
        ),
        Metric(
            "timeout_rate", "episodes that an agent's time-out ended",
            "of episodes", SHARE, conduct.timed_out, rate=True, better="low",
        ),
    )
}  # fmt: skip
ON_REQUEST: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "reply_regret", "points that an agent's best reply in hindsight would have brought more",
            "points", COUNT, achieved.reply_regret, better="low",
        ),
        Metric(
            "exploitability", "points that a best reply to the others' mixtures would bring more",
            "points", COUNT, achieved.exploitability, better="low",
        ),
        Metric(
            "reactive_exploitability", "the same, of best replies to how the others were seen to react",
            "points", COUNT, achieved.reactive_exploitability, better="low",
        ),
        Metric(
            "bits_per_message", "bits by which listeners grew surer of secrets",
            "bits", ANY, informed.bits,
        ),
        Metric(
            "bits_per_episode", "the same, in a whole talk",
            "bits", ANY, informed.bits_in_all,
        ),
        Metric(
            "true_bits_per_message", "bits by which the truth became likelier to listeners",
            "bits", ANY, informed.true_bits,
        ),
        Metric(
            "true_bits_per_episode", "the same, in a whole talk",
            "bits", ANY, informed.true_bits_in_all,
        ),
    )
}  # fmt: skip
"""Metrics that are scored only where they are asked for by name: they cost more than all others together."""


def parts(seen: Seen, metrics: Mapping[str, Metric]) -> dict[str, Part]:
    """What an episode adds to each of these metrics, to its seats' and to the world's own results."""
    found: dict[str, Part] = {}
    for name, metric in metrics.items():
        part = metric.part(seen)
        if part is not None:
            found[name] = part
    outcome = seen.episode.outcome
    for agent, points in outcome.utilities.items():
        found[SEAT + agent] = points, 1
    for name, value in (outcome.results or {}).items():
        found[RESULT + name] = value, 1
    return found


def described(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """The metric of this name, those that episodes bring along included. Raises KeyError."""
    if name.startswith(SEAT):
        words = f"points of {name.removeprefix(SEAT)}"
        return Metric(name, words, "points", ANY, achieved.utility, better="high")
    if name.startswith(RESULT):
        return Metric(
            name, f"{name.removeprefix(RESULT)}, as the world counts it", "", ANY, achieved.utility
        )
    return metrics[name]


def chosen(metrics: Mapping[str, Metric] | Iterable[str]) -> Mapping[str, Metric]:
    """Metrics by their names; those that episodes bring along need no choosing. Raises `MootError` for a
    name that there is not."""
    if isinstance(metrics, Mapping):
        return cast(Mapping[str, Metric], metrics)
    found: dict[str, Metric] = {}
    for name in metrics:
        if name.startswith((SEAT, RESULT)):
            continue
        known = {**METRICS, **ON_REQUEST}
        if name not in known:
            raise MootError(f"no metric {name!r}; {did_you_mean(name, known)}")
        found[name] = known[name]
    return found
