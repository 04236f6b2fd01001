"""LoRA-XS (Balazy et al. 2024, arXiv 2405.17604): a small square matrix between two frozen factors.

    y = W x + scale B_0 R_k A_0 x       A_0 (r, in)   B_0 (out, r)   R (K, r, r)   scale alpha / r

Only R is trained, and it starts at zero. The factors are common to all agents and made from the base alone:
with the truncated singular value decomposition W ~ U S V^T they are A_0 = V^T and B_0 = U S; or random
orthonormal ones, for a base that is quantised or too large to decompose. An agent then has r^2 numbers per
layer, and since the factors are common,

    mean of B_0 R_k A_0  =  B_0 (mean of R_k) A_0

so that plain averaging of R is exact: with rule `fedavg` this is Fed-SB (Singhal et al. 2025, arXiv
2502.15436). Left out: Fed-SB's factors from the clients' first gradients, which would show the server
something of their data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ...protocols import MootError
from ..keyed import generator, number
from ..rules.gram import linalg
from .targets import layers, sizes, usual

if TYPE_CHECKING:
    from ..bank import AdapterBank


class LoRAXS(BaseModel):
    """Options of LoRA-XS. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["lora_xs"] = "lora_xs"
    rank: Annotated[int, Field(ge=1)] = 16
    """r, the same for all agents."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Numerator of the scale alpha / r."""
    factors: Literal["svd", "random"] = "svd"
    """Frozen factors: the largest singular vectors of each weight, or random orthonormal ones."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping an input of A_0, in training."""
    targets: tuple[str, ...] | str | None = None
    """Last parts of layer names; a string is a regular expression for the whole name, or
    "all-linear". None: what peft uses for the architecture."""

    def attach(self, bank: AdapterBank) -> LoraXsLayers:
        """Called by the bank. Raises `MootError` where a layer is narrower than the rank."""
        return LoraXsLayers(self, bank)


class LoraXsLayers:
    """LoRA-XS as it sits in a bank."""

    def __init__(self, spec: LoRAXS, bank: AdapterBank) -> None:
        self.rank, self.scale = spec.rank, spec.alpha / spec.rank
        self.targets = usual(bank.model, USUAL, "targets") if spec.targets is None else spec.targets
        self.layers = layers(bank.model, self.targets)
        self.basis: dict[str, tuple[Tensor, Tensor]] = {}
        """Layer -> A_0 (r, in) and B_0 (out, r), frozen."""
        for name, layer in self.layers.items():
            if spec.rank > min(sizes(layer)):
                raise MootError(
                    f"rank {spec.rank} is more than layer {name} has, {min(sizes(layer))}; lower it"
                )
            a, b = (
                _svd(layer, spec.rank) if spec.factors == "svd" else _drawn(layer, name, spec.rank)
            )
            device = layer.weight.device
            a, b = a.to(device, bank.dtype), b.to(device, bank.dtype)
            self.basis[name] = a, b
            r = bank.add(f"{name}.xs_R", (spec.rank, spec.rank), device, None)
            bank.hook(layer.register_forward_hook(self._hook(bank, spec.dropout, name, a, b, r)))

    def product(self, name: str, r: Tensor) -> tuple[Tensor, Tensor]:
        """The same as LoRA's factors: A (r, in), B (out, r) with B A = scale B_0 R A_0; one agent's."""
        a, b = self.basis[name]
        return a, self.scale * (b @ r)

    def square(self, name: str, a: Tensor, b: Tensor) -> Tensor | None:
        """R with scale B_0 R A_0 = b a; None where no R gives that, since the factors are others."""
        mine, wide = self.basis[name]
        if a.shape != mine.shape or not torch.allclose(a.to(mine), mine, atol=1e-4):
            return None
        r = linalg.lstsq(wide.double(), b.to(wide.device).double()).solution
        found = (r / self.scale).to(wide.dtype)
        return found if torch.allclose(self.scale * (wide @ found), b.to(wide), atol=1e-4) else None

    def _hook(self, bank: AdapterBank, p: float, name: str, a: Tensor, b: Tensor, r: Tensor) -> Any:
        site = number("lora_xs", name)

        def hook(layer: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            route = bank.active
            if route is None:
                return None
            x = route.check(args[0])
            if not torch.is_autocast_enabled(x.device.type):  # which would cast it back
                x = x.to(a.dtype)
            low_GNr = route.split(route.dropped(x, site, p) @ a.mT)
            mid_GNr = (low_GNr @ route.pick(r).mT) * self.scale
            return output + route.join(mid_GNr @ b.mT, x).to(output.dtype)

        return hook


def _svd(layer: Any, rank: int) -> tuple[Tensor, Tensor]:
    """V^T (r, in) and U S (out, r) of the weight (out, in), each direction's largest entry positive."""
    weight = cast(Tensor, layer.weight).detach()
    if not weight.is_floating_point():
        raise MootError("a quantised base cannot be decomposed; use factors: random")
    w = (weight.mT if isinstance(layer, Conv1D) else weight).double()
    u, s, v = linalg.svd(w, full_matrices=False)
    u, s, v = u[:, :rank], s[:rank], v[:rank]
    # A decomposition leaves the signs open; fixed, they are the same on every machine.
    at = v.abs().argmax(1, keepdim=True)
    signs = v.gather(1, at).sign()
    return v * signs, u * s * signs.mT


def _drawn(layer: Any, name: str, rank: int) -> tuple[Tensor, Tensor]:
    """Orthonormal rows (r, in) and columns (out, r), from the layer's name alone."""
    width, out = sizes(layer)
    rng = generator("lora_xs", 0, name, "")
    a = torch.randn(width, rank, generator=rng, dtype=torch.float64)
    b = torch.randn(out, rank, generator=rng, dtype=torch.float64)
    return linalg.qr(a).Q.mT.contiguous(), linalg.qr(b).Q
