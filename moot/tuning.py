"""What `moot finetune` is told: who the clients are, what they learn from, how rounds go, what to compare.

A `Tuning` is one YAML file. Each client has one source of private examples: games that its teachers play
(`scenario`), recorded dialogues, or chat messages; `partition` cuts one file into many clients instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .environments.load import read_yaml
from .environments.load import shipped as shipped_scenarios
from .environments.mistakes import checked
from .finetune.aggregation import RULES
from .finetune.methods.bottleneck import Bottleneck
from .finetune.methods.ia3 import IA3
from .finetune.methods.lora import LoRA
from .finetune.methods.lora_xs import LoRAXS
from .finetune.methods.prefix import Prefix, Prompt
from .finetune.rounds import Federation
from .protocols import MootError, did_you_mean

STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
METHODS: dict[str, type[BaseModel]] = {
    "lora": LoRA, "lora_xs": LoRAXS, "bottleneck": Bottleneck, "prefix": Prefix, "prompt": Prompt, "ia3": IA3,
}  # fmt: skip
VARIANTS = ("base", "local", "federated", "centralised")
"""What is set side by side, in the order of the table."""

Adapter = Annotated[
    LoRA | LoRAXS | Bottleneck | Prefix | Prompt | IA3, Field(discriminator="method")
]
Count = Annotated[int, Field(ge=1)]


class Client(BaseModel):
    """One client: where its private examples come from, and the game that it is judged by."""

    model_config = STRICT

    scenario: str | dict[str, Any] | None = None
    """A shipped name, a YAML file, or a scenario written here. Played for demonstrations, unless another
    source is given, and again at the end, with other seeds."""
    game: str | dict[str, Any] | None = None
    """The scenario to play at the end, where that is another one."""
    seat: str | None = None
    """The seat or role that the client learns, and takes when it plays. None: every seat, for dialogues."""
    agents: dict[str, str] = {}
    """Seat or `*` -> who sits there, in demonstrations and at the end: the other seats."""
    teacher: str | None = None
    """Who sits in `seat` in demonstrations, such as `scripted:boulware`."""
    episodes: Count = 20
    """Demonstrations; a share of them is held out."""
    dialogues: str | None = None
    """A run, an `episodes.jsonl` or a data file of dialogues, instead of demonstrations."""
    messages: str | None = None
    """A JSONL file whose rows have `messages`, instead of demonstrations."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [k for k in ("dialogues", "messages") if getattr(self, k) is not None]
        if len(given) > 1:
            raise ValueError("give dialogues or messages, not both")
        if not given and self.scenario is None:
            raise ValueError(
                "nothing to learn from; give scenario and teacher, dialogues or messages"
            )
        if not given and self.teacher is None:
            raise ValueError("teacher: missing; who shows how to play, such as scripted:boulware?")
        if given and self.teacher is not None:
            raise ValueError(
                f"teacher: {given[0]} are there to learn from; leave one of the two out"
            )
        if self.judged_by is not None and self.seat is None:
            raise ValueError("seat: missing; which seat of the scenario does the client take?")
        return self

    @property
    def judged_by(self) -> str | dict[str, Any] | None:
        """The scenario of the games at the end; None: it plays none."""
        return self.game if self.game is not None else self.scenario


class Partition(BaseModel):
    """One file, cut into clients."""

    model_config = STRICT

    dialogues: str | None = None
    """A run or a data file of dialogues; every seat of a dialogue is somebody's example."""
    messages: str | None = None
    """A JSONL file whose rows have `messages`."""
    clients: Count | None = None
    """How many; with `by: natural`, the largest so many. None: natural ones, all of them."""
    by: Literal["even", "natural", "dirichlet"] = "even"
    """Each alike; one client for each label; or each with shares of the labels drawn from a Dirichlet
    distribution (Hsu et al. 2019, arXiv 1909.06335)."""
    label: str | None = None
    """For messages, the field that labels a row. Dialogues: `seat` (whose words), or None, which is the
    item that the speaker values most, else its role."""
    alpha: Annotated[float, Field(gt=0)] = 0.5
    """Concentration of the Dirichlet distribution: small is unlike."""
    most: Count | None = None
    """Use only so many dialogues or rows, drawn by the seed."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dialogues is None) == (self.messages is None):
            raise ValueError("give dialogues or messages, one of them")
        if self.by != "natural" and self.clients is None:
            raise ValueError(f"clients: missing; into how many does {self.by} cut?")
        if self.messages is not None and self.by != "even" and self.label is None:
            raise ValueError("label: missing; which field of a row is its label?")
        return self


class Play(BaseModel):
    """The games at the end: clients that have a scenario play it, with each of the variants."""

    model_config = STRICT

    episodes: Count = 50
    """Per client and variant, on scenarios that nobody learned from."""
    temperature: Annotated[float, Field(ge=0)] = 0.3
    """Of the model's replies; 0 takes the most probable."""
    mask: bool = True
    """Decode under the grammar of the legal moves. Without it, games tell who learned to speak legally."""


