"""Adventures drawn at random: two parts of one place, trees of rooms with a hatch between them.

Every drawn one can be solved, and needs both: each of the things that open a door or work a lever is
needed, as many as asked for lie where only the other can use them, and without giving anything the goal
is out of reach.
"""

from __future__ import annotations

import random
from typing import Any, Literal, NamedTuple, Self, cast

from pydantic import BaseModel, Field, model_validator

from ...protocols import MootError
from ..scenario import STRICT
from .adventure_rules import NONE, House, Stand, shortest, solvable
from .adventure_scenario import WAYS, AdventureRole, AdventureScenario, Door, Lever, Room
from .rounds import joint_action

Who = Literal["first", "second", "both", "nobody"]
Cell = tuple[int, int]


class Setting(NamedTuple):
    """The words of one kind of place."""

    brief: str
    rooms: dict[str, str]
    """Name -> looks."""
    levers: tuple[str, ...]
    tools: tuple[str, ...]
    """What a lever may take."""
    clutter: tuple[str, ...]


SETTINGS = {
    "house": Setting(
        "A storm has shut both of you in an old house. The front door opens from inside, by two.",
        {
            "hall": "high and dark, with a stopped clock", "pantry": "lined with dusty jars",
            "scullery": "smelling of wet stone", "library": "full of swollen books",
            "attic": "with rain on the slates", "cellar": "cold, with a floor of earth",
            "nursery": "where a rocking horse stares", "parlour": "under white dust sheets",
            "laundry": "strung with bare lines", "study": "with a desk too big for its door",
            "music room": "with a harp that lacks strings", "greenhouse": "overgrown with vines",
            "boot room": "hung with stiff coats", "gallery": "of faces in gilt frames",
        },
        ("bell rope", "iron lever", "brass handle", "oak crank"),
        ("leather glove", "boat hook", "spanner", "oil can"),
        ("teapot", "tin soldier", "candle end", "umbrella", "jam jar", "feather"),
    ),
    "cave": Setting(
        "A fall of rock has cut off two cavers from each other and from the way out: a gate of the old mine.",
        {
            "dripping vault": "where every sound comes back", "crystal grotto": "white and sharp",
            "bat gallery": "with a ceiling that stirs", "ore store": "stacked with broken crates",
            "flooded shaft": "black water without a bottom", "fossil hall": "walled with shells",
            "tool niche": "with hooks in the rock", "cart turn": "where rusty rails end",
            "low crawl": "barely knee high", "echo chamber": "round as a bell",
            "blue pool": "lit from below", "timber room": "held up by old props",
            "powder store": "dry and lined with zinc", "wind hole": "with a draught from nowhere",
        },
        ("chain", "brake lever", "sluice wheel", "signal wire"),
        ("pulley", "crowbar", "miner's glove", "grease tin"),
        ("cracked lamp", "clay pipe", "lump of quartz", "lunch tin", "frayed rope", "boot"),
    ),
    "ship": Setting(
        "Two are left on a steamer that is going down. The boat is let go from two places at once.",
        {
            "galley": "with pots on the floor", "chart room": "papered with seas",
            "boiler room": "still warm", "hold": "stacked with tea chests",
            "wheelhouse": "where the wheel turns by itself", "saloon": "with tilting mirrors",
            "radio room": "that crackles softly", "engine room": "knee deep in oil",
            "cabin": "with a made bed", "mess": "with benches bolted down",
            "paint locker": "sharp with turpentine", "chain locker": "clanking at every wave",
            "mail room": "with sacks that float", "sick bay": "smelling of iodine",
        },
        ("davit crank", "release handle", "brass valve", "steam whistle cord"),
        ("marlinspike", "wrench", "fire axe", "boat key handle"),
        ("tin mug", "deck of cards", "wet flag", "biscuit box", "cork ring", "captain's hat"),
    ),
    "abbey": Setting(
        "Two pilgrims slept in different wings of a ruined abbey, and the gates fell shut at night.",
        {
            "refectory": "with one long table", "chapel": "open to the sky", "crypt": "dry and narrow",
            "cloister": "around a dead fountain", "scriptorium": "with ink frozen in its wells",
            "bell loft": "where pigeons sleep", "infirmary": "with six stone beds",
            "brewhouse": "still sweet with malt", "herb garden": "gone to thyme",
            "dormitory": "of empty cells", "gatehouse": "with arrow slits", "vestry": "hung with rags",
            "kiln room": "black with soot", "fish pond": "thick with reeds",
        },
        ("bell chain", "gate winch", "stone wheel", "iron ring"),
        ("winch handle", "wooden wedge", "iron hook", "tallow pot"),
        ("rosary", "pewter plate", "broken quill", "wax seal", "sandal", "hymn book"),
    ),
}  # fmt: skip
COLOURS = ("red", "blue", "green", "black", "white", "copper", "silver", "yellow")
TALL = 1
"""Rows of a drawn house above and below the middle one."""


