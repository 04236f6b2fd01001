"""Commands that measure: `compare`, and what plays many runs to compare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from .terminal import Json, app, out

Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Only these; repeat it. Default: all."),
]


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="A run, or a file of dialogues.")],
    run_b: Annotated[Path, typer.Argument(help="Another.")],
    metrics: Metrics = None,
    as_json: Json = False,
) -> None:
    """Say how two runs differ, how sure that is, and what cannot be told apart."""
    from .evaluation import METRICS, comparison_table, shortest
    from .evaluation import compare as compared

    one, two = shortest([run_a, run_b])
    found = compared(run_a, run_b, names=(one, two), metrics=metrics or METRICS)
    if as_json:
        print(json.dumps(found.data(), ensure_ascii=False))
        return
    out.print(comparison_table(found))
    for line in found.words():
        out.print(Text(line), soft_wrap=True)
