"""What stays with a client: own layers (FedPer), an own model near the common one (Ditto), own cohorts.

All of it is about names and rows: the shared part of a mapping goes through any rule, the local part
does not, and clients of one cohort are averaged among themselves. The loop puts the pieces together:

    shared, local = split(clients, ["*.layers.3.*"])
    merged = cohorts(roles, lambda rows: rule(rows_of(shared, rows), weights[rows], start, state))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
from torch import Tensor

from ...protocols import MootError, did_you_mean
from .average import Tensors, proximal

T = TypeVar("T")


def split(clients: Tensors, local: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(shared, local): tensors whose name matches one of the patterns stay local.

    Patterns are names or shell patterns (`*.B`). Raises `MootError` for one that matches nothing, and
    when nothing is left to share.
    """
    for pattern in local:
        if not any(fnmatchcase(name, pattern) for name in clients):
            raise MootError(f"no tensor matches {pattern!r}; {did_you_mean(pattern, clients)}")
    mine = {n: x for n, x in clients.items() if any(fnmatchcase(n, p) for p in local)}
    shared = {n: x for n, x in clients.items() if n not in mine}
    if not shared:
        raise MootError(f"local={list(local)} keeps every tensor; leave one to share")
    return shared, mine


def last_layers(names: Iterable[str], count: int) -> list[str]:
    """The names that belong to the last `count` layers, by the first number between dots in a name.

    FedPer (Arivazhagan et al. 2019, arXiv 1912.00818) shares the base layers and keeps the last ones:
    give the result to `split`. Raises `MootError` when there are not more than `count` layers.
    """
    layer = {n: int(m.group(1)) for n in names if (m := re.search(r"(?:^|\.)(\d+)(?:\.|$)", n))}
    depth = sorted(set(layer.values()))
    if not 1 <= count < len(depth):
        raise MootError(
            f"{count} personal layers of {len(depth)}; keep 1 to {max(len(depth) - 1, 0)}"
        )
    return [n for n, number in layer.items() if number in depth[-count:]]


def rows_of(clients: Tensors, rows: Tensor) -> dict[str, Tensor]:
    """The tensors of some clients only."""
    return {name: x[rows.to(x.device)] for name, x in clients.items()}


def cohorts(groups: Sequence[str], merge: Callable[[Tensor], T]) -> dict[str, T]:
    """Each cohort averaged apart: group -> merge(row numbers of its clients (n,)), in order of names.

    `groups` names the cohort or role of each client.
    """
    return {
        group: merge(torch.tensor([k for k, g in enumerate(groups) if g == group]))
        for group in sorted(set(groups))
    }


def ditto(personal: Tensors, shared: Tensors, strength: float) -> Tensor:
    """strength/2 ||v_k - w||^2, (K,): the pull of the common model w on personal models v (K, ...).

    Ditto (Li et al. 2021, arXiv 2012.04221): w is trained and averaged as ever, and each client also
    minimises F_k(v_k) plus this, v_k staying at home. strength 0 is local training; a large one is w.
    """
    return proximal(personal, shared, strength)


def ditto_pull(personal: Tensors, shared: Tensors, strength: float) -> dict[str, Tensor]:
    """The gradient of `ditto`, strength (v_k - w), to add to gradients without a second graph."""
    return {name: strength * (v.detach() - shared[name].detach()) for name, v in personal.items()}