class Tuning(BaseModel):
    """Everything about one fine-tuning."""

    model_config = STRICT

    name: str = "tuning"
    """Of the run's folder."""
    base: str = "nano"
    """The shipped model, a model folder or a hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Of the base's weights; None: float32 on a CPU, else bfloat16."""
    load_in_4bit: bool = False
    """Load the base in 4 bits, where bitsandbytes is installed."""
    device: str | None = None
    """Such as cuda:0; None: a GPU if there is one."""
    adapter: Adapter = LoRA()
    """`method` (lora, lora_xs, bottleneck, prefix, prompt, ia3) and its options."""
    clients: dict[str, Client] = {}
    """Name -> client."""
    partition: Partition | None = None
    """Instead of clients."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of each client's examples to measure the loss on."""
    words: Annotated[float, Field(ge=0, le=1)] = 1.0
    """What a token of free text counts in the loss, beside 1 for acts and their content."""
    federation: Federation = Federation()
    """Rule, rounds, selection and local training."""
    baselines: tuple[Literal["base", "local", "centralised"], ...] = (
        "base",
        "local",
        "centralised",
    )
    """What to compare with: no adapter, each client alone, one adapter on everybody's data."""
    play: Play | None = Play()
    """Games at the end; null: none."""
    checkpointing: bool = False
    """Recompute activations in the backward: slower, less memory."""
    seed: int = 0
    """Of everything: adapters, order of examples, selection, demonstrations, games."""
    trackers: tuple[str, ...] = ("tensorboard",)
    """Where curves go, by the names that accelerate knows. TensorBoard is left out where it is missing."""

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if bool(self.clients) == (self.partition is not None):
            raise ValueError("give clients or partition, one of them")
        return self

    @property
    def variants(self) -> list[str]:
        """Those that are asked for, in the table's order."""
        return [v for v in VARIANTS if v == "federated" or v in self.baselines]


def load_tuning(source: str | Path | Mapping[str, Any]) -> Tuning:
    """The tuning that a YAML file or a mapping describes. Raises `MootError` with the place and the cause.

    Paths in a file are taken from where the command runs, then from the file's own folder.
    """
    if isinstance(source, Mapping):
        return _parsed(dict(source), str(source.get("name", "tuning")), Path())
    path = Path(source)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        beside = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = f"; {did_you_mean(path.name, beside)}" if beside else ""
        raise MootError(f"{path}: {what}{hint}")
    data = read_yaml(path, "name, base, adapter, clients")
    return _parsed(data, str(path), path.parent)


def _parsed(data: dict[str, Any], where: str, folder: Path) -> Tuning:
    adapter = data.get("adapter")
    if isinstance(adapter, str):
        data["adapter"] = adapter = {"method": adapter}
    if isinstance(adapter, dict):
        _check_method(cast(dict[str, Any], adapter), where)
    tuning = checked(Tuning, data, where)
    if tuning.federation.rule not in (*RULES, "fedsb"):  # fedsb has words of its own
        hint = did_you_mean(tuning.federation.rule, RULES)
        raise MootError(f"{where}: federation.rule: no {tuning.federation.rule!r}; {hint}")
    for name, client in tuning.clients.items():
        if not name or name.startswith(".") or "/" in name or name == "all":
            raise MootError(
                f"{where}: clients.{name}: want a name that can be a folder, and not 'all'"
            )
        for field in ("dialogues", "messages"):
            _check_file(getattr(client, field), f"{where}: clients.{name}.{field}", folder)
    for field in ("dialogues", "messages"):
        if tuning.partition is not None:
            _check_file(getattr(tuning.partition, field), f"{where}: partition.{field}", folder)
    return _placed(tuning, folder)


def _check_method(adapter: dict[str, Any], where: str) -> None:
    """pydantic's words for a union are no help: say it ourselves."""
    method = adapter.setdefault("method", "lora")
    if method not in METHODS:
        raise MootError(
            f"{where}: adapter.method: got {method!r}; {did_you_mean(str(method), METHODS)}"
        )
    try:
        checked(METHODS[method], adapter, "adapter")
    except MootError as e:
        raise MootError(f"{where}: {e}") from None


def _check_file(name: str | None, where: str, folder: Path) -> None:
    if name is not None and Path(name).suffix in (".yaml", ".yml"):
        want = (
            "a .jsonl file"
            if where.endswith("messages")
            else "a run, or a .jsonl file of dialogues"
        )
        raise MootError(
            f"{where}: {name} is a YAML file; want {want} (scenario: plays a YAML file)"
        )
    if name is not None and not Path(name).exists() and not (folder / name).exists():
        raise MootError(f"{where}: no such file or run: {name}")


def _placed(tuning: Tuning, folder: Path) -> Tuning:
    """The same with every path that is relative to the file's folder written out."""

    def place(name: Any) -> Any:
        if not isinstance(name, str) or name == "nano" or name in shipped_scenarios():
            return name
        if Path(name).exists():
            return name
        return str(folder / name) if (folder / name).exists() else name

    def moved(model: Any, fields: tuple[str, ...]) -> Any:
        return model.model_copy(update={f: place(getattr(model, f)) for f in fields})

    update: dict[str, Any] = {"base": place(tuning.base)}
    update["clients"] = {
        name: moved(client, ("scenario", "game", "dialogues", "messages"))
        for name, client in tuning.clients.items()
    }
    if tuning.partition is not None:
        update["partition"] = moved(tuning.partition, ("dialogues", "messages"))
    return tuning.model_copy(update=update)
