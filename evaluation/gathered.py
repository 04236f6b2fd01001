"""What a page needs of many episodes, gathered as they stream by: scores, counts for charts, an index of the
dialogues, and the dialogues themselves in compressed pages.

Charts are drawn from counts of values, not from episodes, so a scatter of a million games is as small as
one of a thousand. Compressed pages (zlib, base64) are about a tenth of the run's own file.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..environments import Episode, Solution
from .dialogue import Data, dialogue, draws, frontier, nash_point
from .metrics import METRICS, Seen
from .scores import Score, Scores
from .written import written

PAGE = 64
"""Dialogues in a page."""
CELLS = 64
"""Cells along each axis of a scatter that would have too many points."""
MOST_POINTS = 1500
MOST_FRONTIERS = 60
MOST_PICTURES = 256
"""Dialogues with pictures; each is a replay, and takes room."""
MOST_LISTENED = 256
"""Dialogues whose turns say what they told of secrets, which can take some milliseconds each."""
GROUPS, FEWEST = 8, 10
"""Most groups along the tokens of a score-versus-tokens curve, fewest episodes in one."""


class Gathered:
    """One set of episodes that may still grow; `data` and `pages` are what a page gets."""

    def __init__(
        self, title: str, agents: Mapping[str, str], wanted: int | None = None, way: str = ""
    ) -> None:
        self.title, self.agents, self.wanted = title, dict(agents), wanted
        self.way = way
        """Way of learning (base, local, ...) that the agents come from, where they come from one."""
        self.scores = Scores(title)
        self.names: dict[str, int] = {}
        """Groups, else scenario names, in the order in which they came -> number."""
        self.scenarios: Counter[str] = Counter()
        self.worlds: Counter[str] = Counter()
        self.seats: list[str] | None = None
        """The seats of all episodes; None once they differ."""
        self._index: list[list[Any]] = []
        self._packed: list[str] = []
        self._open: list[Data] = []
        self._utility: Counter[float] = Counter()
        self._messages: Counter[int] = Counter()
        self._points: Counter[tuple[float, ...]] = Counter()
        self._frontiers: dict[str, Data] = {}
        self._costs: list[tuple[float, float, float]] = []
        """Tokens (-1 where nobody counts any), words, mean utility; an episode each."""
        self._pictures = 0

    def __len__(self) -> int:
        return len(self._index)

    def add(self, episode: Episode, group: str = "") -> None:
        """One more episode; `group` tells apart those of equal number (a fine-tuning's clients)."""
        seen = Seen(episode)
        self.scores.add(episode)
        seats = list(episode.scenario.roles)
        if not self._index:
            self.seats = seats
        elif seats != self.seats:
            self.seats = None
        solution = seen.solution
        pictures = self._pictures < MOST_PICTURES and draws(episode.scenario.world)
        self._pictures += pictures
        learned = seen.learned if len(self) < MOST_LISTENED else ()
        told = dialogue(episode, solution, pictures=pictures, learned=learned)
        if group:
            told["group"] = group
        self._count(seen, solution)
        self._note(episode, told, seen)

    def _note(self, episode: Episode, told: Data, seen: Seen) -> None:
        """A row of the index, and the dialogue itself."""
        label = told.get("group") or episode.scenario.name
        self.worlds[episode.scenario.world] += 1
        self.scenarios[episode.scenario.name] += 1
        turns: Sequence[Data] = told["turns"]
        points = [episode.outcome.utilities.get(a) for a in episode.scenario.roles]
        self._index.append(
            [
                episode.id,
                self.names.setdefault(label, len(self.names)),
                str(episode.ended),
                int(episode.outcome.completed),
                [None if u is None else _rounded(u) for u in points],
                len(seen.messages),
                sum("error" in t for t in turns),
                _rounded(told.get("swung", 0.0)),
            ]
        )
        self._open.append(told)
        if len(self._open) == PAGE:
            self._packed.append(packed(self._open))
            self._open = []

    def _count(self, seen: Seen, solution: Solution) -> None:
        self._messages[len(seen.messages)] += 1
        if not seen.utilities:
            return
        mean = sum(seen.utilities) / len(seen.utilities)
        self._utility[_rounded(mean)] += 1
        counted = [r.completion_tokens for r in seen.replies if r.completion_tokens is not None]
        words = sum(len(m.text.split()) for m in seen.messages)
        self._costs.append((float(sum(counted)) if counted else -1.0, float(words), mean))
        if len(seen.utilities) != 2:
            return
        self._points[tuple(map(_rounded, seen.utilities))] += 1
        if len(self._frontiers) < MOST_FRONTIERS:
            line = {"line": frontier(solution), "nash": nash_point(solution)}
            self._frontiers.setdefault(written(line), line)

    @property
    def pages(self) -> int:
        """How many pages of dialogues there are, the one that is still growing included."""
        return len(self._packed) + bool(self._open)

    def page(self, number: int) -> str:
        """Dialogues `PAGE * number` and on, in the order of the index: base64 of zlib of JSON."""
        if number < len(self._packed):
            return self._packed[number]
        return packed(self._open)

    def index(self) -> str:
        """A row a dialogue: number, name, ended, completed, points by seat, messages, illegal, swing."""
        return packed(self._index)

    def data(self) -> Data:
        """Everything but the dialogues, for JSON."""
        return {
            "title": self.title,
            "way": self.way,
            "agents": self.agents,
            "wanted": self.wanted,
            "episodes": len(self),
            "ended": dict(self.scores.ended.most_common()),
            "notices": self.scores.notices,
            "scores": [told(s) for s in self.scores if s.value is not None],
            "silent": [s.name for s in self.scores if s.value is None],
            "names": list(self.names),
            "worlds": dict(self.worlds.most_common()),
            "seats": self.seats,
            "utility": sorted(self._utility.items()),
            "messages": sorted(self._messages.items()),
            **self._scatter(),
            "frontiers": list(self._frontiers.values()),
            "costs": self._curves(),
            "pages": self.pages,
            "page": PAGE,
        }

    def _scatter(self) -> Data:
        """`points`: (utility of the first seat, of the second, episodes), in cells where they would be
        too many; `cell`: half the width of a cell along either axis, 0 where there is none."""
        points = self._points
        if self.seats is None or len(self.seats) != 2:
            return {"points": [], "cell": [0.0, 0.0]}
        if len(points) <= MOST_POINTS:
            return {"points": [[*p, n] for p, n in points.items()], "cell": [0.0, 0.0]}
        lows, steps = zip(*(_cells([p[i] for p in points]) for i in (0, 1)), strict=True)
        cells: Counter[tuple[float, ...]] = Counter()
        for point, n in points.items():
            where = [
                low + step * (min(math.floor((x - low) / step), CELLS - 1) + 0.5)
                for x, low, step in zip(point, lows, steps, strict=True)
            ]
            cells[tuple(where)] += n
        return {"points": [[*p, n] for p, n in cells.items()], "cell": [step / 2 for step in steps]}

    def _curves(self) -> dict[str, list[list[float]]]:
        """Groups of episodes, ascending in tokens (words): mean tokens, mean utility, its 95 % interval
        (normal), episodes. No `tokens` where an episode has none."""
        curves = {"words": curve([(w, u) for _, w, u in self._costs])}
        if self._costs and all(t >= 0 for t, _, _ in self._costs):
            curves["tokens"] = curve([(t, u) for t, _, u in self._costs])
        return curves


def curve(pairs: Sequence[tuple[float, float]], groups: int = GROUPS) -> list[list[float]]:
    """(x, y) of episodes -> (mean x, mean y, low, high, n) of groups along x; equal x stay together."""
    ordered = sorted(pairs)
    groups = max(1, min(groups, len(ordered) // FEWEST))
    found: list[list[float]] = []
    start = 0
    while start < len(ordered):
        left = max(1, groups - len(found))
        end = start + math.ceil((len(ordered) - start) / left)
        while end < len(ordered) and ordered[end][0] == ordered[end - 1][0]:
            end += 1
        xs, ys = zip(*ordered[start:end], strict=True)
        n, mean = len(ys), sum(ys) / len(ys)
        spread = math.sqrt(sum((y - mean) ** 2 for y in ys) / (n - 1)) if n > 1 else 0.0
        half = 1.96 * spread / math.sqrt(n)
        x = sum(xs) / n
        found.append([_rounded(v) for v in (x, mean, mean - half, mean + half)] + [n])
        start = end
    return found


def told(score: Score) -> Data:
    """A score for JSON, with what is needed to draw it."""
    metric = METRICS.get(score.name)
    return {
        "name": score.name,
        "summary": score.summary,
        "unit": score.unit,
        "range": list(metric.range) if metric else [None, None],
        **score.data(),
    }


def packed(value: object) -> str:
    """Base64 of zlib of JSON. The JSON is ASCII: half a surrogate pair survives as its escape."""
    text = written(value, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 6)).decode("ascii")


def _cells(values: Sequence[float]) -> tuple[float, float]:
    """Lowest value and width of a cell."""
    low, high = min(values), max(values)
    return low, (high - low) / CELLS or 1.0


def _rounded(value: float) -> float:
    """To four significant digits, so that equal points are counted as one."""
    return float(f"{value:.4g}")
