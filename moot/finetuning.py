"""One fine-tuning as a folder: the clients' data, rounds for each variant, adapters, games, and one table.

    FOLDER/tuning.json                 what was asked for, versions, command
    FOLDER/clients.json                client -> how many examples it has
    FOLDER/data/CLIENT/                its demonstrations, a run as any other
    FOLDER/VARIANT/round-0008/         checkpoints of local, federated, centralised
    FOLDER/VARIANT/rounds.jsonl        the rounds, a line each
    FOLDER/adapters/CLIENT/            what federated learning ended in, for peft and `?adapter=`
    FOLDER/play/VARIANT/CLIENT/        the games at the end, runs as any other
    FOLDER/result.json                 the table

Every step looks first at what is there, so an interrupted fine-tuning goes on where it was.
Local learning is the same rounds with the rule that averages nobody. Centralised learning is one client
with everybody's data, in batches as large as those of all clients together. So all variants read the same
examples equally often, and take as many steps.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from .agents.language import LanguageOptions, language_pool
from .agents.load import Loaded, load
from .agents.seats import NANO
from .environments.journal import write_whole
from .environments.records import default_path, versions
from .evaluation.written import written
from .finetune.aggregation import moves_base
from .finetune.bank import AdapterBank
from .finetune.checkpoint import Checkpoints
from .finetune.clients import LocalClients, Watch, load_base
from .finetune.examples import Writer
from .finetune.federated import check, federate
from .finetune.rounds import Round
from .finetune.train import evaluate
from .lessons import Lessons, lessons
from .protocols import MootError, did_you_mean
from .simulation import Simulation
from .trackers import Trackers
from .tuning import VARIANTS, Tuning, load_tuning

HEADER, CLIENTS, RESULT = "tuning.json", "clients.json", "result.json"


class Watching(NamedTuple):
    """Whoever wants to hear how it goes; every field may be left as it is."""

    says: Callable[[str], None] = lambda _: None
    """A new thing begins, in words."""
    step: Watch | None = None
    """One local update is done."""
    round: Callable[[str, Round], None] = lambda _, __: None
    """A variant has ended a round."""
    game: Callable[[str, int], None] = lambda _, __: None
    """A variant has ended so many games."""


class Variant(NamedTuple):
    """How one way of learning came out."""

    losses: dict[str, float]
    """Client -> loss on its held-out examples, nats per token."""
    runs: dict[str, Path]
    """Client -> its games at the end."""


class Finetuning:
    """A fine-tuning and its folder. Raises `MootError` before any model loads where `out` is taken."""

    def __init__(
        self, tuning: Tuning, folder: str | Path | None = None, *, resume: bool = False, command: str = ""
    ) -> None:  # fmt: skip
        plain = tuning.model_dump(mode="json")
        path = Path(folder) if folder else default_path(tuning.name, plain, {}, tuning.seed, 0)
        if resume and folder is None:
            path = _latest(path, plain) or path
        self.tuning, self.folder = tuning, path
        self._new = not path.exists()
        if (path / HEADER).exists():
            if not resume:
                raise MootError(
                    f"{path} holds a fine-tuning already; add resume=True (--resume), or choose another "
                    "folder (--out)"
                )
            _same(path, plain)
            return
        if path.exists() and any(path.iterdir()):
            raise MootError(f"{path} is not empty; choose another folder (--out)")
        header = {
            "tuning": plain, "versions": versions(), "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise MootError(f"{path} is a file; choose another folder (--out)") from None
        write_whole(path / HEADER, json.dumps(header, indent=2) + "\n")

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """One that is there, to read or to export from."""
        found = cls.__new__(cls)
        found.folder, found._new = Path(folder), False
        found.tuning = load_tuning(_header(found.folder)["tuning"])
        return found

    def run(self, watching: Watching | None = None) -> dict[str, Variant]:
        """Everything that is missing; variant -> how it came out, in the table's order."""
        watching = watching or Watching()
        tuning = self.tuning
        try:
            loaded = self.load()
            self._check(loaded)
            trackers = Trackers(tuning.trackers, self.folder)
            writer = Writer.of(loaded, words=tuning.words)
            given = lessons(tuning, writer, self.folder / "data", watching.says)
        except MootError as e:
            if e.usage and self._new:  # a mistake to correct, and to try again in the same place
                shutil.rmtree(self.folder, ignore_errors=True)
            raise
        counts = {
            n: {"train": len(given.train[n]), "held_out": len(given.held_out[n])}
            for n in given.train
        }
        write_whole(self.folder / CLIENTS, json.dumps(counts, indent=2) + "\n")
        found: dict[str, Variant] = {}
        try:
            for variant in tuning.variants:
                watching.says(variant)
                bank, clients = self._learned(variant, loaded, given, watching, trackers)
                losses = clients.evaluate() if variant != "base" else _bare(bank, given)
                runs = self._played(variant, loaded, bank, watching)
                if variant == "federated":
                    self._exported(bank, given)
                found[variant] = Variant(losses, runs)
                clients.restore()
                bank.close()
        finally:
            trackers.close()
        return found

    @property
    def base(self) -> str:
        """Folder or hub id of the base model."""
        return str(NANO) if self.tuning.base == "nano" else self.tuning.base

    @property
    def moves_base(self) -> bool:
        """Whether federated learning changes the base too, so that `export` has to merge."""
        return moves_base(self.tuning.federation.rule, self.tuning.federation.settings)

    def spec(self, adapter: str | Path) -> str:
        """The agent spec of the base with an adapter's folder."""
        base = "nano" if self.tuning.base == "nano" else f"hf:{self.tuning.base}"
        return f"{base}?adapter={adapter}"

    def load(self) -> Loaded:
        """The base model."""
        tuning = self.tuning
        return load(
            self.base, dtype=tuning.dtype, device=tuning.device, load_in_4bit=tuning.load_in_4bit
        )

    def bank(self, loaded: Loaded, names: list[str]) -> AdapterBank:
        """A fresh bank of the tuning's adapters."""
        bank = AdapterBank(loaded.model, self.tuning.adapter, names, seed=self.tuning.seed)
        if self.tuning.checkpointing:
            bank.checkpointing()
        return bank

    def _check(self, loaded: Loaded) -> None:
        """Settings against adapters and clients, before anything is played or learned."""
        names = list(self.tuning.clients) or ["client00", "client01"]
        bank = self.bank(loaded, names)
        try:
            check(bank, names, self.tuning.federation)
        finally:
            bank.close()

    def _learned(
        self, variant: str, loaded: Loaded, given: Lessons, watching: Watching, trackers: Trackers
    ) -> tuple[AdapterBank, LocalClients]:
        """The bank with what each client ends in, after the rounds that were missing."""
        tuning, names = self.tuning, list(given.train)
        federation = tuning.federation.model_copy(update={"seed": tuning.seed})
        plan = federation.plan.model_copy(update={"seed": tuning.seed})
        federation = federation.model_copy(update={"plan": plan})
        bank = self.bank(loaded, ["all"] if variant == "centralised" else names)
        train, held_out = given
        if variant == "centralised":
            plan = plan.model_copy(update={"batch": plan.batch * len(names)})
            federation = federation.model_copy(update={"plan": plan})
            train = {"all": [e for name in names for e in given.train[name]]}
            held_out = {"all": [e for name in names for e in given.held_out[name]]}
        clients = LocalClients(bank, train, held_out)
        if variant == "base":
            return bank, clients
        if variant != "federated":  # the same rounds and data, nobody averaged, everybody there
            federation = federation.model_copy(
                update={
                    "rule": "local", "settings": {}, "select": "all", "dropout": 0.0, "local": (),
                    "cohorts": {}, "prox": 0.0, "ditto": 0.0, "target": None, "patience": None,
                }
            )  # fmt: skip
        folder = self.folder / variant
        rounds = federate(
            bank, clients, federation, folder=folder, resume=True, watch=watching.step
        )
        for round in rounds:
            watching.round(variant, round)
            trackers.log(variant, round)
            _record(folder)
        if variant != "centralised":
            return bank, clients
        common = bank.slice("all")
        bank.close()
        bank = self.bank(loaded, names)
        for name in names:
            bank.set_slice(name, common)
        return bank, LocalClients(bank, *given)

    def _played(
        self, variant: str, loaded: Loaded, bank: AdapterBank, watching: Watching
    ) -> dict[str, Path]:
        """Each client's games with this variant: the same scenarios and random numbers for all variants."""
        tuning = self.tuning
        if tuning.play is None:
            return {}
        runs: dict[str, Path] = {}
        options = LanguageOptions(temperature=tuning.play.temperature, mask=tuning.play.mask)
        done = 0
        for name, client in tuning.clients.items():
            if client.judged_by is None or client.seat is None:
                continue
            out = self.folder / "play" / variant / name
            owner = None if variant == "base" else name
            pool = language_pool(loaded, options, bank=bank, owners={"*": owner})
            simulation = Simulation(
                cast(Any, client.judged_by),
                agents={**client.agents, client.seat: cast(Any, pool)},
                episodes=tuning.play.episodes,
                seed=0x1000000 + tuning.seed,  # beyond all seeds of demonstrations
                out=out,
                resume=out.exists(),
            )
            done += tuning.play.episodes - len(simulation.missing)
            for _ in simulation:
                done += 1
                watching.game(variant, done)
            runs[name] = out
        return runs

    def _exported(self, bank: AdapterBank, given: Lessons) -> None:
        if self.moves_base:
            return  # an adapter alone would not be the model; `moot export` writes the merged one
        for name in given.train:
            bank.export(name, self.folder / "adapters" / name, base=self.base)

    def finish(self, document: Mapping[str, Any]) -> None:
        """Write `result.json`."""
        write_whole(self.folder / RESULT, written(document, indent=2) + "\n")

    def export(
        self, client: str, folder: str | Path, *, variant: str = "federated", merge: bool = False
    ) -> Path:
        """Write what a client ended in: an adapter for peft, or with `merge` a whole model.

        Raises `MootError` for a client or variant that is not there, and for a run that is not done.
        """
        learned = [v for v in VARIANTS if v != "base"]
        if variant not in learned:
            raise MootError(f"variant {variant!r}; {did_you_mean(variant, learned)}")
        found = Checkpoints(self.folder / variant, "").last()
        if found is None:
            raise MootError(
                f"{self.folder} has no rounds of {variant}; finish it first: moot finetune --resume"
            )
        names = ["all"] if variant == "centralised" else self.names()
        if variant == "centralised" and client in self.names():
            client = "all"
        if client not in names:
            raise MootError(f"no client {client!r} in {self.folder}; {did_you_mean(client, names)}")
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise MootError(f"{folder} is not empty; choose another folder")
        moved = found.tensors["base"]
        if moved and not merge:
            raise MootError(
                f"rule {self.tuning.federation.rule} moved the base model, so the adapter alone is not "
                "what was learned; add merge=True (--merge) to write the whole model"
            )
        loaded = self.load()
        bank = self.bank(loaded, names)
        bank.load_state(found.tensors["personal"] or found.tensors["adapters"])
        if not merge:
            return bank.export(client, folder, base=self.base)
        weights = dict(loaded.model.named_parameters())
        before = {n: weights[n].detach().clone() for n in moved}
        load_base(loaded.model, moved)
        try:
            return bank.merge(client, folder, loaded.form.tokenizer)
        finally:
            load_base(loaded.model, before)
            bank.close()

    def names(self) -> list[str]:
        """The clients; those of a partition once its data was read."""
        if self.tuning.clients:
            return list(self.tuning.clients)
        path = self.folder / CLIENTS
        if not path.is_file():
            raise MootError(
                f"{self.folder} has no clients yet; finish it first: moot finetune --resume"
            )
        return list(json.loads(path.read_text(encoding="utf-8")))


