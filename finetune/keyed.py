"""Randomness by counter: what is drawn depends on a key and a place, on nothing else in the batch.

A generator that is consumed in order couples agents: who sits in the batch, how many, and how long the
padding is would change everybody's dropout. Here each (key, site, token, feature) hashes to its own bit,
so an agent draws the same mask alone and among others, on a CPU and on a GPU, and again when gradient
checkpointing computes a layer a second time.
"""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 2**64 / golden ratio, as in splitmix64 (Steele et al. 2014)
FIRST, SECOND = -4658895280553007687, -7723592293110705685
LOW = (1 << 34) - 1


def number(*parts: object) -> int:
    """A 64-bit signed integer that depends on every part."""
    digest = blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def generator(*parts: object) -> torch.Generator:
    """A generator of its own for these parts; the global one is left alone."""
    return torch.Generator().manual_seed(number(*parts) & ((1 << 63) - 1))


def keep(keys: Tensor, site: int, tokens: int, width: int, p: float) -> Tensor:
    """Which entries survive dropout with probability `p` each of being dropped, (B, T, width) bool.

    `keys` (B,) int64 names agent, step and row; `site` the layer. Entry (b, t, j) does not change with
    the other rows, nor with T.
    """
    place = torch.arange(tokens, device=keys.device) * GOLDEN + site
    token_BT = _mixed(keys[:, None] + _mixed(place)[None]) >> 32
    feature_W = _mixed(torch.arange(width, device=keys.device) * GOLDEN - site) >> 32
    z = token_BT.to(torch.int32)[..., None] + feature_W.to(torch.int32)
    z = z * 0x7FEB352D
    z ^= (z >> 15) & 0x1FFFF
    z *= 0x68E31DA5
    z ^= (z >> 16) & 0xFFFF
    return z >= int(p * 2**32) - 2**31


def _mixed(z: Tensor) -> Tensor:
    """The finaliser of splitmix64; shifts of signed integers, here and above, are masked to be logical."""
    z = (z ^ ((z >> 30) & LOW)) * FIRST
    z = (z ^ ((z >> 27) & (LOW << 3 | 7))) * SECOND
    return z ^ ((z >> 31) & (LOW >> 1))
