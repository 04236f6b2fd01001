"""Which row of a batch belongs to which agent, and how activations meet stacked parameters.

`x (B, T, d)` is regrouped to `(G, N, d)` so that one batched product with `(G, d, e)` serves all rows. Where
the rows stand agent by agent, equally many each, G counts agents and nothing is copied; otherwise every
row is its own group and the slices are gathered. A row routed to -1 gets no adapter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..protocols import MootError
from .keyed import keep


class Route:
    """The agents (B,) of a batch's rows, as indices into the leading axis; -1: no adapter.

    `dropout` (B,) int64 keys the rows' dropout masks; None: no dropout (evaluation, generation).
    """

    def __init__(self, rows: Sequence[int], agents: int, dropout: Tensor | None = None) -> None:
        self.rows = list(rows)
        present = sorted(set(self.rows))
        each = len(self.rows) // max(len(present), 1)
        grouped = present[:1] != [-1] and self.rows == [k for k in present for _ in range(each)]
        self.each = each if grouped else 1
        """Rows of a group."""
        self.slices: list[int] | None = present if grouped else [max(k, 0) for k in self.rows]
        """Group -> slice; None: the groups are the slices."""
        if self.slices == list(range(agents)):
            self.slices = None
        self.none = [k < 0 for k in self.rows] if -1 in self.rows else None
        """Rows without an adapter; None: there are none."""
        self.dropout = dropout
        self.positions: Tensor | None = None
        """Places (B, T) of the tokens, virtual ones counted; set by methods that add such."""
        self.past: tuple[bool, list[tuple[Tensor, Tensor]]] | None = None
        """Whether with gradients, and the rows' virtual keys and values per layer; likewise."""
        self._there: dict[tuple[str, torch.device], Tensor] = {}

    def check(self, x: Tensor) -> Tensor:
        """Raises `MootError` unless `x` is (B, T, d) with the B of this route."""
        if x.dim() != 3 or x.shape[0] != len(self.rows):
            raise MootError(
                f"a layer got {tuple(x.shape)}, but {len(self.rows)} rows are routed; give route() one "
                "agent per row of the batch (mixtures of experts are not supported)"
            )
        return x

    def split(self, x: Tensor) -> Tensor:
        """(B, T, d) to (G, N, d)."""
        return x if self.each == 1 else x.reshape(-1, self.each * x.shape[1], x.shape[2])

    def pick(self, stacked: Tensor) -> Tensor:
        """(K, ...) to (G, ...)."""
        if self.slices is None:
            return stacked
        return stacked.index_select(0, self._on("slices", stacked.device, self.slices))

    def join(self, y: Tensor, like: Tensor) -> Tensor:
        """(G, N, e) back to (B, T, e), zero where a row has no adapter."""
        y = y.reshape(like.shape[0], like.shape[1], -1)
        without = self.without(y.device)
        return y if without is None else y.masked_fill(without[:, None, None], 0.0)

    def spread(self, stacked: Tensor) -> Tensor:
        """(K, ...) to one slice per row (B, ...), whatever the groups."""
        picked = self.pick(stacked)
        return picked if self.each == 1 else picked.repeat_interleave(self.each, 0)

    def without(self, device: torch.device) -> Tensor | None:
        """(B,) bool, rows without an adapter; None when all have one."""
        return None if self.none is None else self._on("none", device, self.none)

    def dropped(self, x: Tensor, site: int, p: float) -> Tensor:
        """Inverted dropout of `x` (B, T, d) by the rows' keys."""
        if self.dropout is None or p == 0:
            return x
        if ("dropout", x.device) not in self._there:
            self._there["dropout", x.device] = self.dropout.to(x.device)
        kept = keep(self._there["dropout", x.device], site, x.shape[1], x.shape[2], p)
        return x * kept / (1 - p)

    def _on(self, name: str, device: torch.device, values: Sequence[int | bool]) -> Tensor:
        if (name, device) not in self._there:
            self._there[name, device] = torch.tensor(values, device=device)
        return self._there[name, device]
