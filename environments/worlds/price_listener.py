"""What offers and claims tell of the reserve in price bargaining.

Prices are counted in steps x = 0, 1, ..., n from the best one for the speaker. Hypotheses: its reserve lies
w = 1 to n steps from there, each as likely; the best price is taken for its target, as nothing else is
known. A rational speaker never offers to lose, and what is worth more to it, 1 - x / w, it offers rather:

    p(x | w)  =  exp(-B x / w) / sum over x' = 0..w of exp(-B x' / w)   where x <= w, else 0

With B = 2 the offers of `scripted:linear` and `scripted:conceder`, who concede by the clock, are likeliest.
A claim is true, or it is any of the hypotheses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from ...protocols import Message
from ..listening import Array, Bayes, Evidence, careless, held, others, uniform

SHARP = 2.0
"""B: a reserve's own price is exp(-2), a seventh, as likely as the best one."""


def listeners(
    grid: tuple[float, float, float], told: Mapping[str, float], sells: Mapping[str, bool]
) -> list[Bayes]:
    """Each of two agents listens to the other; nobody where one has nothing to gain. `grid`: lowest and
    highest price, step. `told`: the reserve that each would claim in truth."""
    low, high, tick = grid
    steps = round((high - low) / tick)
    found: list[Bayes] = []
    for seat, speaker in others(tuple(told)):
        best, step = (high, -tick) if sells[speaker] else (low, tick)
        truth = round((told[speaker] - best) / step) - 1
        if truth < 0:
            return []
        found.append(Bayes(seat, uniform(steps), truth, _ears(speaker, best, step, steps)))
    return found


def _ears(
    speaker: str, best: float, step: float, steps: int
) -> Callable[[Message], Evidence | None]:
    """What a message is to one who listens to this speaker."""

    def hears(message: Message) -> Evidence | None:
        if message.sender != speaker:
            return None
        for field, logs in (("price", offer), ("limit", claim)):
            said = held(message, field)
            if isinstance(said, int | float):
                at = round((said - best) / step)
                return Evidence((field, at), logs(steps, at)) if 0 <= at <= steps else None
        return None

    return hears


@lru_cache(maxsize=4096)
def offer(steps: int, at: int) -> Array:
    """log p of a price so many steps from the best one, (H,)."""
    width = np.arange(1, steps + 1, dtype=np.float64)
    fall = SHARP / width
    whole = np.expm1(-fall * (width + 1)) / np.expm1(-fall)  # of the geometric series
    return careless(np.where(at <= width, np.exp(-fall * at) / whole, 0.0), steps + 1)


@lru_cache(maxsize=4096)
def claim(steps: int, at: int) -> Array:
    """log p of claiming a reserve so many steps from the best price, (H,)."""
    return careless((np.arange(1, steps + 1) == at).astype(np.float64), steps)
