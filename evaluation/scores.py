"""Scores: the metrics of many episodes, summed as the episodes stream by, with their intervals.

The scores of two parts of a run merge into those of the whole, and no episode is kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..environments import Episode
from ..environments.records import Run
from ..environments.transcripts import episodes_of
from .metrics import ANY, METRICS, Metric, Seen, utility
from .statistics import Part, Ratios, interval, unanimous

SEAT = "utility."
"""Prefix of the metrics per seat, present when all episodes have the same seats."""


@dataclass(frozen=True, slots=True)
class Score:
    """The value of one metric."""

    name: str
    value: float | None
    """None where no episode says anything."""
    n: int
    """The denominator: episodes, messages, replies or completed tasks, by the metric's `unit`."""
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
    """The scores of a set of episodes, which may still grow."""

    def __init__(self, source: str = "") -> None:
        self.source = source
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
        seen = Seen(episode)
        parts: dict[str, Part] = {}
        for name, metric in METRICS.items():
            part = metric.part(seen)
            if part is not None:
                parts[name] = part
        seats = tuple(sorted(episode.scenario.roles))
        if len(self._seats | {seats}) == 1:
            for agent, points in episode.outcome.utilities.items():
                parts[SEAT + agent] = points, 1
        self._seats.add(seats)
        self.episodes += 1
        self.ended[str(episode.ended)] += 1
        self._ratios.add(_key(episode), parts)

    def merge(self, other: Scores) -> Scores:
        """The scores of both sets together; neither is changed."""
        both = Scores(", ".join(s for s in (self.source, other.source) if s))
        both.episodes = self.episodes + other.episodes
        both.ended = self.ended + other.ended
        both.notices = self.notices + other.notices
        both._ratios = self._ratios.merge(other._ratios)
        both._seats = self._seats | other._seats
        return both

    def __getitem__(self, name: str) -> Score:
        """One score by the metric's name; KeyError for a name that these episodes do not have."""
        if name.startswith(SEAT):
            metric = Metric(name, f"points of {name.removeprefix(SEAT)}", "points", ANY, utility)
            if len(self._seats) != 1 or name not in self._ratios.sums:
                raise KeyError(name)
        else:
            metric = METRICS[name]
        top, bottom, counted = self._ratios.sums.get(name, (0.0, 0.0, 0))
        value = top / bottom if bottom else None
        if value is None:
            ci = None
        elif metric.rate and value in (0.0, 1.0):
            ci = unanimous(value, counted)
        else:
            ci = interval(self._ratios.drawn(name), counted)
        return Score(
            name=name,
            value=value,
            n=round(bottom),
            ci=ci,
            unscored=self.episodes - counted,
            unit=metric.unit,
            summary=metric.summary,
        )

    def __iter__(self) -> Iterator[Score]:
        """All scores, those of no episode included, in the order of `METRICS`, then by seat."""
        seats = [SEAT + a for a in next(iter(self._seats))] if len(self._seats) == 1 else []
        return (self[name] for name in (*METRICS, *(s for s in seats if s in self._ratios.sums)))

    def data(self) -> dict[str, Any]:
        """For JSON: `metrics.NAME.value`, `.n`, `.ci`, `.unscored`; `episodes`; `ended`; `source`."""
        return {
            "metrics": {score.name: score.data() for score in self},
            "episodes": self.episodes,
            "ended": dict(sorted(self.ended.items())),
            "source": self.source,
        }

    def __str__(self) -> str:
        return "\n".join(
            f"{s.name:26}{s.value:10.4f}{_range(s.ci):>22}   n={s.n}"
            for s in self
            if s.value is not None
        )


def score(played: Run | str | Path | Iterable[Episode], source: str = "") -> Scores:
    """Score a run, what lies at a path, or episodes as they come. Raises `MootError`."""
    if isinstance(played, str | Path):
        return score_path(played)
    if isinstance(played, Run):
        played, source = played.episodes(), source or str(played.path)
    scores = Scores(source)
    for episode in played:
        scores.add(episode)
    return scores


def score_path(path: str | Path) -> Scores:
    """Score a run folder, an `episodes.jsonl` or a file of human dialogues. Raises `MootError` when it
    is none of these."""
    notices: list[str] = []
    scores = score(episodes_of(path, notices), str(path))
    scores.notices = notices
    return scores


def score_paths(paths: Iterable[str | Path]) -> dict[str, Scores]:
    """Path -> its scores; `merged` puts them together."""
    return {str(path): score_path(path) for path in paths}


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
