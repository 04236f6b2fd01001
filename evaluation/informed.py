"""What the talk told of secrets, in bits (`learned.py`)."""

from __future__ import annotations

from .seen import Seen
from .statistics import Part


def bits(seen: Seen) -> Part | None:
    """Bits by which listeners grew surer of secrets, over all messages. Unscored where the world has no
    listener, and where no message bears on a secret (words alone never do)."""
    return (_gained(seen), len(seen.messages)) if any(seen.learned) else None


def bits_in_all(seen: Seen) -> Part | None:
    """The same, over episodes: the entropy of the secrets before the talk minus after it."""
    return (_gained(seen), 1) if any(seen.learned) else None


def true_bits(seen: Seen) -> Part | None:
    """Bits by which the truth became likelier to listeners, over all messages."""
    return (_true(seen), len(seen.messages)) if any(seen.learned) else None


def true_bits_in_all(seen: Seen) -> Part | None:
    """The same, over episodes."""
    return (_true(seen), 1) if any(seen.learned) else None


def _gained(seen: Seen) -> float:
    return sum([m.gained for m in seen.learned if m is not None])


def _true(seen: Seen) -> float:
    return sum([m.true for m in seen.learned if m is not None])
