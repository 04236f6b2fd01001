"""How a fine-tuning came out: each variant's losses and games, their means over clients, and the differences.

Utility here is the client's own, at the seat it learned; the other seats belong to the game. Differences are
paired: variants play the same scenarios with the same random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from .environments.load import seats as seats_of
from .environments.records import Run
from .evaluation.paired import Estimate, difference, mean
from .protocols.counted import counted

Games = dict[str, dict[int, float]]
"""Client -> number of the episode -> value."""

METRICS = {
    "utility": "the client's own points",
    "completion_rate": "games that came to their goal",
    "messages": "messages per game",
    "tokens_per_completed": "tokens that the client wrote, per completed game",
}


ENOUGH = 10
"""Games of each client below which differences are not called anything."""


class Result(NamedTuple):
    """One variant."""

    losses: dict[str, float]
    """Client -> held-out loss, nats per token."""
    games: dict[str, Games]
    """Metric -> values; `tokens_per_completed` is a ratio and has no values per game."""
    tokens: dict[str, tuple[float, int]]
    """Client -> (tokens it wrote, games completed)."""


def read(losses: Mapping[str, float], runs: Mapping[str, Path], seats: Mapping[str, str]) -> Result:
    """A variant's losses and recorded games; `seats` names each client's seat or role."""
    games: dict[str, Games] = {metric: {} for metric in METRICS if metric != "tokens_per_completed"}
    tokens: dict[str, tuple[float, int]] = {}
    for name, path in runs.items():
        for metric in games:
            games[metric][name] = {}
        written, completed = 0, 0
        for episode in Run.open(path).episodes():
            own = seats_of(episode.scenario, seats[name])
            points = [episode.outcome.utilities[a] for a in own]
            games["utility"][name][episode.id] = sum(points) / len(points)
            games["completion_rate"][name][episode.id] = float(episode.outcome.completed)
            games["messages"][name][episode.id] = float(len(episode.messages))
            completed += episode.outcome.completed
            written += sum(
                t.reply.completion_tokens or 0 for t in episode.turns if t.agent in own and t.reply
            )
        tokens[name] = float(written), completed
    return Result(dict(losses), games, tokens)


def table(results: Mapping[str, Result]) -> Table:
    """Variants side by side: means over clients with 95 % intervals, and the worst client."""
    grid = Table(caption=_caption(results), caption_justify="left", caption_style="dim")
    grid.add_column("mean over clients", no_wrap=True)
    for variant in results:
        grid.add_column(variant, justify="right", no_wrap=True)
    for name, cells in _rows(results).items():
        grid.add_row(name, *cells)
    return grid


def _rows(results: Mapping[str, Result]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for metric in METRICS:
        if metric == "tokens_per_completed":
            cells = [_ratio(r.tokens) for r in results.values()]
        else:
            cells = [_cell(_mean(r.games[metric])) for r in results.values()]
        if any(c != "-" for c in cells):
            rows[metric] = cells
        if metric == "utility" and metric in rows:
            rows["  worst client"] = [_worst(r.games[metric], min) for r in results.values()]
    losses = [{a: {0: x} for a, x in r.losses.items()} for r in results.values()]
    if any(losses):
        rows["held-out loss"] = [f"{e.value:.4f}" if (e := _mean(x)) else "-" for x in losses]
        rows["  worst client "] = [
            f"{max(r.losses.values()):.4f}" if r.losses else "-" for r in results.values()
        ]
        rows["held-out perplexity"] = [
            f"{math.exp(e.value):.3f}" if (e := _mean(x)) else "-" for x in losses
        ]
    return rows


def _mean(games: Games) -> Estimate | None:
    return mean({name: list(values.values()) for name, values in games.items()})


def _cell(estimate: Estimate | None) -> str:
    """The value and half the width of its interval."""
    if estimate is None:
        return "-"
    digits = 2 if abs(estimate.value) < 10 else 1 if abs(estimate.value) < 100 else 0
    return f"{estimate.value:.{digits}f} ±{(estimate.high - estimate.low) / 2:.{digits}f}"


def _worst(games: Games, choose: Any) -> str:
    means = [sum(v.values()) / len(v) for v in games.values() if v]
    return f"{choose(means):.3f}" if means else "-"


def _ratio(tokens: Mapping[str, tuple[float, int]]) -> str:
    ratios = [written / completed for written, completed in tokens.values() if completed]
    return f"{sum(ratios) / len(ratios):.1f}" if ratios else "-"


def _caption(results: Mapping[str, Result]) -> str:
    first = next(iter(results.values()))
    games = sum(map(len, first.games["utility"].values()))
    told = [counted(len(first.losses), "client")]
    if games:
        told.append(f"{counted(games, 'game')} per variant, ± half the 95 % interval over games")
    return "; ".join(told)


def comparisons(results: Mapping[str, Result]) -> list[str]:
    """Federated against the others, in words."""
    if "federated" not in results:
        return []
    ours, told = results["federated"], list[str]()
    for other, theirs in results.items():
        if other == "federated":
            continue
        found = difference(ours.games["utility"], theirs.games["utility"])
        if found is not None:
            verdict = (
                "more" if found.low > 0 else "less" if found.high < 0 else "cannot be told apart"
            )
            if found.n < ENOUGH * len(ours.games["utility"]):
                verdict = f"too few to tell (want {ENOUGH} games a client)"
            told.append(
                f"utility, federated minus {other}: {found.value:+.3f} "
                f"[{found.low:+.3f}, {found.high:+.3f}]: {verdict} (paired, n = {found.n})"
            )
    share = recovered(results)
    if share is not None:
        told.append(
            f"held-out loss: federated makes {share:.0%} of centralised's improvement over base"
        )
    return told


def recovered(results: Mapping[str, Result]) -> float | None:
    """(base - federated) / (base - centralised) of the mean held-out loss; None where that says nothing."""
    if not {"base", "federated", "centralised"} <= results.keys():
        return None
    base, ours, best = (_loss(results[v]) for v in ("base", "federated", "centralised"))
    if base is None or ours is None or best is None or base - best < 0.01 * base:
        return None
    return (base - ours) / (base - best)


def _loss(result: Result) -> float | None:
    return sum(result.losses.values()) / len(result.losses) if result.losses else None


def data(results: Mapping[str, Result]) -> dict[str, Any]:
    """For JSON: variant -> metric -> value, interval, n, and each client's own mean."""
    found: dict[str, Any] = {}
    for variant, r in results.items():
        metrics: dict[str, Any] = {}
        for metric, games in r.games.items():
            e = _mean(games)
            if e is not None:
                clients = {a: sum(v.values()) / len(v) for a, v in games.items() if v}
                metrics[metric] = {
                    "value": e.value,
                    "ci": [e.low, e.high],
                    "n": e.n,
                    "clients": clients,
                }
        found[variant] = {
            "metrics": metrics,
            "held_out_loss": {"value": _loss(r), "clients": r.losses},
        }
    against: dict[str, Any] = {}
    if "federated" in results:
        for other in results:
            e = difference(results["federated"].games["utility"], results[other].games["utility"])
            if other != "federated" and e is not None:
                against[other] = {"value": e.value, "ci": [e.low, e.high], "n": e.n}
    return {"variants": found, "federated_minus": against, "recovered": recovered(results)}