class AdventureGenerator(BaseModel):
    """Two parts of a place, joined by hatches only."""

    model_config = STRICT

    rooms: int = Field(default=3, ge=2, le=7, description="Rooms of each of the two parts.")
    locks: int = Field(default=2, ge=0, le=4, description="Locked doors, each with a key.")
    tools: int = Field(default=1, ge=0, le=2, description="Levers that take a thing in hand.")
    handed: int = Field(
        default=2, ge=1, le=6, description="Keys and tools that only the other can use."
    )
    hatches: int = Field(default=1, ge=1, le=2, description="Hatches between the parts, at most.")
    clutter: int = Field(default=2, ge=0, le=6, description="Things that are of no use.")
    hands: int = Field(default=2, ge=1, le=6, description="Things that a player carries at most.")
    map_for: Who = Field(default="first", description="Who knows the map.")
    notes_for: Who = Field(default="second", description="Who knows where things and levers are.")
    least: int = Field(default=5, ge=1, description="Fewest turns of the shortest plan.")
    slack: float = Field(default=1.8, ge=1, description="Limit, as a multiple of that plan.")
    jam: int = Field(default=2, ge=0, description="Turns for which a lever pulled alone is stuck.")
    talk: int = Field(default=1, ge=0, description="Rounds of talk before each turn.")
    place: Literal["any", "house", "cave", "ship", "abbey"] = Field(
        default="any", description="What kind of place."
    )
    seats: tuple[str, str] = Field(default=("ann", "bob"), description="Names of the players.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.locks > 2 * (self.rooms - 1):
            raise ValueError(
                f"locks: got {self.locks}, but 2 times {self.rooms} rooms have {2 * (self.rooms - 1)} doors"
            )
        if self.handed > self.locks + self.tools:
            raise ValueError(
                f"handed: got {self.handed}, but there are {self.locks + self.tools} keys and tools"
            )
        if self.seats[0] == self.seats[1]:
            raise ValueError(f"seats: got {self.seats[0]!r} twice, want two names")
        return self

    def draw(self, rng: random.Random) -> AdventureScenario:
        """Raises `MootError` when 3,000 draws give none: there are too few rooms for what is asked."""
        for _ in range(3000):
            sketch = self._sketch(rng)
            house = sketch.house(self.hands)
            if needed(house):
                try:
                    plan = shortest(house)
                except ValueError:
                    continue
                if plan is not None and len(plan) >= self.least:
                    return self._dressed(rng, sketch, round(self.slack * len(plan)))
        raise MootError(
            "generate: 3,000 draws gave no adventure; raise rooms, or lower locks, handed or least"
        )

    def _sketch(self, rng: random.Random) -> Sketch:
        """A house on numbers, whether or not it can be solved: things are keys, tools, clutter."""
        west, west_doors = _grown(rng, self.rooms, (0, 0), -1)
        east, east_doors = _grown(rng, self.rooms, (1, 0), 1)
        cells = west + east
        doors = [(cells.index(a), cells.index(b)) for a, b in west_doors + east_doors]
        beside = [(a, b) for a in west for b in east if a[1] == b[1] and b[0] - a[0] == 1]
        chosen = rng.sample(beside, min(self.hatches, len(beside)))
        parts = range(self.rooms), range(self.rooms, 2 * self.rooms)
        locked = rng.sample(doors, self.locks)
        starts = rng.choice(parts[0]), rng.choice(parts[1])
        levers = [rng.choice([r for r in part if r not in starts]) for part in parts]
        worked = rng.sample((0, 1), self.tools)
        uses = [0 if door[0] in parts[0] else 1 for door in locked] + worked
        strange = set(rng.sample(range(len(uses)), self.handed))
        places = [rng.choice(parts[use ^ (i in strange)]) for i, use in enumerate(uses)]
        places += [rng.randrange(2 * self.rooms) for _ in range(self.clutter)]
        takes = [len(locked) + worked.index(i) if i in worked else NONE for i in (0, 1)]
        return Sketch(
            cells,
            doors,
            locked,
            [(cells.index(a), cells.index(b)) for a, b in chosen],
            list(zip(levers, takes, strict=True)),
            starts,
            places,
        )

    def _dressed(self, rng: random.Random, sketch: Sketch, limit: int) -> AdventureScenario:
        """With names and looks."""
        place = rng.choice(sorted(SETTINGS)) if self.place == "any" else self.place
        setting = SETTINGS[place]
        names = rng.sample(sorted(setting.rooms), len(sketch.cells))
        colours = rng.sample(COLOURS, len(sketch.locked))
        tools, levers = rng.sample(setting.tools, self.tools), rng.sample(setting.levers, 2)
        clutter = rng.sample(setting.clutter, self.clutter)
        things = [*(f"{colour} key" for colour in colours), *tools, *clutter]
        x, y = (min(cell[i] for cell in sketch.cells) for i in (0, 1))
        doors = [
            Door(
                between=(names[a], names[b]),
                lock=colours[sketch.locked.index((a, b))] if (a, b) in sketch.locked else "",
            )
            for a, b in sketch.doors
        ]
        doors += [Door(between=(names[a], names[b]), hatch=True) for a, b in sketch.hatches]
        lying = list(zip(things, sketch.places, strict=True))
        rng.shuffle(lying)
        knows = [
            tuple(
                what
                for what, who in (("map", self.map_for), ("notes", self.notes_for))
                if who in (seat, "both")
            )
            for seat in ("first", "second")
        ]
        return AdventureScenario(
            name="adventure",
            protocol=joint_action(self.talk),
            brief=setting.brief,
            rooms={
                name: Room(at=(cell[0] - x, cell[1] - y), about=setting.rooms[name])
                for name, cell in zip(names, sketch.cells, strict=True)
            },
            doors=doors,
            things={thing: names[room] for thing, room in lying},
            levers={
                lever: Lever(room=names[room], takes="" if thing == NONE else things[thing])
                for lever, (room, thing) in zip(levers, sketch.levers, strict=True)
            },
            starts=(names[sketch.starts[0]], names[sketch.starts[1]]),
            hands=self.hands,
            limit=limit,
            jam=self.jam,
            roles={
                seat: AdventureRole(knows=cast(Any, known))
                for seat, known in zip(self.seats, knows, strict=True)
            },
        )


def needed(house: House) -> bool:
    """Whether it can be solved, but not without giving, nor without any one of its keys and tools."""
    useful = (t for t, uses in enumerate(house.wanted) if any(uses))
    return (
        solvable(house)
        and not solvable(house, give=False)
        and not any(solvable(house, without=thing) for thing in useful)
    )


class Sketch(NamedTuple):
    """A drawn house before it has words; rooms and things are numbers."""

    cells: list[Cell]
    doors: list[tuple[int, int]]
    locked: list[tuple[int, int]]
    """Those doors that want a key: the first one the first thing."""
    hatches: list[tuple[int, int]]
    levers: list[tuple[int, int]]
    starts: tuple[int, int]
    places: list[int]
    """Room of each thing."""

    def house(self, hands: int) -> House:
        """For the solver."""
        ways: list[list[tuple[int, int, int]]] = [[] for _ in self.cells]
        hatches: list[list[int]] = [[] for _ in self.cells]
        steps = list(WAYS.values())
        for door in self.doors:
            key = self.locked.index(door) if door in self.locked else NONE
            for here, there in (door, door[::-1]):
                (x, y), (u, v) = self.cells[here], self.cells[there]
                ways[here].append((steps.index((u - x, v - y)), there, key))
        for one, two in self.hatches:
            hatches[one].append(two)
            hatches[two].append(one)
        return House(
            tuple(tuple(sorted(w)) for w in ways),
            tuple(tuple(h) for h in hatches),
            tuple(self.levers),
            hands,
            Stand(self.starts, tuple(self.places)),
        )


def _grown(
    rng: random.Random, count: int, start: Cell, side: int
) -> tuple[list[Cell], list[tuple[Cell, Cell]]]:
    """So many cells from `start` to one side, and the doors of a tree between them."""
    cells, doors = [start], list[tuple[Cell, Cell]]()
    while len(cells) < count:
        x, y = rng.choice(cells)
        dx, dy = rng.choice(list(WAYS.values()))
        there = (x + dx, y + dy)
        if there not in cells and (there[0] - start[0]) * side >= 0 and abs(there[1]) <= TALL:
            cells.append(there)
            doors.append(((x, y), there))
    return cells, doors
