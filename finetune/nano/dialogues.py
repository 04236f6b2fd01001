"""Dialogues to learn to talk from: scripted agents play drawn scenarios (`scenarios.py`) of all worlds.

Worlds with players of their own (`PLAYERS`) are taught by their `sensible` one; the others, where offers are
ranked or tasks contracted, by the tactics `open`, `manager` and `honest`. Now and then one seat is
somebody else, who is heard but not learned, so that the unexpected has been met before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...agents.pools import ScriptedPool
from ...agents.prompt import ChatTurn, chat
from ...agents.scripted.players import PLAYERS, Scripted
from ...agents.scripted.strategies import STRATEGIES
from ...environments import Environment, play
from ...protocols import Act, Ended, Observation, Reply
from .scenarios import draw


class Lesson(NamedTuple):
    """One episode as one learner saw it."""

    world: str
    chat: tuple[ChatTurn, ...]
    """System, then user and assistant alternating; the last turn is the learner's last message."""


def lessons(
    seed: int, block: int, games: int, worlds: Mapping[str, float], drill: bool = False
) -> list[Lesson]:
    """What `games` episodes teach, each side apart; the same (seed, block) gives the same.

    `worlds` maps a world's name to its share of the games. A `drill` keeps to item division without any
    words, and to the sides that made an offer: most decisions for the time. Episodes in which nothing was
    achieved teach nothing and are left out, as are item divisions that leave both something to gain; of
    a larger group two are learned from.
    """
    rng = random.Random(f"{seed}|{block}")
    if drill:
        worlds = {"item_division": 1.0}
    tables: list[Environment] = []
    cast: dict[tuple[int, str], str] = {}
    for number in rng.choices(range(len(worlds)), list(worlds.values()), k=games):
        world = list(worlds)[number]
        scenario = draw(world, rng)
        episode = block * games + len(tables)
        tables.append(Environment(scenario, seed=seed, episode=episode))
        for agent, name in _seated(tables[-1], rng).items():
            cast[episode, agent] = name
    for _ in play(tables, {"*": ScriptedPool(_Cast(cast, not drill))}, concurrent=games):
        pass
    found: list[Lesson] = []
    for table in tables:
        if not _worthy(table):
            continue
        agents = [a for a in table.agents if cast[table.episode_id, a] in TEACHERS]
        for agent in rng.sample(agents, min(2, len(agents))):
            # To agree is soon learned: more room for those who had to find the deal.
            if (
                table.scenario.world in PLAYERS
                or _proposed(table, agent)
                or (not drill and rng.random() < 0.4)
            ):
                found.extend(_lesson(table, agent))
    return found


TEACHERS = ("open", "manager", "honest", "sensible")
"""Scripted agents whose words are learned."""
OPPONENTS = ("conceder", "linear", "boulware", "random")
"""Scripted agents that one side of every eighth bargaining faces; theirs are not."""


class _Cast:
    """Each seat of each episode answers by its own scripted agent."""

    def __init__(self, names: Mapping[tuple[int, str], str], words: bool) -> None:
        self._names = names
        tactics = {name for name in names.values() if name in STRATEGIES}
        self._tactics = {name: STRATEGIES[name](words=words) for name in tactics}
        self._players = {name: Scripted(name) for name in ("sensible", "random")}

    def reply(self, observation: Observation) -> Reply:
        name = self._names[observation.key.episode, observation.agent]
        known = self._players if observation.about.world in PLAYERS else self._tactics
        return known[name].reply(observation)


def _seated(table: Environment, rng: random.Random) -> dict[str, str]:
    world = table.scenario.world
    if world == "task_allocation":
        return {a: "manager" if r == "manager" else "honest" for a, r in table.roles.items()}
    own = world in PLAYERS
    seats = dict.fromkeys(table.agents, "sensible" if own else "open")
    if rng.random() < 0.12:
        seats[rng.choice(table.agents)] = "random" if own else rng.choice(OPPONENTS)
    return seats


def _worthy(table: Environment) -> bool:
    """Whether something was achieved, and in item division nothing left on the table."""
    world = table.scenario.world
    if table.ended is None or (world not in PLAYERS and table.ended is not Ended.AGREED):
        return False
    outcome = table.world.outcome(table.ended)
    if world == "item_division":
        return table.world.solve(table.scenario).efficient(tuple(outcome.utilities.values()))
    return outcome.deal is not None


def _proposed(table: Environment, agent: str) -> bool:
    return any(t.agent == agent and t.message and t.message.act is Act.PROPOSE for t in table.turns)


def _lesson(table: Environment, agent: str) -> Iterator[Lesson]:
    turns = chat(table.observe(agent))[:-1]  # the last user turn would ask for one more reply
    if len(turns) > 1:
        yield Lesson(table.scenario.world, tuple(turns))
