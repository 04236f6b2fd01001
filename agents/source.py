"""Where a model comes from, a local folder or the hub, and what to say when there is none to be had.

Safetensors only: a folder whose weights are pickled is refused before anything in it is read.
"""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub.constants

from ..protocols import MootError, did_you_mean

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def folder_of(name: str) -> Path | None:
    """The local folder that `name` means; None for a hub id. Raises `MootError` for a missing folder."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        raise MootError(f"{name} is a file; give the folder that holds config.json and the weights")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        beside = (
            [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        )
        hint = did_you_mean(path.name, beside) if beside else "a hub id is OWNER/NAME"
        raise MootError(f"no folder {name}; {hint}")
    return None


def check_folder(folder: Path) -> None:
    """Raises `MootError` for what the folder lacks: configuration, weights, tokenizer."""
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise MootError(
                f"{folder} holds an adapter, not a model; give the folder of its base model"
            )
        raise MootError(
            f"{folder} has no config.json; give a folder written by model.save_pretrained"
        )
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
        if pickles:
            raise MootError(
                f"{folder} has only pickled weights ({pickles[0]}), which can run code and are never "
                "opened; save the model again with save_pretrained to get model.safetensors"
            )
        raise MootError(
            f"{folder} has no weights; add model.safetensors (model.save_pretrained writes it)"
        )
    if not any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json")):
        raise MootError(
            f"{folder} has no tokenizer; add tokenizer.json with tokenizer.save_pretrained"
        )


def offline() -> bool:
    """No way to the hub: then what an earlier download left is used, without half a minute of retries."""
    host = urlsplit(huggingface_hub.constants.ENDPOINT).hostname
    if getproxies():
        return False
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return True
    return False


def unread(name: str, folder: Path | None, e: Exception) -> str:
    """The one line for a user, from whatever the libraries raised."""
    why = next((line.strip() for line in str(e).splitlines() if line.strip()), type(e).__name__)
    if "trust_remote_code" in str(e):
        return f"{name}: it runs its own code; if you trust its authors add trust_remote_code=true"
    if "safetensors" in str(e) and folder is None:
        return (
            f"{name}: no safetensors weights, and pickled ones are never opened ({why}); choose a "
            "revision that has model.safetensors"
        )
    if folder is not None:
        return f"{name}: cannot be read as a model ({why}); save it again with save_pretrained"
    return (
        f"no model {name!r}: neither a folder here nor an id that the Hugging Face hub gave ({why}); "
        "give the path of a folder with config.json and model.safetensors, or check id and network"
    )
