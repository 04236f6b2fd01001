"""The rounds of a fine-tuning's folder as curves: held-out loss of each way of learning, aggregation error.

Read from the files alone (`VARIANT/rounds.jsonl`, `result.json`), so a fine-tuning that still runs, or one
of another machine, can be looked at; nothing here loads a model. The held-out loss of a round is the mean
over clients, except that centralised learning has one loss over everybody's examples.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ..protocols import MootError

Data = dict[str, Any]
HEADER, RESULT, ROUNDS = "tuning.json", "result.json", "rounds.jsonl"
WAYS = ("base", "local", "federated", "centralised")
"""Ways of learning in the order of the page; the base learns nothing and has no rounds."""


def is_finetuning(path: Path) -> bool:
    """Whether this is the folder that `moot finetune` wrote."""
    return (path / HEADER).is_file()


def training(path: Path, title: str) -> Data:
    """Everything about the learning, for JSON. Raises `MootError` for damage."""
    header = read(path / HEADER)
    tuning = cast(Data, header["tuning"])
    curves = {v: rounds for v in WAYS if (rounds := _rounds(path / v / ROUNDS))}
    parts = cast(Data, tuning.get("partition") or {})
    result = read(path / RESULT) if (path / RESULT).is_file() else {}
    found: Data = {
        "title": title,
        "base": tuning["base"],
        "method": tuning["adapter"]["method"],
        "rule": tuning["federation"]["rule"],
        "rounds": tuning["federation"]["rounds"],
        "clients": len(tuning["clients"]) or parts.get("clients"),
        "loss": {v: _losses(rounds) for v, rounds in curves.items()},
        "federated": [_round(r) for r in curves.get("federated", [])],
        "result": result.get("variants", {}),
        "minus": result.get("federated_minus", {}),
        "recovered": result.get("recovered"),
    }
    start = next((r[0]["before"] for r in curves.values() if len(r[0]["before"]) > 1), None)
    base = found["result"].get("base", {}).get("held_out_loss", {}).get("value")
    found["base_loss"] = _mean(start) if base is None and start else base
    return found


def _losses(rounds: list[Data]) -> Data:
    """Round 0 is before the first: mean over clients, lowest and highest client."""
    states = [rounds[0]["before"], *(r["after"] for r in rounds)]
    return {
        "mean": [_mean(s) for s in states],
        "low": [min(s.values(), default=None) for s in states],
        "high": [max(s.values(), default=None) for s in states],
        "clients": {name: [s.get(name) for s in states] for name in states[-1]},
    }


def _round(r: Data) -> Data:
    return {
        "number": r["number"] + 1,
        "error": r["error"],
        "relative": r["error"] / r["size"] if r["error"] is not None and r["size"] else None,
        "rank": r["rank"],
        "bytes": r["bytes_up"] + r["bytes_down"],
        "tokens": r["tokens"],
        "seconds": sum(r["seconds"].values()),
        "aside": [a["client"] for a in r["aside"]],
        "dropped": r["dropped"],
    }


def _mean(found: dict[str, float]) -> float | None:
    return sum(found.values()) / len(found) if found else None


def _rounds(path: Path) -> list[Data]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]
    except (OSError, ValueError) as e:
        raise MootError(f"{path} is damaged: {e}", usage=False) from None


def read(path: Path) -> Data:
    """A JSON file. Raises `MootError` where it holds none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise MootError(f"{path} is damaged: {e}", usage=False) from None
