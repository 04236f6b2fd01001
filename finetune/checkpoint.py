"""Checkpoints of a federated run: a folder a round, there whole or not at all.

    FOLDER/round-0007/{adapters,personal,base,server,memory}.safetensors    tensors by group, if any
    FOLDER/round-0007/rounds.json                                           all rounds so far

A new one is written beside under another name, synced and renamed; then the oldest goes. Two are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from safetensors import SafetensorError
from safetensors import torch as safe
from torch import Tensor

from ..environments.journal import failed, sync
from ..protocols import MootError

RECORD = "rounds.json"
KEPT = 2


class Found(NamedTuple):
    """What a checkpoint holds."""

    tensors: dict[str, dict[str, Tensor]]
    """Group -> name -> tensor; groups that were empty are empty."""
    rounds: list[dict[str, Any]]
    fingerprint: str
    """Of the settings."""


class Checkpoints:
    """The checkpoints in one folder, of one set of settings (`fingerprint`)."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def begin(self) -> None:
        """Make the folder. Raises `MootError` when it holds checkpoints already."""
        if self._all():
            raise MootError(
                f"{self.folder} holds rounds already; add resume=True (--resume), or choose another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise failed(e, f"cannot make {self.folder}") from None

    def latest(self) -> Found | None:
        """The last whole checkpoint; None when there is none. Raises `MootError` for other settings."""
        found = self.last()
        if found is not None and found.fingerprint != self.fingerprint:
            raise MootError(
                f"{self.folder} was begun with other settings or data; repeat the very command, or "
                "choose another folder (only rounds, target and patience may change)"
            )
        return found

    def last(self) -> Found | None:
        """The same whatever its settings, to read from. Raises `MootError` for a damaged one."""
        places = self._all()
        if not places:
            return None
        place = places[-1]
        record = self._record(place)
        try:
            tensors = {g: _load(place / f"{g}.safetensors") for g in record["groups"]}
            return Found(tensors, record["rounds"], record["fingerprint"])
        except (OSError, ValueError, KeyError, SafetensorError) as e:
            raise _damaged(place, e) from None

    def rounds(self) -> list[dict[str, Any]]:
        """All rounds so far, without the tensors. Raises `MootError` for a damaged record."""
        places = self._all()
        return self._record(places[-1])["rounds"] if places else []

    def _record(self, place: Path) -> dict[str, Any]:
        try:
            return json.loads((place / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise _damaged(place, e) from None

    def save(self, tensors: Mapping[str, Mapping[str, Tensor]], rounds: Sequence[Any]) -> Path:
        """Write the checkpoint after the last of `rounds`. Raises `MootError`; the earlier ones stay."""
        place = self.folder / f"round-{len(rounds):04d}"
        new = self.folder / f"new-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for torn in self.folder.glob("new-*"):
                shutil.rmtree(torn, ignore_errors=True)
            new.mkdir()
            for group, found in tensors.items():
                if found:
                    whole = {n: x.detach().cpu().contiguous().clone() for n, x in found.items()}
                    cast(Any, safe).save_file(whole, new / f"{group}.safetensors")
            record = {
                "fingerprint": self.fingerprint,
                "groups": list(tensors),
                "rounds": list(rounds),
            }
            (new / RECORD).write_text(json.dumps(record), encoding="utf-8")
            for file in new.iterdir():
                sync(file)
            sync(new)
            os.replace(new, place)
            sync(self.folder)
            for old in self._all()[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        except SafetensorError as e:
            raise MootError(f"cannot write {place}: {e}", usage=False) from None
        except OSError as e:
            raise failed(e, f"cannot write {place}") from None
        return place

    def _all(self) -> list[Path]:
        found = [p for p in self.folder.glob("round-*") if re.fullmatch(r"round-\d{4,}", p.name)]
        return sorted(found, key=lambda p: int(p.name.removeprefix("round-")))


def _damaged(place: Path, e: Exception) -> MootError:
    return MootError(
        f"{place} is damaged ({e}); delete it to go on from the round before", usage=False
    )


def _load(path: Path) -> dict[str, Tensor]:
    return cast(Any, safe).load_file(path) if path.exists() else {}