def _bare(bank: AdapterBank, given: Lessons) -> dict[str, float]:
    return evaluate(bank, given.held_out, base=True)


def _record(folder: Path) -> None:
    """`rounds.jsonl` beside the checkpoints, from the last of them."""
    rounds = Checkpoints(folder, "").rounds()
    write_whole(folder / "rounds.jsonl", "".join(json.dumps(r) + "\n" for r in rounds))


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    if not path.is_file():
        what = "is a run of episodes" if (folder / "run.json").exists() else f"has no {HEADER}"
        raise MootError(
            f"{folder} {what}, not a fine-tuning; give the folder that moot finetune wrote"
        )
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as e:
        raise MootError(f"{path} is damaged: {e}", usage=False) from None


def _same(folder: Path, plain: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings; rounds, target and patience may change."""
    before = _header(folder)["tuning"]

    def fixed(tuning: Mapping[str, Any]) -> dict[str, Any]:
        federation = {
            k: v
            for k, v in tuning["federation"].items()
            if k not in ("rounds", "target", "patience")
        }
        return {**tuning, "federation": federation}

    old, new = fixed(before), fixed(plain)
    for key in new:
        if old.get(key) != new[key]:
            raise MootError(
                f"{folder} was begun with another {key}; resume=True (--resume) wants the same settings "
                "(only rounds, target and patience may change)"
            )


def _latest(free: Path, plain: Mapping[str, Any]) -> Path | None:
    """The newest default folder of exactly this tuning, for `--resume` without `--out`."""
    stem = free.name
    if stem.rpartition("-")[2].isdigit() and len(stem.rpartition("-")[2]) < 4:
        stem = stem.rpartition("-")[0]
    found = sorted(free.parent.glob(f"{stem}*/{HEADER}"), key=lambda p: p.stat().st_mtime)
    for header in reversed(found):
        try:
            _same(header.parent, plain)
        except MootError:
            continue
        return header.parent
    return None
