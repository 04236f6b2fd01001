"""What a training run leaves on the disk: a model folder that opens anywhere, and where to go on.

Both are written so that a kill at any moment leaves a sound one behind: a checkpoint is a folder that
gets its name when it is complete, an exported file is replaced whole. Safetensors and JSON only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ...protocols import MootError


def export(model: Any, tokenizer: PreTrainedTokenizerFast, recipe: BaseModel, out: Path) -> None:
    """Write the folder that `from_pretrained` opens; each file is replaced whole or not at all."""
    new = out / "export.tmp"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    # Not `save_pretrained`, which draws a progress bar: one small file, the output layer tied.
    save_file(dict(model.named_parameters()), new / "model.safetensors", {"format": "pt"})
    model.config.architectures = [type(model).__name__]
    parts: list[Any] = [model.config, model.generation_config, tokenizer]
    for part in parts:
        part.save_pretrained(new)
    (new / "recipe.json").write_text(recipe.model_dump_json(indent=1) + "\n")
    for file in sorted(new.iterdir()):
        file.chmod(0o644)  # safetensors lets only the owner read
        os.replace(file, out / file.name)
    new.rmdir()


def save(
    out: Path,
    model: Any,
    optimizers: Sequence[torch.optim.Optimizer],
    recipe: dict[str, Any],
    state: dict[str, int],
) -> None:
    """A checkpoint is a folder that gets its name when it is complete; the one before is dropped."""
    home = out / "checkpoints"
    new = home / "new.tmp"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file(dict(model.named_parameters()), new / "weights.safetensors")
    moments = {
        f"{number}.{i}.{name}": value
        for number, optimizer in enumerate(optimizers)
        for i, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }
    save_file(moments, new / "optimizer.safetensors")
    document = {"recipe": recipe, "state": state}
    (new / "state.json").write_text(json.dumps(document, indent=1))
    before = list(home.glob("step-*"))
    os.replace(new, home / f"step-{state['step']:07d}")
    for old in before:
        shutil.rmtree(old)


def latest(out: Path) -> Path | None:
    """The newest complete checkpoint of a run."""
    return max((out / "checkpoints").glob("step-*"), default=None)


def where(checkpoint: Path, recipe: dict[str, Any], free: Sequence[str]) -> dict[str, int]:
    """Where the run stood. Raises `MootError` when its recipe differs in a key that is not `free`."""
    document = json.loads((checkpoint / "state.json").read_text())
    for key, value in document["recipe"].items():
        if key not in free and recipe.get(key) != value:
            raise MootError(
                f"{checkpoint.parent.parent} was begun with {key} {value!r}, not {recipe.get(key)!r}; "
                "resume with the same recipe or choose another folder"
            )
    return document["state"]


def reopened(out: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of an exported folder."""
    tokenizer: Any = PreTrainedTokenizerFast
    return tokenizer.from_pretrained(out)


def restore(checkpoint: Path, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Put a checkpoint's weights and moments into a freshly built model and its optimizers."""
    weights = load_file(checkpoint / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    for key, value in load_file(checkpoint / "optimizer.safetensors").items():
        number, i, name = key.split(".", 2)
        states[int(number)].setdefault(int(i), {})[name] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
