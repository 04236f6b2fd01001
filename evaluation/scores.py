"""Scores: the metrics of many episodes, summed as the episodes stream by, with their intervals.

The scores of two parts of a run merge into those of the whole, and no episode is kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

from ..environments import Episode
from ..environments.records import Run
from ..environments.transcripts import episodes_of
from .metrics import METRICS, RESULT, SEAT, Metric, Seen, chosen, described, parts
from .statistics import FEW, Ratios, binomial, interval, unanimous


@dataclass(frozen=True, slots=True)
class Score:
    """The value of one metric."""

    name: str
    value: float | None
    """None where no episode says anything."""
    n: int
    """The denominator: episodes, messages, replies or completed tasks, by the metric's `unit`; points
    that are no whole number are rounded up."""
    ci: tuple[float, float] | None
    """95 % interval; None for fewer than two episodes."""
    unscored: int
    """Episodes that say nothing about it."""
    unit: str
    summary: str

    def data(self) -> dict[str, Any]:
        """For JSON."""
        ci = None if self.ci is None else list(self.ci)
        return {"value": self.value, "n": self.n, "ci": ci, "unscored": self.unscored}


class Scores:
    """The scores of a set of episodes, which may still grow.

    `metrics` (default: all) maps names to what is scored. The points of each seat (`utility.SEAT`) are
    there while all episodes have the same seats, the world's own results (`result.NAME`) where it has any.
    """

    def __init__(self, source: str = "", metrics: Mapping[str, Metric] = METRICS) -> None:
        self.source, self.metrics = source, metrics
        """Where the episodes came from."""
        self.episodes = 0
        self.ended: Counter[str] = Counter()
        """Reason -> episodes that ended for it."""
        self.notices: list[str] = []
        """What had to be left out (a torn last line)."""
        self._ratios = Ratios()
        self._seats: set[tuple[str, ...]] = set()

    def add(self, episode: Episode) -> None:
        """Count one more episode."""
        found = parts(Seen(episode), self.metrics)
        seats = tuple(sorted(episode.scenario.roles))
        if len(self._seats | {seats}) > 1:
            found = {name: part for name, part in found.items() if not name.startswith(SEAT)}
        self._seats.add(seats)
        self.episodes += 1
        self.ended[str(episode.ended)] += 1
        self._ratios.add(_key(episode), found)

    def merge(self, other: Scores) -> Scores:
        """The scores of both sets together; neither is changed."""
        both = Scores(", ".join(s for s in (self.source, other.source) if s), self.metrics)
        both.episodes = self.episodes + other.episodes
        both.ended = self.ended + other.ended
        both.notices = self.notices + other.notices
        both._ratios = self._ratios.merge(other._ratios)
        both._seats = self._seats | other._seats
        return both

    def __getitem__(self, name: str) -> Score:
        """One score by the metric's name; KeyError for a name that these episodes do not have."""
        own = name.startswith((SEAT, RESULT))
        if own and (name not in self._ratios.sums or (name.startswith(SEAT) and not self._same)):
            raise KeyError(name)
        metric = described(name, self.metrics)
        top, bottom, counted = self._ratios.sums.get(name, (0.0, 0.0, 0))
        value = top / bottom if bottom else None
        if value is None:
            ci = None
        elif metric.rate and value in (0.0, 1.0):
            ci = unanimous(value, counted)
        elif metric.rate and bottom == counted > 1 and min(top, bottom - top) <= FEW:
            ci = binomial(round(top), counted)  # every episode said yes or no, once
        else:
            ci = interval(self._ratios.drawn(name), counted)
        return Score(
            name=name,
            value=value,
            n=ceil(bottom - 1e-9),
            ci=ci,
            unscored=self.episodes - counted,
            unit=metric.unit,
            summary=metric.summary,
        )

    def __iter__(self) -> Iterator[Score]:
        """All scores, those of no episode included, in the order of the metrics, then seats, results."""
        seats = [SEAT + a for a in next(iter(self._seats))] if self._same else []
        own = [s for s in seats if s in self._ratios.sums]
        own += sorted(s for s in self._ratios.sums if s.startswith(RESULT))
        return (self[name] for name in (*self.metrics, *own))

    @property
    def _same(self) -> bool:
        """Whether all episodes have the same seats."""
        return len(self._seats) == 1

    def data(self) -> dict[str, Any]:
        """For JSON: `metrics.NAME.value`, `.n`, `.ci`, `.unscored`; `episodes`; `ended`; `source`."""
        return {
            "metrics": {score.name: score.data() for score in self},
            "episodes": self.episodes,
            "ended": dict(sorted(self.ended.items())),
            "source": self.source,
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row a metric, for CSV and data frames."""
        return [
            {
                "source": self.source,
                "metric": s.name,
                "value": s.value,
                "low": None if s.ci is None else s.ci[0],
                "high": None if s.ci is None else s.ci[1],
                "n": s.n,
                "unscored": s.unscored,
                "unit": s.unit,
            }
            for s in self
        ]

    def frame(self) -> Any:
        """A `pandas.DataFrame` indexed by metric: value, low, high (95 %), n, unscored, unit."""
        pandas: Any = import_module("pandas")
        return pandas.DataFrame(self.rows()).drop(columns="source").set_index("metric")

    def __str__(self) -> str:
        return "\n".join(
            f"{s.name:28}{s.value:10.4f}{_range(s.ci):>22}   n={s.n}"
            for s in self
            if s.value is not None
        )


def score(
    played: Run | str | Path | Iterable[Episode],
    source: str = "",
    *,
    metrics: Mapping[str, Metric] | Iterable[str] = METRICS,
) -> Scores:
    """Score a run, what lies at a path, or episodes as they come.

    `metrics`: names of some, those of `ON_REQUEST` too, or a mapping with metrics of your own. Raises
    `MootError`.
    """
    wanted = chosen(metrics)
    notices: list[str] = []
    if isinstance(played, str | Path):
        played, source = episodes_of(played, notices), source or str(played)
    elif isinstance(played, Run):
        played, source = played.episodes(notices), source or str(played.path)
    scores = Scores(source, wanted)
    for episode in played:
        scores.add(episode)
    scores.notices = notices
    return scores


def score_path(path: str | Path, metrics: Mapping[str, Metric] | Iterable[str] = METRICS) -> Scores:
    """Score a run folder, an `episodes.jsonl` or a file of human dialogues. Raises `MootError` when it
    is none of these."""
    return score(path, metrics=metrics)


def score_paths(
    paths: Iterable[str | Path], metrics: Mapping[str, Metric] | Iterable[str] = METRICS
) -> dict[str, Scores]:
    """Path -> its scores; `merged` puts them together."""
    wanted = chosen(metrics)
    return {str(path): score_path(path, wanted) for path in paths}


def merged(parts: Mapping[str, Scores]) -> Scores:
    """The scores of all parts together."""
    whole = Scores()
    for part in parts.values():
        whole = whole.merge(part)
    return whole


def _range(ci: tuple[float, float] | None) -> str:
    return "" if ci is None else f"[{ci[0]:.4f}, {ci[1]:.4f}]"


def _key(episode: Episode) -> int:
    """What tells an episode from others: where it comes from and who played it, not where it lies."""
    who = sorted(episode.seats.items())
    text = f"{episode.scenario.name}|{episode.scenario.source}|{episode.seed}|{episode.id}|{who}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
