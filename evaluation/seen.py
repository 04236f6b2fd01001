"""One episode as metrics look at it: what several of them need is worked out once, when first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from math import inf, isfinite
from typing import cast

import numpy as np

from ..environments import WORLDS, Episode, Solution
from ..environments.world import Gaps, Replying, World
from ..protocols import Act, Content, Ended, OfferSpace, Preferences, Reply
from ..protocols.message import names_of
from .learned import Learned, learned
from .statistics import Floats

FEW = 16
"""Points of a frontier up to which plain loops are quicker than arrays."""


class Seen:
    """One episode."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.messages = episode.messages
        utilities = episode.outcome.utilities
        self.utilities = tuple([utilities[a] for a in episode.scenario.roles if a in utilities])
        """In seat order; empty where an agreement is not on record."""
        self.agreed = episode.ended is Ended.AGREED and bool(self.utilities)
        self.settled = self.agreed or (episode.ended is Ended.DONE and bool(self.utilities))
        """Agreed, or played to its end in a world that needs no agreement."""
        self.completed = float(episode.outcome.completed)

    @cached_property
    def world(self) -> World:
        """The episode's world as it was before anyone spoke."""
        scenario = self.episode.scenario
        return WORLDS[scenario.world].build(scenario)

    @cached_property
    def solution(self) -> Solution:
        """The world's exact reference for this scenario."""
        scenario = self.episode.scenario
        return WORLDS[scenario.world].solve(scenario)

    @cached_property
    def known(self) -> Solution | None:
        """The same; None where the best outcome is not known or this one is not on record."""
        return self.solution if self.utilities and isfinite(self.solution.max_joint) else None

    @cached_property
    def charted(self) -> Solution | None:
        """The same; None also where the world does not know which outcomes are Pareto-optimal."""
        known = self.known
        return known if known is not None and (known.transfer or known.frontier) else None

    @cached_property
    def gains(self) -> tuple[float, ...]:
        """Points above the disagreement point, at least 0, in seat order."""
        none = self.solution.disagreement
        return tuple([max(u - d, 0.0) for u, d in zip(self.utilities, none, strict=True)])

    @cached_property
    def efficient(self) -> bool:
        """Whether nothing known is better for someone and worse for nobody (Pareto)."""
        s = self.solution
        if s.transfer:
            return s.efficient(self.utilities)
        if len(s.frontier) <= FEW:
            return not any(_beats(other, self.utilities) for other in (*s.frontier, s.disagreement))
        others, mine = points(s.frontier, s.disagreement), np.array(self.utilities)
        better = (others >= mine - 1e-9).all(1) & (others > mine + 1e-9).any(1)
        return not better.any()

    @cached_property
    def learned(self) -> list[Learned | None]:
        """What each message told of secrets, in bits; None of those that bear on none."""
        return learned(self.world, self.messages, tuple(self.episode.scenario.roles))

    @cached_property
    def gaps(self) -> Gaps | None:
        """What each agent could have had more by its best reply; None where the world cannot tell."""
        if not hasattr(self.world, "gaps"):
            return None
        return cast(Replying, self.world).gaps(self.messages)

    @property
    def replies(self) -> Iterator[Reply]:
        """Recorded replies (agents that are not scripted)."""
        return (t.reply for t in self.episode.turns if t.reply is not None)

    @cached_property
    def tokens(self) -> list[int]:
        """Completion tokens of each reply that counts them."""
        return [r.completion_tokens for r in self.replies if r.completion_tokens is not None]

    @cached_property
    def words(self) -> list[list[str]]:
        """Words of each message, split at white space."""
        return [m.text.split() for m in self.messages]

    @cached_property
    def claims(self) -> list[float]:
        """How far each claim of own values (a content that is `Preferences`) is off: the mean absolute
        difference to the true numbers, over the largest true one. Empty where the world has no truth."""
        off: list[float] = []
        for m in self.messages:
            if m.content is None or m.act is not Act.INFORM:
                continue
            space = self.space(m.sender) if self.holds(Preferences, m.content) else None
            if space is None:
                continue
            true, said = numbers(fields(space.told())), numbers(fields(m.content))
            if true and true.keys() == said.keys():
                apart = 0.0 if true == said else sum([abs(said[k] - true[k]) for k in true])
                off.append(apart / len(true) / (max(map(abs, true.values())) or 1.0))
        return off

    def holds(self, slot: type[Content], content: Content) -> bool:
        """Whether this is what the world puts into a slot, by its fields: a record does not keep its type."""
        kind = WORLDS[self.episode.scenario.world].contents.get(slot)
        if kind is None or isinstance(content, kind):
            return kind is not None
        return names_of(kind) == set(fields(content))

    def space(self, agent: str) -> OfferSpace | None:
        """The offers as this agent judges them; None in worlds without offers to rank."""
        return self.world.space(agent)


def _beats(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    """Better for someone and worse for nobody."""
    better = False
    for a, b in zip(one, two, strict=True):
        if a < b - 1e-9:
            return False
        better = better or a > b + 1e-9
    return better


@lru_cache(maxsize=256)
def points(frontier: tuple[tuple[float, ...], ...], disagreement: tuple[float, ...]) -> Floats:
    """Undominated utility vectors, that of no deal among them where it is one, (points, agents)."""
    deals, none = np.array(frontier).reshape(-1, len(disagreement)), np.array(disagreement)
    beaten = (deals >= none - 1e-9).all(1) & (deals > none + 1e-9).any(1)
    return deals if beaten.any() else np.vstack([deals, none])


def distance(solution: Solution, utilities: tuple[float, ...]) -> float:
    """To the nearest of the frontier's points: Euclidean, in points of the world's score."""
    if solution.transfer:
        return max(solution.max_joint - sum(utilities), 0.0) / len(utilities) ** 0.5
    gaps = points(solution.frontier, solution.disagreement) - np.array(utilities)
    return float(np.sqrt((gaps * gaps).sum(1)).min(initial=inf))


@lru_cache(maxsize=4096)
def best_least(solution_key: tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]) -> float:
    """The largest gain that everyone can have at once, over the points of a frontier."""
    frontier, none = solution_key
    gains = (min([u - d for u, d in zip(point, none, strict=True)]) for point in frontier)
    return max(gains, default=0.0)


def fields(content: Content) -> Mapping[str, object]:
    """What a content holds, whether its type is known or (in a record) not."""
    return content.model_extra or vars(content)


def numbers(value: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    """Every number in nested data, by its place."""
    found: dict[tuple[str, ...], float] = {}
    if type(value) is dict:
        for key, inner in cast(Mapping[str, object], value).items():
            if type(inner) is int or type(inner) is float:
                found[(*path, key)] = inner
            else:
                found |= numbers(inner, (*path, key))
    return found
