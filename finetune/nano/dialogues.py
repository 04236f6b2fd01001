"""Dialogues to learn to talk from: scripted agents play generated scenarios of all worlds.

Everything that a reader could learn by heart is varied: kinds of items, names, counts, totals,
deadlines, briefs, who speaks first. Left out on purpose: every item scenario that is worth 10 points to
both (`HELD_OUT`), so that the published Deal-or-No-Deal scenarios are unseen by construction.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from ...agents.pools import ScriptedPool
from ...agents.prompt import ChatTurn, chat
from ...agents.scripted.strategies import STRATEGIES
from ...environments import Environment, ProtocolChoice, Scenario, play
from ...environments.worlds.item_division import ItemGenerator, ItemRole, ItemScenario
from ...environments.worlds.price_bargaining import PriceGenerator
from ...environments.worlds.task_allocation import TaskGenerator
from ...protocols import Act, Ended, Observation, Reply

HELD_OUT = 10
"""No training scenario gives both agents this total: that is the space of Lewis et al. 2017."""

KINDS = (
    "book", "hat", "ball", "food", "water", "firewood", "apple", "pear", "coin", "lamp", "rope", "map",
    "knife", "blanket", "candle", "shell", "stone", "stamp", "card", "cup", "plate", "spoon", "pen",
    "brush", "tile", "bell", "ring", "mask", "kite", "drum", "flute", "seed", "egg", "fish", "bread",
    "cheese", "salt", "tea", "honey", "wool", "silk", "wood", "iron", "gold", "silver", "glass", "clay",
    "box", "bag", "key", "tent", "torch",
)  # fmt: skip
FAMILIAR = (("book", "hat", "ball"), ("food", "water", "firewood"))
"""Sets of kinds that people's own data uses; every second scenario of three kinds has one of them."""
NAMES = (
    "ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "leo", "mia", "ned",
    "olga", "pia", "quinn", "rosa", "sam", "tara", "uma", "vic", "wen", "xena", "yuri", "zoe", "alice",
    "carol", "dave", "first", "second", "left", "right", "north", "south", "buyer", "seller", "agent",
)  # fmt: skip
PAIRS = (("A", "B"), ("ann", "bob"), ("alice", "bob"), ("X", "Y"), ("P", "Q"))
GOODS = (
    "bicycle", "desk", "guitar", "sofa", "camera", "lamp", "bookshelf", "record player", "tent", "boat",
    "sewing machine", "washing machine", "armchair", "telescope", "monitor", "rug", "kayak", "piano",
    "old clock", "red car", "garden table", "winter coat", "phone", "laptop", "printer", "scooter",
)  # fmt: skip
TASKS = (
    "paint", "wire", "plumb", "tile", "roof", "glaze", "plaster", "insulate", "fence", "pave", "dig",
    "weld", "clean", "haul", "sand", "varnish", "cook", "drive", "print", "scan", "sort", "pack", "mow",
    "plant", "water", "test", "review", "deploy", "translate", "survey", "inspect", "deliver",
)  # fmt: skip
BRIEFS = (
    "You clear out an attic together.", "You share what the storm washed ashore.",
    "Two campers divide the last packages before they leave.", "You split a prize that you won together.",
    "You empty an old shop.", "An aunt left these things to you both.", "You trade at a small market.",
    "You pack for a long walk.", "The club is closing and its things must go.", "Be fair and be quick.",
    "You have met before and hope to meet again.", "You are strangers on a ferry.",
)  # fmt: skip
OWN_BRIEFS = (
    "Your family is large.", "You travel light.", "You are in a hurry.", "You like to help.",
    "You are new here.", "You promised your sister a present.", "It was a cold night.",
    "You keep what you get.", "You have a long way home.", "Your friend waits outside.",
)  # fmt: skip


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
    words, and to the sides that made an offer: most decisions for the time. Episodes without an
    agreement teach nothing and are left out, as are item divisions that leave both something to gain.
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
        if table.ended is Ended.AGREED and _worthy(table):
            for agent in table.agents:
                # To agree is soon learned: more room for those who had to find the deal.
                taught = cast[table.episode_id, agent] in TEACHERS
                if taught and (_proposed(table, agent) or (not drill and rng.random() < 0.4)):
                    found.extend(_lesson(table, agent))
    return found


TEACHERS = ("open", "manager", "honest")
"""Scripted agents whose words are learned."""
OPPONENTS = ("conceder", "linear", "boulware", "random")
"""Scripted agents that one side of every eighth bargaining faces; theirs are not."""


class _Cast:
    """Each seat of each episode answers by its own scripted agent."""

    def __init__(self, names: Mapping[tuple[int, str], str], words: bool) -> None:
        self._names = names
        self._agents = {name: STRATEGIES[name](words=words) for name in set(names.values())}

    def reply(self, observation: Observation) -> Reply:
        name = self._names[observation.key.episode, observation.agent]
        return self._agents[name].reply(observation)


