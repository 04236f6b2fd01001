"""Metrics: what each one sees in an episode.

Every metric is a ratio of sums over episodes, and an episode adds a part to either sum. One that a metric
has nothing to say about is *unscored* there: it adds nothing and is counted as such, never as a zero.
What the names mean in words, and where they mislead: `docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import cast

from ..environments import WORLDS, Episode, Solution
from ..protocols import Ended, MootError, Reply, did_you_mean
from .statistics import Part


class Seen:
    """One episode as metrics look at it."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.messages = episode.messages
        self.utilities = tuple(
            episode.outcome.utilities[a]
            for a in episode.scenario.roles
            if a in episode.outcome.utilities
        )
        """In seat order; empty where an agreement is not on record."""
        self.agreed = episode.ended is Ended.AGREED and bool(self.utilities)

    @cached_property
    def solution(self) -> Solution:
        """The world's exact reference for this scenario."""
        scenario = self.episode.scenario
        return WORLDS[scenario.world].solve(scenario)

    @property
    def replies(self) -> Iterator[Reply]:
        """Recorded replies (agents that are not scripted)."""
        return (t.reply for t in self.episode.turns if t.reply is not None)


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


def completion(seen: Seen) -> Part:
    """Whether the scenario's task was done. Forfeited and broken episodes count as not done."""
    return float(seen.episode.outcome.completed), 1


def utility(seen: Seen) -> Part | None:
    """Mean over the agents of an episode; the disagreement point where there was no deal."""
    return (sum(seen.utilities) / len(seen.utilities), 1) if seen.utilities else None


def utility_agreed(seen: Seen) -> Part | None:
    """The same, over episodes that ended in agreement."""
    return utility(seen) if seen.agreed else None


def pareto(seen: Seen) -> Part | None:
    """Whether no other deal was better for someone and worse for nobody; agreements only."""
    return (float(seen.solution.efficient(seen.utilities)), 1) if seen.agreed else None


def joint_share(seen: Seen) -> Part | None:
    """sum_a u_a / max over deals of sum_a u_a. Unscored where the maximum is not above 0 and above the
    disagreement point: there is then nothing to win together (a zero-sum game)."""
    if not seen.utilities:
        return None
    most = seen.solution.max_joint
    if most <= max(sum(seen.solution.disagreement), 0.0) + 1e-9 or most == inf:
        return None
    return sum(seen.utilities) / most, 1


def nash_ratio(seen: Seen) -> Part | None:
    """prod_a (u_a - d_a)+ / its maximum over deals (Nash 1950), d the disagreement point. Unscored where
    no deal gives everyone a gain."""
    if not seen.utilities or not 1e-9 < seen.solution.max_nash < inf:
        return None
    return seen.solution.nash(seen.utilities) / seen.solution.max_nash, 1


def messages(seen: Seen) -> Part:
    """Legal messages said, to the end of the episode."""
    return len(seen.messages), 1


def words(seen: Seen) -> Part | None:
    """Words of free text, split at white space; a message that is only an act has none."""
    if not seen.messages:
        return None
    return sum(len(m.text.split()) for m in seen.messages), len(seen.messages)


def tokens(seen: Seen) -> Part | None:
    """Completion tokens (thought included) of the replies that became messages, over those messages."""
    counts = [
        t.reply.completion_tokens
        for t in seen.episode.turns
        if t.message is not None and t.reply is not None and t.reply.completion_tokens is not None
    ]
    return (sum(counts), len(counts)) if counts else None


def tokens_per_task(seen: Seen) -> Part | None:
    """Completion tokens of all replies, illegal ones and those of failed episodes too, over completed
    episodes. Prompt tokens are left out: what they cost depends on the server's cache."""
    counts = [r.completion_tokens for r in seen.replies if r.completion_tokens is not None]
    return (sum(counts), float(seen.episode.outcome.completed)) if counts else None


def illegal(seen: Seen) -> Part | None:
    """Replies that broke the rules, over all replies. A broken agent gave no reply; human talk
    (`state` "") was not judged."""
    judged = [t for t in seen.episode.turns if t.state and (t.message or t.error)]
    return (sum(t.error is not None for t in judged), len(judged)) if judged else None


def legal_mass(seen: Seen) -> Part | None:
    """Mean over replies of `Reply.legal_mass`, the chance of a legal reply without any mask."""
    masses = [r.legal_mass for r in seen.replies if r.legal_mass is not None]
    return (sum(masses), len(masses)) if masses else None


def broken(seen: Seen) -> Part:
    """Episodes that an agent's program ended (it raised, hung, lost its server)."""
    return float(seen.episode.ended is Ended.BROKEN), 1


SEAT, RESULT = "utility.", "result."
"""Prefixes of the metrics that episodes bring along: points of each seat, results of the world's own."""

SHARE, ANY, COUNT = (0.0, 1.0), (None, None), (0.0, None)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "completion_rate", "episodes whose task was completed",
            "of episodes", SHARE, completion, rate=True,
        ),
        Metric(
            "utility", "points per agent, episodes without a deal included",
            "points", ANY, utility,
        ),
        Metric(
            "utility_agreed", "points per agent where they agreed",
            "points", ANY, utility_agreed,
        ),
        Metric(
            "pareto_rate", "agreements that are Pareto-optimal",
            "of agreements", SHARE, pareto, rate=True,
        ),
        Metric(
            "joint_share", "points of all agents over the most that a deal could give",
            "of best", (None, 1.0), joint_share,
        ),
        Metric(
            "nash_ratio", "product of gains over the most that a deal could give",
            "of best", SHARE, nash_ratio,
        ),
        Metric(
            "messages_per_episode", "messages said",
            "messages", COUNT, messages,
        ),
        Metric(
            "words_per_message", "words of free text",
            "words", COUNT, words,
        ),
        Metric(
            "tokens_per_message", "tokens generated for a message",
            "tokens", COUNT, tokens,
        ),
        Metric(
            "tokens_per_completed_task", "tokens generated, failures included, per completed task",
            "tokens", COUNT, tokens_per_task,
        ),
        Metric(
            "illegal_move_rate", "replies that broke the rules",
            "of replies", SHARE, illegal, rate=True,
        ),
        Metric(
            "legal_mass", "chance of a legal reply without the mask",
            "probability", SHARE, legal_mass,
        ),
        Metric(
            "broken_rate", "episodes that an agent's crash or time-out ended",
            "of episodes", SHARE, broken, rate=True,
        ),
    )
}  # fmt: skip


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
    for name, value in getattr(outcome, "results", {}).items():
        found[RESULT + name] = value, 1
    return found


def described(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """The metric of this name, those that episodes bring along included. Raises KeyError."""
    if name.startswith(SEAT):
        return Metric(name, f"points of {name.removeprefix(SEAT)}", "points", ANY, utility)
    if name.startswith(RESULT):
        return Metric(
            name, f"{name.removeprefix(RESULT)}, as the world counts it", "", ANY, utility
        )
    return metrics[name]


def chosen(metrics: Mapping[str, Metric] | Iterable[str]) -> Mapping[str, Metric]:
    """Metrics by their names. Raises `MootError` for a name that there is not."""
    if isinstance(metrics, Mapping):
        return cast(Mapping[str, Metric], metrics)
    found: dict[str, Metric] = {}
    for name in metrics:
        if name not in METRICS:
            raise MootError(f"no metric {name!r}; {did_you_mean(name, METRICS)}")
        found[name] = METRICS[name]
    return found
