"""Whose adapter speaks: what a pool of language models asks of a bank, and who owns which reply.

The bank itself lives where adapters are trained; here is only what decoding needs of it. A reply is
its owner's, the name of an agent in the bank, or None for the base model. Keys and values turn on the
adapter, so whatever is kept from one turn to the next is kept per owner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ..protocols import MootError, Observation, did_you_mean
from .source import PICKLES

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of an adapter's folder."""

Owners = Mapping[str, str | None] | Callable[[Observation], str | None]
"""Seat name, else role, else `*` -> owner; or a function of what is asked."""


class Bank(Protocol):
    """Adapters of several agents on one model; `AdapterBank` is one."""

    @property
    def model(self) -> Any: ...

    @property
    def agents(self) -> Sequence[str]:
        """Who can own a row."""
        ...

    @property
    def virtual(self) -> int:
        """Places that an adapter takes before the prompt; the decoder's cache never holds them."""
        ...

    @property
    def version(self) -> int:
        """Another number after every change of the adapters."""
        ...

    def decoding(self, owners: Sequence[str | None]) -> AbstractContextManager[object]:
        """While open, row b of every batch goes through the adapter of `owners[b]`, into a cache."""
        ...

    def close(self) -> None:
        """Give the model back without a trace."""
        ...


Opener = Callable[[Any, Mapping[str, Path]], Sequence[Bank]]
"""Model, name -> adapter's folder -> banks that hold each name once; several where kinds do not mix."""


def owner_by(owners: Owners, agents: Sequence[str]) -> Callable[[Observation], str | None]:
    """The owner of the reply to an observation.

    Raises `MootError`, here or when asked, for an owner that is none of `agents` and for a seat that
    nobody was named for: a base model that speaks by mistake would look like a poor adapter.
    """

    def known(owner: str | None) -> str | None:
        if owner is not None and owner not in agents:
            raise MootError(f"no agent {owner!r} in the bank; {did_you_mean(owner, agents)}")
        return owner

    if callable(owners):
        return lambda observation: known(owners(observation))
    for owner in owners.values():
        known(owner)

    def by_seat(observation: Observation) -> str | None:
        for name in (observation.agent, observation.role, "*"):
            if name in owners:
                return owners[name]
        raise MootError(
            f"nobody owns seat {observation.agent!r}; name an agent of the bank for it in owners, or "
            "None for the base model"
        )

    return by_seat


def adapter_folder(name: str | Path) -> Path:
    """The folder of an adapter. Raises `MootError` for what it lacks."""
    path = Path(name).expanduser()
    if path.is_file():
        raise MootError(f"{name} is a file; give the folder that holds {CONFIG}")
    if not path.is_dir():
        beside = (
            [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        )
        raise MootError(f"no adapter folder {name}; {did_you_mean(path.name, beside)}")
    if not (path / CONFIG).is_file():
        what = "is a model" if (path / "config.json").is_file() else f"has no {CONFIG}"
        raise MootError(
            f"{name} {what}, not an adapter; give a folder written by bank.export or save_pretrained of "
            "a PeftModel"
        )
    if not (path / WEIGHTS).is_file():
        pickled = any(p for pattern in PICKLES for p in path.glob(pattern))
        why = "only pickled weights, which are never opened" if pickled else f"no {WEIGHTS}"
        raise MootError(f"{name} has {why}; save the adapter again as safetensors")
    return path.resolve()
