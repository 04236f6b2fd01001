"""Scores as a table for people. (For programs: `Scores.data`.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..protocols.counted import counted
from .cross import Cross
from .differences import Comparison, Difference
from .efficiency import Arm
from .grid import Grid, Row
from .judges import Verdict, agreement
from .paired import Estimate, mean
from .rubrics import Rubric
from .scores import Score, Scores
from .value import MessageValue

MISHAPS = ("forfeit_rate", "deadline_rate", "broken_rate", "timeout_rate")
"""Rates that say nothing where they are 0."""


def table(parts: Mapping[str, Scores], *, brief: bool = False) -> Grid:
    """One set of scores with its intervals and denominators, or several sets side by side.

    `parts` maps a column's title to its scores. Metrics that nothing was scored on are named below the
    table, with how the episodes ended. `brief` leaves out the rates of mishaps that never happened.
    """
    names = dict.fromkeys(
        s.name
        for scores in parts.values()
        for s in scores
        if s.value is not None and not (brief and s.name in MISHAPS and s.value == 0)
    )
    caption = _caption(parts)
    if len(parts) == 1:
        (scores,) = parts.values()
        found = [scores[name] for name in names]
        rows = [Row((s.name, number(s), interval(s), f"{s.n:,}"), s.summary) for s in found]
        titles = ("metric", "value", "95 % interval", "n")
        meaning = "what each metric is: moot list metrics"
        return Grid(titles, rows, caption=caption, words="what it is", instead=meaning)
    rows = [
        Row((name, *(f"{number(s)} {interval(s)}" if s else "-" for s in cells)))
        for name in names
        for cells in [[_found(scores, name) for scores in parts.values()]]
    ]
    return Grid(("metric", *parts), rows, caption=caption)


def comparison_table(found: Comparison) -> Grid:
    """One row a metric: both values, the difference with its interval, test and effect size. What
    differs stands first; mishaps that neither side had are left out."""
    rows: list[Row] = []
    shown = [d for d in found.differences if d.one or d.two or d.name not in MISHAPS]
    for d in sorted(shown, key=lambda d: not d.told_apart):
        size = max(abs(d.one), abs(d.two))
        ci = "" if d.ci is None else f" [{_short(d.ci[0], size)}, {_short(d.ci[1], size)}]"
        cells = (
            d.name,
            _short(d.one, size),
            _short(d.two, size),
            f"{'+' if d.difference > 0 else ''}{_short(d.difference, size)}{ci}",
            "<0.001" if d.adjusted < 0.001 else f"{d.adjusted:.3f}",
            "" if d.effect is None else f"{d.effect:+.2f}",
            f"{d.n[0]:,}" if d.n[0] == d.n[1] else f"{d.n[0]:,}/{d.n[1]:,}",
        )
        rows.append(Row(cells if found.comparable else cells[:3], style=_bold(d, found)))
    if not found.comparable:
        return Grid(("metric", *found.names), rows, caption="means of different games")
    return Grid(
        ("metric", *found.names, "difference [95 %]", "p", "d", "n"),
        rows,
        spare=("n", "d"),
        caption="p is Holm's over these metrics; d is in standard deviations of single episodes",
    )


def _bold(d: Difference, found: Comparison) -> str:
    return "bold" if d.told_apart and found.comparable else ""


def cross_table(found: Cross) -> Grid:
    """Points of the row beside the column, self-play on the diagonal, then how strong the row is."""
    names = [s.name for s in found.standings]
    rows: list[Row] = []
    for s in found.standings:
        cells: list[str] = []
        for other in names:
            cell = _half(found.cells.get((s.name, other)))
            cells.append(f"({cell})" if other == s.name else cell)
        rating = "-"
        if s.elo is not None:
            rating = f"{s.elo.value:.0f} [{s.elo.low:.0f}, {s.elo.high:.0f}]"
        rows.append(Row((s.name, *cells, _half(s.crossed), rating)))
    caption = (
        f"points of the row beside the column, both seatings, ± half the 95 % interval over "
        f"{found.units} {found.unit}s; (self-play); strength: Elo-scaled Bradley-Terry"
    )
    return Grid(("", *names, "all others", "strength [95 %]"), rows, caption=caption)


def suite_table(
    rows: Mapping[tuple[str, str], tuple[Scores, Comparison | None]],
    metrics: Sequence[str],
    baseline: str | None,
) -> Grid:
    """A row for every (scenario, agent); `*` marks what can be told from the baseline."""
    told = (
        "" if baseline is None else f"; * differs from {baseline} on the same episodes (Holm, 5 %)"
    )
    shown = [m for m in metrics if any(_found(s, m) for s, _ in rows.values())]
    lines: list[Row] = []
    before = ""
    for (scenario, agent), (scores, against) in rows.items():
        apart = {d.name for d in against.differences if d.told_apart} if against else set[str]()
        cells = [_with_half(_found(scores, m)) + ("*" if m in apart else " ") for m in shown]
        name = scenario if scenario != before else ""
        lines.append(Row((name, agent, *cells, f"{scores.episodes:,}")))
        before = scenario
    titles = ("scenario", "agent", *shown, "episodes")
    caption = f"± half the 95 % interval over episodes{told}"
    return Grid(titles, lines, keys=2, caption=caption)


def _with_half(score: Score | None) -> str:
    if score is None or score.value is None:
        return "-"
    if score.ci is None:
        return _short(score.value, score.value)
    return _half(Estimate(score.value, *score.ci, score.n))


def value_table(values: Sequence[MessageValue]) -> Grid:
    """A row a message: what it was worth to each agent and to all; `*` where the interval is off 0."""
    rows: list[Row] = []
    for v in values:
        cells = [
            _half(e) + ("*" if e.low > 0 or e.high < 0 else " ")
            for e in (*v.agents.values(), v.joint)
        ]
        who = f"{v.turn:>4}", v.message.sender, str(v.message.act)
        rows.append(Row((*who, *cells), v.message.text))
    caption = (
        f"points with the message minus points without it, ± half the 95 % interval over "
        f"{values[0].replays} replays; * is not 0"
    )
    titles = ("turn", "speaker", "act", *values[0].agents, "together")
    return Grid(titles, rows, keys=3, caption=caption, words="words")


def efficiency_table(arms: Mapping[str, Arm], metric: str) -> Grid:
    """A row an arm, the shortest talk first: score, what was said, and eta."""
    caption = "eta = (score - silent) / (oracle - silent), ± half the 95 % interval"
    if all(arm.eta is None for arm in arms.values()):
        caption = "no eta: the oracle is not surely better than silence here"
    rows: list[Row] = []
    for arm in sorted(arms.values(), key=lambda a: (a.tokens or 0.0, a.words)):
        tokens = "-" if arm.tokens is None else _short(arm.tokens, arm.tokens)
        rest = map(_half, (arm.eta, arm.per_100_words, arm.per_100_tokens))
        cells = (arm.name, _half(arm.score), _short(arm.words, arm.words), tokens, *rest)
        rows.append(Row(cells))
    titles = ("arm", metric, "words", "tokens", "eta", "eta / 100 words", "eta / 100 tokens")
    return Grid(titles, rows, caption=caption)


def judge_table(verdicts: Sequence[Verdict], rubric: Rubric) -> Grid:
    """A row a dimension: the mean mark of each judge, and how far the judges agree."""
    judges = dict.fromkeys(v.judge for v in verdicts)
    silent = sum(v.marks is None for v in verdicts)
    agreed = agreement(verdicts, rubric)
    rows: list[Row] = []
    for d in rubric.dimensions:
        cells: list[str] = []
        for judge in judges:
            marks: dict[str, list[float]] = {"": []}
            for v in verdicts:
                if v.judge == judge and v.marks is not None:
                    marks[""].append(v.marks[d.name])
            cells.append(_half(mean(marks)))
        shown = agreed[d.name]
        same = "-" if shown is None else f"{shown:.2f}"
        rows.append(Row((d.name, f"{d.low} to {d.high}", *cells, same)))
    caption = (
        f"{len(verdicts)} verdicts, {silent} of them unscored; ± half the 95 % interval over episodes; "
        "alpha: Krippendorff's, 1 is agreement, 0 is chance"
    )
    return Grid(("dimension", "marks", *judges, "alpha"), rows, caption=caption)


def _half(estimate: Estimate | None) -> str:
    """The value and half the width of its interval."""
    if estimate is None:
        return "-"
    half = (estimate.high - estimate.low) / 2
    size = max(abs(estimate.value), 0.01)
    return f"{_short(estimate.value, size)}±{_short(half, size)}"


def shortest(paths: Sequence[Path]) -> list[str]:
    """The shortest endings of the paths that still tell them apart; whole where none does."""
    for parts in range(1, max(len(p.parts) for p in paths) + 1):
        names = ["/".join(p.parts[-parts:]) for p in paths]
        if len(set(names)) == len(names):
            return names
    return [str(p) for p in paths]


def number(score: Score) -> str:
    """To about a thousandth of its size; `-` for unscored."""
    return "-" if score.value is None else _short(score.value, score.value)


def interval(score: Score) -> str:
    """`[low, high]`; empty where there is none."""
    if score.ci is None or score.value is None:
        return ""
    return f"[{_short(score.ci[0], score.value)}, {_short(score.ci[1], score.value)}]"


def _short(value: float, like: float) -> str:
    """As many digits as suit a number like that one."""
    size = abs(like)
    if 0 < size < 0.001:
        return f"{value:.1e}"
    return f"{value:,.{0 if size >= 1000 else 2 if size >= 10 else 3}f}"


def _found(scores: Scores, name: str) -> Score | None:
    score = next((s for s in scores if s.name == name), None)
    return None if score is None or score.value is None else score


def _caption(parts: Mapping[str, Scores]) -> str:
    lines: list[str] = []
    for title, scores in parts.items():
        ends = ", ".join(f"{n:,} {reason}" for reason, n in scores.ended.most_common())
        lines.append(f"{title}: {counted(scores.episodes, 'episode')} ({ends or 'none'})")
        silent = [s.name for s in scores if s.value is None]
        if silent:
            reason = "nothing of the kind happened, or this world does not define it"
            lines.append(f"{title}: nothing to score for {', '.join(silent)} ({reason})")
        lines += scores.notices
    return "\n".join(lines)
