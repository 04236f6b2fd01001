"""What messages tell of secrets, by the listeners that worlds define (`environments/listening.py`).

With p(h) what a listener believes of each hypothesis, H(p) = -sum p log2 p and h* the truth, a message tells

    H(before) - H(after)                     bits gained: how much surer a listener is, of right or wrong
    log2 p_after(h*) - log2 p_before(h*)     bits about the truth: negative where a message misleads

summed over listeners who hear it. The first is the gain of Lindley (1956, Ann. Math. Stat. 27:986-1005). Of
the ways to measure what a single message tells it alone adds up over messages (DeWeese and Meister 1999,
Network 10:325-340); the Kullback-Leibler divergence, with the same mean over messages to come, does not,
though it is never negative. The second is pointwise mutual information (Fano 1961), and adds up too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from ..environments.listening import LN2, bits
from ..environments.world import Listening, World
from ..protocols import Message


class Learned(NamedTuple):
    """What one message tells, in bits."""

    gained: float
    true: float


def learned(
    world: World, messages: Sequence[Message], seats: Sequence[str]
) -> list[Learned | None]:
    """What each message tells, None where it bears on no secret; `world` is as before the talk."""
    if not hasattr(world, "listeners"):
        return [None] * len(messages)
    ears = [(who, bits(who.logs)) for who in cast(Listening, world).listeners()]
    found: list[Learned | None] = []
    for message in messages:
        there = {message.sender, *message.receivers}
        public, gained, true, heard = there.issuperset(seats), 0.0, 0.0, False
        for i, (who, before) in enumerate(ears):
            if not (who.seat in there if who.seat else public):
                continue
            truth = who.logs[who.truth]
            if who.hear(message):
                after, heard = bits(who.logs), True
                gained += before - after
                true += float(who.logs[who.truth] - truth) / LN2
                ears[i] = who, after
        found.append(Learned(gained, true) if heard else None)
    return found
