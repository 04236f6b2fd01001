"""The door of the server: a client whose update cannot be meant is set aside, and the round goes on.

Set aside are tensors missing or too many, of another shape or kind, NaN or infinite, and updates whose
norm is absurd beside the others'. What is merely bad, or subtle, is for `robust` to bear. Norms are of
plain tensors, so this is no defence against a clever client, only against a broken one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...protocols import MootError
from .average import Tensors
from .gram import linalg


class SetAside(NamedTuple):
    """Why a client does not count in this round."""

    client: str
    reason: str
    """"missing", "unknown", "shape", "dtype", "nan", "infinite" or "large"."""
    detail: str
    """One sentence with the tensor and what arrived."""


def set_aside(
    uploads: Mapping[str, Tensors], sent: Mapping[str, Tensors], *, times: float = 1000.0
) -> list[SetAside]:
    """Clients whose tensors do not fit what they were `sent`, are not finite, or moved absurdly far.

    Both mappings are client -> name -> tensor (...); rows of a stack cost no copy. A client is absurd
    when its update, ||x_k - x|| over all tensors, is more than `times` the median of the updates that
    moved at all (the lower one of two). Records come in the order of `uploads`. Raises `MootError` when
    nobody is left: then the last good state is the one to keep.
    """
    if not times > 1:
        raise MootError(f"times={times}; an absurd update is more than once the median")
    found: dict[str, SetAside] = {}
    moved: dict[str, Tensor] = {}
    for client, tensors in uploads.items():
        wrong = _wrong(client, tensors, sent[client])
        if wrong:
            found[client] = wrong
        else:
            moved[client] = _distance(tensors, sent[client])
    typical = [norm for norm in moved.values() if norm > 0]
    if typical:
        most = times * torch.stack(typical).median()
        for client, norm in moved.items():
            if norm > most:
                text = (
                    f"its update has norm {float(norm):.3g}, more than {times:g} times the median"
                )
                found[client] = SetAside(client, "large", text)
    if len(found) == len(uploads):
        why = "; ".join(f"{s.client}: {s.detail}" for s in list(found.values())[:3])
        raise MootError(
            f"no client of {len(uploads)} sent a usable update ({why}); the model stays as it was, "
            "lower the learning rate or look at the data",
            usage=False,
        )
    return [found[client] for client in uploads if client in found]


def without(weights: Tensor, clients: Sequence[str], aside: Sequence[SetAside]) -> Tensor:
    """`weights` (K,) with 0 for those set aside, which every rule reads as absent."""
    gone = {s.client for s in aside}
    return weights * torch.tensor([c not in gone for c in clients], device=weights.device)


def _wrong(client: str, tensors: Tensors, start: Tensors) -> SetAside | None:
    for name in start:
        if name not in tensors:
            return SetAside(client, "missing", f"{name} did not arrive")
    for name, x in tensors.items():
        if name not in start:
            return SetAside(client, "unknown", f"{name} was not asked for")
        old = start[name]
        if x.shape != old.shape:
            text = f"{name} has shape {tuple(x.shape)}, not {tuple(old.shape)}"
            return SetAside(client, "shape", text)
        if x.dtype != old.dtype:
            return SetAside(client, "dtype", f"{name} is {x.dtype}, not {old.dtype}")
        if not bool(torch.isfinite(x).all()):
            if bool(torch.isnan(x).any()):
                return SetAside(client, "nan", f"{name} has NaN")
            return SetAside(client, "infinite", f"{name} has an infinity")
    return None


def _distance(tensors: Tensors, start: Tensors) -> Tensor:
    """||x_k - x|| in float64, where squares of float32 cannot overflow."""
    parts = [linalg.vector_norm(x.double() - start[n].double()) for n, x in tensors.items()]
    return linalg.vector_norm(torch.stack(parts).cpu())
