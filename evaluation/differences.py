"""What a comparison of two runs found: a record for each metric, and the words for all of them.

How the numbers are made stands in `compare.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..protocols.counted import counted

ALPHA = 0.05
"""What counts as told apart, after Holm's correction."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two runs."""

    name: str
    unit: str
    one: float
    two: float
    difference: float
    ci: tuple[float, float] | None
    """95 % interval of the difference, without regard to the other metrics."""
    p: float
    """Permutation p-value; 1 where no relabelling makes a difference."""
    adjusted: float
    """Holm's p-value over the metrics of this comparison."""
    effect: float | None
    """Difference over the pooled standard deviation of single episodes (Cohen's d); None without any."""
    detectable: float | None
    """Smallest true difference that 4 of 5 such comparisons would find (80 % power, 5 %, two-sided)."""
    floor: float
    """What 19 of 20 comparisons of a run with itself stay below: the A/A noise floor."""
    n: tuple[int, int]
    """Denominators."""
    scored: tuple[int, int]
    """Episodes that say something about it."""
    better: Literal["high", "low"] | None = None
    """Which direction is good, as the metric says."""

    @property
    def told_apart(self) -> bool:
        """Whether the difference stands after Holm's correction, at 5 %."""
        return self.adjusted < ALPHA

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "one": self.one, "two": self.two, "difference": self.difference,
            "ci": None if self.ci is None else list(self.ci),
            "p": self.p, "p_holm": self.adjusted, "told_apart": self.told_apart,
            "effect": self.effect, "detectable": self.detectable, "noise_floor": self.floor,
            "n": list(self.n), "scored": list(self.scored),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """All metrics of two runs; prints as words."""

    names: tuple[str, str]
    episodes: tuple[int, int]
    """Episodes that were compared."""
    left_out: tuple[int, int]
    """Episodes without a partner."""
    paired: bool
    unit: str
    """What was resampled: `scenario` or `episode`."""
    units: int
    differences: tuple[Difference, ...]
    comparable: bool = True
    """False for runs of different games: their points are on different scales."""

    def __getitem__(self, name: str) -> Difference:
        """Raises KeyError for a metric that has no value in either run."""
        return {d.name: d for d in self.differences}[name]

    def data(self) -> dict[str, Any]:
        """For JSON: `metrics.NAME.difference`, `.ci`, `.p_holm`, `.told_apart`, ..."""
        return {
            "one": self.names[0],
            "two": self.names[1],
            "episodes": list(self.episodes),
            "left_out": list(self.left_out),
            "paired": self.paired,
            "comparable": self.comparable,
            "unit": self.unit,
            "units": self.units,
            "metrics": {d.name: d.data() for d in self.differences},
        }

    def words(self) -> list[str]:
        """How they were compared, what differs, and what cannot be told apart."""
        one, two = self.names
        if not self.comparable:
            return [
                f"{one} and {two} are runs of different games, whose points are on different scales: "
                "their means stand side by side, and nothing is compared beyond that."
            ]
        lines = [self._how()]
        for word, sign in (("more", 1), ("less", -1)):
            told = [d for d in self.differences if d.told_apart and d.difference * sign > 0]
            if told:
                each = ", ".join(f"{d.name} ({_signed(d)}{_good(d)})" for d in told)
                lines.append(f"{one} has {word} than {two}: {each}.")
        same = [d for d in self.differences if not d.told_apart]
        equal = [d.name for d in same if d.difference == 0 and d.floor == 0]
        unsure = [d for d in same if d.name not in equal]
        if unsure:
            each = ", ".join(f"{d.name} ({_signed(d)}{_least(d)})" for d in unsure)
            lines.append(f"Cannot be told apart: {each}.")
        if equal:
            lines.append(f"The same in every episode: {', '.join(equal)}.")
        return lines

    def _how(self) -> str:
        one, two = self.names
        pairs = f"{counted(self.episodes[0], 'pair')} of episodes (same game, seed and number)"
        apart = f"{self.episodes[0]} and {counted(self.episodes[1], 'episode')}, unpaired"
        about = (
            f"over {counted(self.units, 'scenario')}"
            if self.unit == "scenario"
            else "about other episodes of these scenarios"
        )
        alone = sum(self.left_out)
        rest = f"; {alone} without a partner left out" if alone else ""
        return f"{one} against {two}: {pairs if self.paired else apart}; intervals {about}{rest}."

    def __str__(self) -> str:
        return "\n".join(self.words())


def _number(value: float) -> str:
    size = abs(value)
    return f"{value:,.{0 if size >= 1000 else 2 if size >= 10 else 3}f}"


def _signed(d: Difference) -> str:
    ci = "" if d.ci is None else f" [{_number(d.ci[0])}, {_number(d.ci[1])}]"
    return f"{'+' if d.difference > 0 else ''}{_number(d.difference)}{ci}"


def _good(d: Difference) -> str:
    """What the difference means for the first run."""
    if d.better is None:
        return ""
    return "; better" if (d.difference > 0) == (d.better == "high") else "; worse"


def _least(d: Difference) -> str:
    return "" if d.detectable is None else f"; {_number(d.detectable)} would show"
