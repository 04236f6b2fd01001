"""Commands that learn: `pretrain`, `finetune`, `export`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from .protocols import MootError
from .protocols.counted import counted
from .protocols.interrupt import heed
from .terminal import COLUMNS, Json, app, err, out, stoppable, tell


@app.command()
def finetune(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="What to learn: docs/finetuning.md.")
    ],
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/NAME-XXXX.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Goes before the file's own.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an interrupted one.")] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune agents federatedly, compare with the baselines, and play again."""
    from .finetuning import Finetuning
    from .outcome import comparisons, data, read, table
    from .tuning import load_tuning

    tuning = load_tuning(config)
    if seed is not None:
        tuning = tuning.model_copy(update={"seed": seed})
    job = Finetuning(tuning, out_dir, resume=resume, command=shlex.join(["moot", *sys.argv[1:]]))
    federation = tuning.federation
    err.print(
        Text(
            f"{tuning.name}: {tuning.adapter.method} on {tuning.base}, rule {federation.rule}, "
            f"{counted(federation.rounds, 'round')}, seed {tuning.seed}; "
            f"into {job.folder}"
        ),
        soft_wrap=True,
    )
    kept = (
        f"everything up to the last round is kept in {job.folder}: repeat the command with "
        f"--out {job.folder} --resume"
    )
    with stoppable(lambda: kept), _Bars(tuning) as bars:
        variants = job.run(bars.watching())
    seats = {name: client.seat or "" for name, client in tuning.clients.items()}
    results = {v: read(found.losses, found.runs, seats) for v, found in variants.items()}
    document = {"run": str(job.folder), **data(results)}
    job.finish(document)
    if as_json:
        tell(document)
        return
    out.print(table(results))
    for line in comparisons(results):
        out.print(Text(line), soft_wrap=True)
    _next(job, variants)


def _next(job: Any, variants: Any) -> None:
    path = shlex.quote(str(job.folder))
    out.print(f"\nEverything lies in [bold]{path}[/bold]. Next:", soft_wrap=True)
    runs = variants["federated"].runs
    name = next(iter(runs), None) or job.names()[0]
    if runs:
        out.print(f"  moot show {path}/play/federated/{name} --episode 0", soft_wrap=True)
    out.print(f"  moot report {path}", soft_wrap=True)
    client = job.tuning.clients.get(name)
    if (job.folder / "adapters" / name).is_dir() and client and isinstance(client.judged_by, str):
        spec = shlex.quote(f"{client.seat}={job.spec(job.folder / 'adapters' / name)}")
        out.print(f"  moot simulate {client.judged_by} --agents {spec}", soft_wrap=True)
    how = " --merge" if job.moves_base else ""
    out.print(f"  moot export {path} {name} my-adapter{how}", soft_wrap=True)
    if "tensorboard" in job.tuning.trackers and (job.folder / "curves").exists():
        out.print(f"  tensorboard --logdir {path}", soft_wrap=True)


class _Bars:
    """A progress bar for what goes on now, and a line for each round that is done."""

    def __init__(self, tuning: Any) -> None:
        self.tuning = tuning
        self.progress = Progress(*COLUMNS, console=err, transient=True)
        self.task = self.progress.add_task("data", total=None, note="")
        self.variant, self.tokens, self.seconds = "", 0, 0.0
        scenes = [c for c in tuning.clients.values() if c.judged_by is not None]
        self.games = len(scenes) * tuning.play.episodes if tuning.play else 0

    def __enter__(self) -> _Bars:
        self.progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.progress.__exit__(*error)

    def watching(self) -> Any:
        """The hooks of a fine-tuning."""
        from .finetuning import Watching

        return Watching(self._says, self._step, self._round, self._game)

    def _says(self, words: str) -> None:
        from .tuning import VARIANTS

        if words in VARIANTS:
            self.variant = words
            self.progress.reset(self.task, total=None, description=words, note="")
            err.print(Text(words, style="bold"))
        else:
            err.print(Text(f"  {words}"), soft_wrap=True)

    def _step(self, step: Any) -> None:
        self.tokens += step.tokens
        self.seconds += step.seconds
        mean = sum(step.loss.values()) / max(len(step.loss), 1)
        note = f"loss {mean:.3f}, {self.tokens / max(self.seconds, 1e-9):,.0f} tokens/s"
        self.progress.update(
            self.task,
            description=f"{self.variant}: learning",
            completed=step.step,
            total=step.steps,
            note=note,
        )

    def _round(self, variant: str, round: Any) -> None:
        err.print(Text(f"  {round}"), soft_wrap=True)

    def _game(self, variant: str, done: int) -> None:
        self.progress.update(
            self.task, description=f"{variant}: playing", completed=done, total=self.games, note=""
        )


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A fine-tuning's folder.")],
    agent: Annotated[str, typer.Argument(help="One of its clients.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes.")],
    variant: Annotated[str, typer.Option(help="federated, local or centralised.")] = "federated",
    merge: Annotated[
        bool, typer.Option("--merge", help="A whole model instead of an adapter (LoRA, IA3).")
    ] = False,
) -> None:
    """Write what a client learned as a peft adapter, or merged into a plain model."""
    from .finetuning import Finetuning

    job = Finetuning.open(run)
    place = job.export(agent, folder, variant=variant, merge=merge)
    what = "The model" if merge else "The adapter"
    out.print(f"{what} lies in [bold]{shlex.quote(str(place))}[/bold]. Next:", soft_wrap=True)
    spec = shlex.quote(f"*=hf:{place}?temperature=0.3" if merge else f"*={job.spec(place)}")
    client = job.tuning.clients.get(agent)
    scenario = (
        client.judged_by if client and isinstance(client.judged_by, str) else "deal_or_no_deal"
    )
    out.print(f"  moot simulate {scenario} --agents {spec}", soft_wrap=True)


@app.command()
def pretrain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the model goes.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates; default: the shipped recipe's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the shipped recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
) -> None:
    """Train the nano model from nothing, on games that scripted agents play."""
    import torch

    from .finetune.nano.pretrain import Recipe
    from .finetune.nano.pretrain import pretrain as train

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise MootError(f"--device {device}: want cpu, or cuda where there is a GPU")
    given: dict[str, Any] = {"steps": steps, "seed": seed}
    recipe = Recipe(**{k: v for k, v in given.items() if v is not None})
    kept = f"what was trained up to the last checkpoint is in {folder}: repeat the command with --resume"
    with stoppable(lambda: kept), Progress(*COLUMNS, console=err) as progress:
        task = progress.add_task("training", total=recipe.steps, note="playing the first games")
        for update in train(folder, recipe, device=device, resume=resume):
            note = f"loss {update.loss:.3f}, {update.tokens / 1e6:.1f} M tokens"
            progress.update(task, completed=update.step, note=note)
            heed()
    path = shlex.quote(str(folder))
    out.print(f"The model lies in [bold]{path}[/bold]. Next:", soft_wrap=True)
    out.print(
        f"  moot simulate deal_or_no_deal --agents '*=hf:{path}?temperature=0.3'", soft_wrap=True
    )
