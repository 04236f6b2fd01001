"""The adapter bank: the adapters of K agents on one frozen base model, stacked along a leading axis.

    with bank.route(["ann", "ann", "bob", None]):     # who owns which row of the batch
        logits = bank.model(input_ids=ids).logits     # (4, T, V); the last row is the base model

The base is left as it is: forward hooks add each method's term, and outside `route` they do nothing. Slices
never touch, so one forward and backward trains all agents exactly as K separate runs would. Loss and
backward belong inside the `with` block when gradients are checkpointed, since layers then run twice.

Left out: more than one method in a bank, and copies of it on several processes; a base that `accelerate`
spreads over devices works, every tensor lives where its layer does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from ..protocols import MootError, did_you_mean
from .keyed import generator
from .route import Route


class Spec(Protocol):
    """A method's options: see `methods/`."""

    @property
    def method(self) -> str: ...

    def attach(self, bank: AdapterBank) -> object:
        """Create the tensors, hang the hooks, return what the method needs to know later."""
        ...


class AdapterBank:
    """Adapters of `agents` (names) of one kind (`spec`) on `model`, any causal LM of transformers.

    `start` tells whether all agents begin from the same random numbers ("same", as federated
    averaging wants) or each from its own ("own"). Adapters are float32, or float64 where the base is.
    `fitted` is the method's own object. Raises `MootError` for names or targets that do not fit.
    """

    def __init__(
        self, model: Any, spec: Spec, agents: Sequence[str], *, seed: int = 0, start: str = "same"
    ) -> None:
        self.agents = tuple(agents)
        if not self.agents or len(set(self.agents)) < len(self.agents):
            raise MootError(f"agents {list(agents)}: want one or more names, each once")
        if start not in ("same", "own"):
            raise MootError(f"start {start!r}; {did_you_mean(start, ('same', 'own'))}")
        self.model, self.spec, self.seed, self.start = model, spec, seed, start
        self.tensors: dict[str, nn.Parameter] = {}
        """Name -> (K, ...) parameter, all that is trained."""
        self.active: Route | None = None
        """The route of the `with` block that is open."""
        self.recompute = False
        """Whether activations are recomputed in the backward; set by `checkpointing`."""
        self._hooks: list[Any] = []
        self._undo: list[Callable[[], None]] = []
        self.settle()
        self.dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
        self.fitted: Any = spec.attach(self)

    def add(
        self, name: str, shape: Sequence[int], device: torch.device, draw: Callable[..., Any] | None
    ) -> nn.Parameter:
        """A new (K, *shape) parameter. `draw(tensor, generator=...)` fills one slice; None: zeros.

        The numbers depend on seed and name (and, with start="own", the agent), not on K.
        """
        stacked = torch.zeros(len(self.agents), *shape, dtype=self.dtype)
        if draw is not None:
            for k, agent in enumerate(self.agents):
                of = agent if self.start == "own" else ""
                draw(stacked[k], generator=generator("start", self.seed, name, of))
        self.tensors[name] = nn.Parameter(stacked.to(device))
        return self.tensors[name]

    def hook(self, handle: Any) -> None:
        """Keep a hook's handle, to be removed by `close`."""
        self._hooks.append(handle)

    def undo(self, how: Callable[[], None]) -> None:
        """Something else to do at `close`."""
        self._undo.append(how)

    def close(self) -> None:
        """Give the base model back without a trace. Safe to call twice."""
        for handle in self._hooks:
            handle.remove()
        for how in self._undo:
            how()
        self._hooks, self._undo = [], []

    def index(self, agent: str | int | None) -> int:
        """Place of an agent on the leading axis; -1 for None. Raises `MootError` for a stranger."""
        if agent is None:
            return -1
        if isinstance(agent, int):
            if -1 <= agent < len(self.agents):
                return agent
            raise MootError(f"agent {agent}: want -1 (none) to {len(self.agents) - 1}")
        if agent not in self.agents:
            raise MootError(f"no agent {agent!r} in the bank; {did_you_mean(agent, self.agents)}")
        return self.agents.index(agent)

    @contextmanager
    def route(
        self, rows: Sequence[str | int | None] | Tensor, *, dropout: Tensor | None = None
    ) -> Generator[Route]:
        """While open, row b of every batch goes through the adapter of `rows[b]` (name, index or None).

        `dropout`: (B,) int64 keys of the rows' masks, see `keyed.py`; None: no dropout.
        """
        given = (
            cast("list[int]", rows.tolist()) if isinstance(rows, Tensor) else rows  # pyright: ignore[reportUnknownMemberType]
        )
        before = self.active
        self.active = Route([self.index(a) for a in given], len(self.agents), dropout)
        try:
            yield self.active
        finally:
            self.active = before

    @property
    def virtual(self) -> int:
        """Places in the context that an adapter's virtual tokens take; 0 for methods without."""
        return getattr(self.fitted, "tokens", 0)

    @property
    def version(self) -> int:
        """Grows whenever a tensor is written, so that what was computed from it can be told stale."""
        return sum(t._version for t in self.tensors.values())

    @contextmanager
    def decoding(self, owners: Sequence[str | None]) -> Generator[None]:
        """While open, row b of every batch is `owners[b]`'s, and layers fill a decoder's cache."""
        adapted = any(owner is not None for owner in owners)
        with (
            self.cached() if self.recompute else nullcontext(),
            self.route(owners) if adapted else self.plain(),
        ):
            yield

    @contextmanager
    def plain(self) -> Generator[None]:
        """While open, the base model alone."""
        before, self.active = self.active, None
        try:
            yield
        finally:
            self.active = before

    def settle(self) -> None:
        """Base frozen and in evaluation mode, whatever others have done to the model meanwhile."""
        self.model.requires_grad_(False)
        self.model.eval()
        if self.recompute:
            self.checkpointing()

    def checkpointing(self, on: bool = True) -> None:
        """Recompute activations in the backward instead of keeping them.

        The model stays in evaluation mode: only the flag of the layers that are recomputed is set, so
        the base's own dropout, which draws from the global generator, remains off.
        """
        again = partial(
            cast(Any, checkpoint).checkpoint, use_reentrant=False, preserve_rng_state=False
        )
        layers = self._blocks()
        if on and not layers:
            raise MootError(f"{type(self.model).__name__} has no layers that can be recomputed")
        self.recompute = on
        for layer in layers:
            layer.gradient_checkpointing, layer.training = on, on
            layer._gradient_checkpointing_func = again

    @contextmanager
    def cached(self) -> Generator[None]:
        """While open, layers may fill a cache, which checkpointed ones do not."""
        on = [layer for layer in self._blocks() if layer.training]
        for layer in on:
            layer.training = False
        try:
            yield
        finally:
            for layer in on:
                layer.training = True

    def _blocks(self) -> list[Any]:
        return [m for m in self.model.modules() if hasattr(m, "gradient_checkpointing")]

    def state(self) -> dict[str, Tensor]:
        """A copy of all tensors, (K, ...) each."""
        return {name: t.detach().clone() for name, t in self.tensors.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave. Raises `MootError` for other names or shapes; then nothing moves."""
        self._check(state, lambda t: t.shape)
        with torch.no_grad():
            for name, value in state.items():
                self.tensors[name].copy_(value)

    def slice(self, agent: str) -> dict[str, Tensor]:
        """A copy of one agent's tensors, without the leading axis; padding of mixed ranks included."""
        k = self.index(agent)
        return {name: t.detach()[k].clone() for name, t in self.tensors.items()}

    def set_slice(self, agent: str, tensors: Mapping[str, Tensor]) -> None:
        """Replace one agent's tensors. Raises `MootError` for other names or shapes; then nothing moves."""
        k = self.index(agent)
        self._check(tensors, lambda t: t.shape[1:])
        with torch.no_grad():
            for name, value in tensors.items():
                self.tensors[name][k].copy_(value)

    def _check(self, given: Mapping[str, Tensor], shape: Callable[[Tensor], torch.Size]) -> None:
        for name in {*given, *self.tensors}:
            if name not in given or name not in self.tensors:
                kind = "lacks" if name in self.tensors else "has the unknown"
                raise MootError(f"the state {kind} tensor {name}; give that of a bank like this")
            want, got = tuple(shape(self.tensors[name])), tuple(given[name].shape)
            if want != got:
                raise MootError(f"tensor {name} has shape {got}, this bank's {want}")

    def count(self) -> int:
        """Trained numbers of one agent, padding of mixed ranks included."""
        return sum(t[0].numel() for t in self.tensors.values())

    def export(self, agent: str, folder: str | Path, *, base: str = "") -> Path:
        """Write one agent's adapter as a peft folder; `base` is its model's folder or id."""
        from .export import export

        return export(self, agent, Path(folder), base)

    def load(self, agent: str, folder: str | Path) -> None:
        """Read one agent's adapter from such a folder. Raises `MootError` where it does not fit."""
        from .export import load

        load(self, agent, Path(folder))

    def merge(self, agent: str, folder: str | Path, tokenizer: Any = None) -> Path:
        """Write base and adapter as one plain model folder (LoRA, IA3)."""
        from .export import merge

        return merge(self, agent, Path(folder), tokenizer)