def _seated(table: Environment, rng: random.Random) -> dict[str, str]:
    if table.scenario.world == "task_allocation":
        return {a: "manager" if r == "manager" else "honest" for a, r in table.roles.items()}
    seats = dict.fromkeys(table.agents, "open")
    if rng.random() < 0.12:
        seats[rng.choice(table.agents)] = rng.choice(OPPONENTS)
    return seats


def _worthy(table: Environment) -> bool:
    if table.scenario.world != "item_division":
        return True
    utilities = table.world.outcome(Ended.AGREED).utilities
    return table.world.solve(table.scenario).efficient(tuple(utilities.values()))


def _proposed(table: Environment, agent: str) -> bool:
    return any(t.agent == agent and t.message and t.message.act is Act.PROPOSE for t in table.turns)


def _lesson(table: Environment, agent: str) -> Iterator[Lesson]:
    turns = chat(table.observe(agent))[:-1]  # the last user turn would ask for one more reply
    if len(turns) > 1:
        yield Lesson(table.scenario.world, tuple(turns))


def draw(world: str, rng: random.Random) -> Scenario:
    """A training scenario of this world. Raises `KeyError` for a world without a recipe."""
    scenario = {
        "item_division": _items,
        "price_bargaining": _price,
        "task_allocation": _tasks,
    }[world](rng)
    changes: dict[str, object] = {}
    if rng.random() < 0.4:
        changes["brief"] = rng.choice(BRIEFS)
    if rng.random() < 0.4:
        changes["roles"] = {
            name: role.model_copy(update={"brief": rng.choice(OWN_BRIEFS)})
            if rng.random() < 0.7
            else role
            for name, role in scenario.roles.items()
        }
    return scenario.model_copy(update=changes)


def _pair(rng: random.Random) -> tuple[str, str]:
    one, two = rng.choice(PAIRS) if rng.random() < 0.4 else rng.sample(NAMES, 2)
    return (one, two) if rng.random() < 0.5 else (two, one)


def _deadline(rng: random.Random) -> int:
    return rng.choice((6, 7, 8, 9, 10, 10, 10, 11, 12, 12, 14, 16, 20))


def _kinds(rng: random.Random, count: int) -> tuple[str, ...]:
    if count == 3 and rng.random() < 0.5:
        names = list(rng.choice(FAMILIAR))
        if rng.random() < 0.3:
            rng.shuffle(names)
        return tuple(names)
    return tuple(rng.sample(KINDS, count))


def _items(rng: random.Random) -> ItemScenario:
    """Half by the rules of Lewis et al. with other totals, half with free counts and values."""
    seats, deadline = _pair(rng), _deadline(rng)
    count = rng.choice((2, 3, 3, 3, 3, 4))
    while True:
        kinds = _kinds(rng, count)
        if rng.random() < 0.5:
            total = rng.choice((7, 8, 9, 11, 12, 13))
            most = rng.choice((6, 7, 8))
            scenario = _generator(count, total, most).draw(rng)
            counts = tuple(scenario.items.values())
            values = [tuple(r.values.values()) for r in scenario.roles.values()]
            none = 0.0
        else:
            top = rng.choice((5, 6, 8, 9, 10))
            equal = rng.random() < 0.2
            counts = (rng.randint(1, 4),) * count if equal else _some(rng, count, 1, 4)
            values = [_some(rng, count, 0, top) for _ in seats]
            none = rng.choice((0.0, 0.0, 0.0, 1.0, 2.0, 5.0))
        worth = [sum(v * n for v, n in zip(vs, counts, strict=True)) for vs in values]
        if min(worth) > none and worth != [HELD_OUT, HELD_OUT]:
            break
    return ItemScenario(
        name="item_division",
        protocol=ProtocolChoice(name="alternating_offers", deadline=deadline),  # pyright: ignore[reportCallIssue]
        items=dict(zip(kinds, counts, strict=True)),
        roles={
            seat: ItemRole(values=dict(zip(kinds, vs, strict=True)), no_deal=none)
            for seat, vs in zip(seats, values, strict=True)
        },
    )


def _some(rng: random.Random, count: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(rng.randint(low, high) for _ in range(count))


@lru_cache
def _generator(count: int, total: int, most: int) -> ItemGenerator:
    return ItemGenerator(items=KINDS[:count], total=total, fewest=count + 1, most=most)


def _price(rng: random.Random) -> Scenario:
    seller, buyer = ("seller", "buyer") if rng.random() < 0.4 else _pair(rng)
    return PriceGenerator(
        items=GOODS,
        tick=rng.choice((1, 1, 1, 5, 10)),
        listed=rng.random() < 0.6,
        seats=(seller, buyer),
        deadline=_deadline(rng),
    ).draw(rng)


def _tasks(rng: random.Random) -> Scenario:
    manager = "manager" if rng.random() < 0.5 else rng.choice(NAMES)
    return TaskGenerator(names=TASKS, people=NAMES, manager=manager).draw(rng)
