"""Scenarios to learn from: drawn by the worlds' own generators, with everything varied that can be.

Whatever a reader could learn by heart is varied: kinds of items, names, counts, totals, deadlines, sizes
of groups, briefs, who speaks first. Left out on purpose: every item scenario that is worth 10 points to
both (`HELD_OUT`), so that the published Deal-or-No-Deal scenarios are unseen by construction, and all
scenarios with fixed contents that ship.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ...environments import ProtocolChoice, Scenario
from ...environments.worlds import WORLDS
from ...environments.worlds.item_division import ItemGenerator, ItemRole, ItemScenario

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


def _price(rng: random.Random) -> dict[str, Any]:
    seller, buyer = ("seller", "buyer") if rng.random() < 0.4 else _pair(rng)
    return {
        "items": GOODS,
        "tick": rng.choice((1, 1, 1, 5, 10)),
        "listed": rng.random() < 0.6,
        "seats": (seller, buyer),
        "deadline": _deadline(rng),
    }


def _tasks(rng: random.Random) -> dict[str, Any]:
    manager = "manager" if rng.random() < 0.5 else rng.choice(NAMES)
    return {"names": TASKS, "people": NAMES, "manager": manager}


def _issues(rng: random.Random) -> dict[str, Any]:
    parties = rng.choice((2, 2, 2, 3, 4))
    return {
        "parties": (parties, parties),
        "issues": (1, 5),
        "options": (2, rng.choice((2, 3, 3, 4, 5))),
        "conflict": rng.choice((0.5, 0.8, 1.0)),
        "threshold": rng.choice(((0, 30), (20, 45))),
        "spare": rng.randint(0, 1) if parties > 2 else 0,
        "vetoes": rng.randint(0, 1) if parties > 2 else 0,
        "talk": rng.random() < 0.8,
    }


def _friends(rng: random.Random) -> dict[str, Any]:
    most = rng.choice((4, 6, 8, 12))
    attributes = rng.choice((2, 3, 3, 3, 4))
    return {
        "rows": (3, most),
        "attributes": (attributes, attributes),
        "seats": _pair(rng),
        "deadline": rng.choice((16, 20, 24, 24, 24)),
    }


def _desk(rng: random.Random) -> dict[str, Any]:
    return {"refused": rng.choice((0.0, 0.25, 0.5)), "unknown": rng.choice((0.2, 0.4))}


def _lesson(rng: random.Random) -> dict[str, Any]:
    return {"skills": (2, 5), "time": rng.choice(((10, 16), (14, 20)))}


def _auction(rng: random.Random) -> dict[str, Any]:
    sealed = rng.random() < 0.6
    return {
        "auctions": ("first_price", "second_price") if sealed else ("english", "dutch"),
        "bidders": (2, 5),
        # Calls go up or down by the tick: small ticks make very long auctions.
        "tick": rng.choice((1, 1, 5, 10)) if sealed else rng.choice((5, 10, 10)),
        "common": rng.choice((0, 0.25, 1)),
        "people": NAMES,
    }


def _commons(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.5:
        return {"agents": (2, 4), "rounds": (3, 6), "people": NAMES}
    return {  # a grid: what is not used is lost, demands jump
        "resource": "megawatts", "agents": (2, 4), "rounds": (3, 6), "capacity": (50, 90),
        "growth": (0, 0), "inflow": (35, 55), "collapse": 0, "greed": 2, "demand": (0.4, 1.0),
        "shock": 0.25, "shortage": "blackout", "people": NAMES,
    }  # fmt: skip


def _matrix(rng: random.Random) -> dict[str, Any]:
    games = {"games": ("random",)} if rng.random() < 0.3 else {}
    return {"rounds": (1, 6), "seats": _pair(rng), **games}


def _hidden(rng: random.Random) -> dict[str, Any]:
    return {"agents": (3, 5), "aware": rng.choice((0.5, 1.0)), "judge": 0.2, "people": NAMES}


def _crossing(rng: random.Random) -> dict[str, Any]:
    return {"cars": (2, rng.choice((2, 3, 3))), "sight": rng.choice((1, 2, 2, 3))}


def _rescue(rng: random.Random) -> dict[str, Any]:
    return {
        "width": rng.randint(4, 8),
        "height": rng.randint(4, 7),
        "walls": rng.choice((0.1, 0.25, 0.25)),
        "seats": ("drone", "rover") if rng.random() < 0.6 else _pair(rng),
    }


PARAMETERS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "price_bargaining": _price,
    "task_allocation": _tasks,
    "multi_issue": _issues,
    "mutual_friends": _friends,
    "support_desk": _desk,
    "lesson": _lesson,
    "auction_house": _auction,
    "commons": _commons,
    "matrix_game": _matrix,
    "hidden_role": _hidden,
    "crossing": _crossing,
    "rescue": _rescue,
}
"""World -> parameters for its generator; item division is drawn by `_items`."""


def draw(world: str, rng: random.Random) -> Scenario:
    """A training scenario of this world. Raises `KeyError` for a world without a recipe."""
    scenario = (
        _items(rng) if world == "item_division" else _drawn(world, PARAMETERS[world](rng), rng)
    )
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


def _drawn(world: str, parameters: dict[str, Any], rng: random.Random) -> Scenario:
    generator: Any = WORLDS[world].Generator(**parameters)
    return generator.draw(rng)
