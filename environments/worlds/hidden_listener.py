"""What claims tell of the liar in the hidden role: the perfect listener of `hidden_scenario.posterior`, claim
after claim.

Hypotheses: each debater is the liar. The listener has no thing and hears what is said to all; what the
likelihood is, stands there. Kept are log L_j(t), the likelihood of j's claims if j has t, (J, T).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...protocols import Message
from ..listening import held, normal, uniform


class HiddenListener:
    """An outsider who wants to know who the liar is. `slip`: share of claims that it expects to be wrong."""

    seat = ""

    def __init__(
        self,
        things: Mapping[str, Sequence[str]],
        features: Sequence[str],
        debaters: Sequence[str],
        liar: str,
        slip: float,
    ) -> None:
        self.truth = list(debaters).index(liar)
        self.logs = np.log(uniform(len(debaters)))
        self._has = {f: np.array([f in has for has in things.values()]) for f in features}
        self._who = {a: i for i, a in enumerate(debaters)}
        self._likely = np.zeros((len(debaters), len(things)))
        self._slip = slip

    def hear(self, message: Message) -> bool:
        """Take note of a claim."""
        feature, holds = held(message, "feature"), held(message, "holds")
        who = self._who.get(message.sender)
        if feature not in self._has or not isinstance(holds, bool) or who is None:
            return False
        right = self._has[feature] == holds
        self._likely[who] += np.log(np.where(right, 1 - self._slip, self._slip))
        # Relative to each one's likeliest thing: the same factor for whoever is the liar.
        logs = self._likely - self._likely.max(axis=1, keepdims=True)
        likely = np.exp(logs)
        apart = likely.sum(axis=1, keepdims=True) - likely
        others = np.exp(logs.sum(axis=0) - logs)
        self.logs = normal(np.log((others * apart).sum(axis=1)))
        return True
