"""Curves of federated rounds, through accelerate's trackers: TensorBoard files, or others by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .finetune.rounds import Round
from .protocols import MootError, did_you_mean


class Trackers:
    """Where curves go. TensorBoard is left out where it is not installed.

    Raises `MootError` for a name that accelerate does not know, or one that does not start.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._accelerator: Any = None
        tracking: Any = import_module("accelerate.tracking")
        known = [str(getattr(k, "value", k)) for k in tracking.LOGGER_TYPE_TO_CLASS]
        for name in names:
            if name not in known:
                raise MootError(f"trackers: no {name!r}; {did_you_mean(name, known)}")
        wanted = [n for n in names if n != "tensorboard" or tracking.is_tensorboard_available()]
        if not wanted:
            return
        accelerator: Any = import_module("accelerate").Accelerator
        try:
            self._accelerator = accelerator(cpu=True, log_with=wanted, project_dir=str(folder))
            self._accelerator.init_trackers("curves")
        except (ImportError, ValueError) as e:
            raise MootError(f"trackers: {', '.join(wanted)}: {e}") from None

    def log(self, variant: str, round: Round) -> None:
        """One round."""
        if self._accelerator is None:
            return
        values: dict[str, float] = {f"{variant}/loss/{name}": x for name, x in round.after.items()}
        for what in ("loss", "error", "rank", "bytes_up", "bytes_down"):
            value = getattr(round, what)
            if value is not None:
                values[f"{variant}/{what}"] = value
        self._accelerator.log(values, step=round.number)

    def close(self) -> None:
        """Write what is left."""
        if self._accelerator is not None:
            self._accelerator.end_training()
