"""The command that makes scenarios: `generate`, from words by an author, or from a world's own generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.text import Text

from .protocols import MootError
from .terminal import app, err, out


@app.command()
def generate(
    words: Annotated[
        str | None, typer.Argument(help="What it is about. Without words the generator draws one.")
    ] = None,
    world: Annotated[str, typer.Option(help="One of `moot list environments`.")] = "item_division",
    author: Annotated[
        str | None, typer.Option(help="Who writes it: any agent spec, such as hf:MODEL.")
    ] = None,
    tries: Annotated[int, typer.Option(help="Most drafts.")] = 5,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the world's generator."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Keys all randomness.")] = 0,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: NAME.yaml, here.")
    ] = None,
) -> None:
    """Make a scenario file: checked, ready to be edited and played."""
    from .drafting import drawn, generate

    given = _parameters(parameters or [])
    if words is None:
        draft, told, by = drawn(world, given, seed), f"{world}, drawn with seed {seed}", "generator"
    elif given:
        raise MootError("--set belongs to the generator: leave out the words, or --set")
    elif author is None:
        raise MootError(
            "who shall write it? --author hf:MODEL or --author openai:MODEL@URL (the shipped model is too "
            "small for that); without words the world's generator draws a scenario"
        )
    else:
        draft, told, by = generate(words, world, author, tries=tries, seed=seed), words, author
    for reason in draft.refused:
        err.print(Text(f"refused: {reason}", style="dim"))
    path = file or Path(f"{draft.scenario.name}.yaml")
    text = draft.yaml(told, by)
    try:
        with path.open("x", encoding="utf-8") as f:
            f.write(text)
    except FileExistsError:
        raise MootError(f"{path} is there already; give another name with --out") from None
    out.print(Text(text), end="")
    out.print(f"\nWritten to [bold]{path}[/bold]. Next:\n  moot simulate {path}", soft_wrap=True)


def _parameters(pairs: list[str]) -> dict[str, Any]:
    """Values as YAML reads them: numbers, words, lists in brackets."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise MootError(f"--set {pair!r}: write KEY=VALUE, such as deadline=8")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise MootError(f"--set {pair!r}: {value!r} is no value that YAML reads") from None
    return found
