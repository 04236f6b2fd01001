"""A run as a table: a row an episode, with its talk, its scores and the whole record.

For notebooks and trainers: `to_dataset` gives a `datasets.Dataset`, `write_parquet` a file that pandas,
polars, DuckDB and Spark read. Both go through the same Arrow batches, so a file is written in constant
memory. Contents of messages and the record are JSON text, since every world has its own fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from ..environments import Episode
from ..environments.records import Run
from ..environments.transcripts import episodes_of
from ..protocols import MootError
from .metrics import METRICS, Seen, parts

BATCH = 1000
"""Episodes of one Arrow batch."""
Played = Run | str | Path | Iterable[Episode]


def to_dataset(played: Played) -> Any:
    """The episodes as a `datasets.Dataset`, in the order in which they ended. Raises `MootError`."""
    datasets: Any = import_module("datasets")
    pa, schema = _arrow(), _schema()
    return datasets.Dataset(pa.Table.from_batches(_batches(played, schema), schema))


def write_parquet(played: Played, path: str | Path) -> int:
    """Write the episodes as a Parquet file and return how many there were. Raises `MootError`; a file
    that is there already is replaced once the new one is whole."""
    pq, path = _arrow("parquet"), Path(path)
    schema, count, half = _schema(), 0, path.with_name(path.name + ".part")
    if not path.parent.is_dir():
        raise MootError(f"{path}: there is no folder {path.parent}")
    try:
        with pq.ParquetWriter(half, schema, compression="zstd") as writer:
            for batch in _batches(played, schema):
                writer.write_batch(batch)
                count += batch.num_rows
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return count


def row(episode: Episode) -> dict[str, Any]:
    """One episode as plain data. Scores are the episode's own ratio, None where it says nothing."""
    found = parts(Seen(episode), METRICS)
    messages: list[dict[str, Any]] = []
    for number, turn in enumerate(episode.turns):
        m, reply = turn.message, turn.reply
        messages.append(
            {
                "turn": number,
                "agent": turn.agent,
                "to": [] if m is None else list(m.receivers),
                "act": None if m is None else str(m.act),
                "content": None if m is None or m.content is None else m.content.model_dump_json(),
                "text": None if m is None else m.text,
                "error": None if turn.error is None else str(turn.error),
                "tokens": None if reply is None else reply.completion_tokens,
                "legal_mass": None if reply is None else reply.legal_mass,
            }
        )
    outcome = episode.outcome
    return {
        "episode": episode.id,
        "seed": str(episode.seed),
        "scenario": episode.scenario.name,
        "world": episode.scenario.world,
        "agents": list(episode.scenario.roles),
        "seats": [episode.seats.get(a) for a in episode.scenario.roles],
        "ended": str(episode.ended),
        "completed": outcome.completed,
        "utilities": [outcome.utilities.get(a) for a in episode.scenario.roles],
        "results": json.dumps(outcome.results or {}),
        "turns": messages,
        **{name: _ratio(found.get(name)) for name in METRICS},
        "record": episode.line(),
    }


def _ratio(part: tuple[float, float] | None) -> float | None:
    return None if part is None or not part[1] else part[0] / part[1]


def _arrow(part: str = "") -> Any:
    """pyarrow, which is slow to load and has no types."""
    return import_module(f"pyarrow.{part}" if part else "pyarrow")


def _schema() -> Any:
    pa = _arrow()
    text, number = pa.string(), pa.float64()
    turn: Any = pa.struct(
        {
            "turn": pa.int32(), "agent": text, "to": pa.list_(text), "act": text, "content": text,
            "text": text, "error": text, "tokens": pa.int64(), "legal_mass": number,
        }
    )  # fmt: skip
    return pa.schema(
        {
            "episode": pa.int64(), "seed": text, "scenario": text, "world": text,
            "agents": pa.list_(text), "seats": pa.list_(text), "ended": text,
            "completed": pa.bool_(), "utilities": pa.list_(number), "results": text,
            "turns": pa.list_(turn), **dict.fromkeys(METRICS, number), "record": text,
        }
    )  # fmt: skip


def _batches(played: Played, schema: Any) -> Iterator[Any]:
    pa = _arrow()
    if isinstance(played, Run):
        played = played.episodes()
    elif isinstance(played, str | Path):
        played = episodes_of(played)
    episodes = iter(played)
    while rows := [row(e) for e in islice(episodes, BATCH)]:
        yield pa.RecordBatch.from_pylist(rows, schema=schema)
