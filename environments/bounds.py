"""Outcomes against the exact solution of their scenario, and that solution against brute force.

`check_outcome` is the part of `check_environment` that knows utilities. Left out: that a solution is
right where offers cannot be listed one by one (a world's own tests do that).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from ..protocols import Content, ContractError, Ended, OfferSpace, Preferences
from .environment import Environment
from .episode import Episode
from .play import replay
from .scenario import COACH
from .worlds import WORLDS


def check_outcome(record: Episode) -> None:
    """Raise `ContractError` unless the outcome is whole and within the exact solution, the offers of
    either agent are ranked by what they would score, and no listed offer beats the solution."""
    _within(record)
    table = Environment(record.scenario, seed=record.seed, episode=record.id)
    spaces = [s for s in (table.observe(agent).space for agent in table.agents) if s is not None]
    if len(spaces) == len(table.agents) == 2:
        for agent, space in zip(table.agents, spaces, strict=True):
            _ranked(table, agent, space)
        _by_force(record, spaces)
        _as_ranked(record)


def _broken(record: Episode, what: str) -> ContractError:
    return ContractError(f"environment {record.scenario.world}: episode {record.id}: {what}")


def _within(record: Episode) -> None:
    solution = WORLDS[record.scenario.world].solve(record.scenario)
    outcome = record.outcome
    if tuple(outcome.utilities) != tuple(record.scenario.roles):
        raise _broken(record, f"utilities are not the seats' in order: {outcome.utilities}")
    got = tuple(outcome.utilities.values())
    if not all(map(math.isfinite, got)):
        raise _broken(record, f"a utility is not finite: {outcome.utilities}")
    if outcome.deal is None:
        if outcome.completed or got != solution.disagreement:
            raise _broken(record, f"no deal, yet it scores {got}, not {solution.disagreement}")
        return
    if sum(got) > solution.max_joint + 1e-6:
        raise _broken(record, f"{got} sum to more than max_joint, {solution.max_joint:g}")
    if solution.nash(got) > solution.max_nash * (1 + 1e-9) + 1e-9:
        raise _broken(record, f"{got} beat the Nash product, {solution.max_nash:g}")
    beaten = next((point for point in solution.frontier if _beats(got, point)), None)
    if beaten is not None:
        raise _broken(record, f"{got} beats {beaten}, which is said to be on the frontier")


def _beats(one: Sequence[float], two: Sequence[float]) -> bool:
    """Better for someone and worse for nobody."""
    pairs = list(zip(one, two, strict=True))
    return all(a >= b - 1e-9 for a, b in pairs) and any(a > b + 1e-9 for a, b in pairs)


def _ranked(table: Environment, agent: str, space: OfferSpace) -> None:
    own = [space.utility(offer, mine=True) for offer in space.offers]
    where = f"environment {table.scenario.world}: episode {table.episode_id}"
    if own != list(space.utilities) or own != sorted(own, reverse=True):
        raise ContractError(f"{where}: the offers of {agent} are not ranked best first")
    told = space.told()
    if len(space.partner(told)) != len(space.offers):
        raise ContractError(f"{where}: {agent} cannot judge every offer for the other")
    move = next((m for m in table.protocol.moves if m.content is Preferences), None)
    wrong = None if move is None else table.world.check(agent, told, move, ())
    if wrong is not None:
        raise ContractError(f"{where}: what {agent} tells of its values is illegal; legal: {wrong}")


def _by_force(record: Episode, spaces: Sequence[OfferSpace]) -> None:
    """The solution against all offers, one by one."""
    one, two = spaces
    solution = WORLDS[record.scenario.world].solve(record.scenario)
    points = [(one.utility(o, mine=True), two.utility(o, mine=False)) for o in one.offers]
    joint = max(map(sum, points))
    nash = max(map(solution.nash, points))
    if abs(joint - solution.max_joint) > 1e-6 or abs(nash - solution.max_nash) > 1e-6:
        raise _broken(
            record,
            f"best sum and Nash product are {joint:g} and {nash:g}, the solution says "
            f"{solution.max_joint:g} and {solution.max_nash:g}",
        )
    others = {*points, (solution.disagreement[0], solution.disagreement[1])}
    for point in random.Random(record.id).sample(points, min(20, len(points))):
        best = not any(_beats(other, point) for other in others)
        if solution.efficient(point) != best:
            raise _broken(
                record, f"{point} is {'' if best else 'not '}efficient, it says otherwise"
            )


def _as_ranked(record: Episode) -> None:
    """The deal scores what its offer was ranked at when it was accepted."""
    said = [m for m in record.messages if m.sender != COACH]
    answered = said[-1].in_reply_to if said else None
    offer = None if answered is None else said[answered]
    if record.ended is not Ended.AGREED or offer is None or not isinstance(offer.content, Content):
        return
    table = replay(record, len(record.turns) - 1)
    for agent, scored in record.outcome.utilities.items():
        space = table.observe(agent).space
        ranked = (
            scored if space is None else space.utility(offer.content, mine=offer.sender == agent)
        )
        if abs(ranked - scored) > 1e-9:
            raise _broken(record, f"{agent} ranked the deal at {ranked:g} and scores {scored:g}")
