"""Houses for an adventure: rooms on a plan, doors and hatches, things, two levers, and who knows what.

Rooms lie on a plan of columns and rows, north is up; a door or a hatch is between two that are side by
side. A hatch lets things through, and nobody. A lock has a colour, and the key of that colour opens it. Left
out: floors above each other, ways that lead in one direction only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

from ..scenario import STRICT, Role, Scenario
from .adventure_rules import NONE, Both, House, Stand, shortest
from .rounds import misfit

WAYS = {"north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0)}
DIRECTIONS = tuple(WAYS)


class Room(BaseModel):
    """One room."""

    model_config = STRICT

    at: tuple[NonNegativeInt, NonNegativeInt]
    """Column and row on the plan, from 0."""
    about: str = ""
    """What it looks like, as half a sentence."""


class Door(BaseModel):
    """What joins two rooms that lie side by side."""

    model_config = STRICT

    between: tuple[str, str]
    lock: str = ""
    """Colour of the key that opens it; empty: it is open."""
    hatch: bool = False
    """Things go through, people do not."""


class Lever(BaseModel):
    """One of the two that must be pulled in the same turn."""

    model_config = STRICT

    room: str
    takes: str = ""
    """The thing that one must hold to pull it; empty: none."""


class AdventureRole(Role):
    """One player."""

    knows: tuple[Literal["map", "notes"], ...] = Field(
        default=(),
        description="`map`: all rooms, doors and hatches. `notes`: where things and levers are.",
    )


class AdventureScenario(Scenario):
    """A house, where both players start, and how many turns they have."""

    world: str = "adventure"
    rooms: Annotated[dict[str, Room], Field(min_length=2, max_length=40)] = Field(
        description="Name -> `at` (column and row on the plan) and `about` (its looks)."
    )
    doors: list[Door] = Field(
        description="`between` two rooms side by side; `lock`: a colour; `hatch`: for things only."
    )
    things: dict[str, str] = Field(description="Thing -> room; the `red key` opens the red lock.")
    levers: dict[str, Lever] = Field(
        description="Two; `room`, and the thing that one `takes` to pull it."
    )
    starts: tuple[str, str] = Field(description="Rooms of the players, in the order of the seats.")
    hands: PositiveInt = Field(default=2, description="Things that a player carries at most.")
    limit: PositiveInt = Field(description="Turns until it is too late.")
    jam: NonNegativeInt = Field(
        default=2, description="Turns for which a lever that was pulled alone is stuck."
    )
    roles: dict[str, AdventureRole] = Field(description="Two seats.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        wrong = self._flaw()
        if wrong:
            raise ValueError(wrong)
        plan = shortest(self.house())
        if plan is None:
            raise ValueError("levers: no plan of the two together pulls both in the same turn")
        if len(plan) > self.limit:
            raise ValueError(f"limit: got {self.limit}, the shortest plan takes {len(plan)} turns")
        return self

    def _flaw(self) -> str | None:
        """The first thing that does not fit; None when all does."""
        if len(self.roles) != 2:
            return f"roles: an adventure seats 2 players, got {len(self.roles)}"
        if len(self.levers) != 2:
            return f"levers: want 2, got {len(self.levers)}"
        named = [
            *(("starts", room) for room in self.starts),
            *((f"things.{thing}", room) for thing, room in self.things.items()),
            *((f"levers.{name}.room", lever.room) for name, lever in self.levers.items()),
            *((f"doors.{i}.between", room) for i, d in enumerate(self.doors) for room in d.between),
        ]
        strange = next(((where, room) for where, room in named if room not in self.rooms), None)
        if strange:
            return f"{strange[0]}: there is no room {strange[1]!r}"
        if len({room.at for room in self.rooms.values()}) < len(self.rooms):
            return "rooms: two are at the same place"
        locks = [door.lock for door in self.doors if door.lock]
        for i, door in enumerate(self.doors):
            if self._way(*door.between) is None:
                return f"doors.{i}.between: {' and '.join(door.between)} are not side by side"
            if door.hatch and door.lock:
                return f"doors.{i}.lock: a hatch has none"
            if door.lock and locks.count(door.lock) > 1:
                return f"doors.{i}.lock: there are two {door.lock} locks"
            if door.lock and f"{door.lock} key" not in self.things:
                return f"doors.{i}.lock: there is no {door.lock} key among the things"
        if len({frozenset(door.between) for door in self.doors}) < len(self.doors):
            return "doors: two are between the same rooms"
        takes = [lever.takes for lever in self.levers.values() if lever.takes]
        for thing in takes:
            if thing not in self.things:
                return f"levers: there is no {thing!r} among the things"
            if thing.removesuffix(" key") in locks:
                return f"levers: the {thing} stays in its lock; a lever takes something else"
        if len(set(takes)) < len(takes):
            return f"levers: both take the {takes[0]}, and there is one"
        return misfit(self.protocol, 2, self.limit)

    def _way(self, one: str, two: str) -> str | None:
        """The direction from one room to the other; None when they are not side by side."""
        (x, y), (u, v) = self.rooms[one].at, self.rooms[two].at
        return next((way for way, step in WAYS.items() if step == (u - x, v - y)), None)

    def house(self) -> House:
        """The same on numbers: rooms, things and levers in the order of their fields."""
        rooms, things = list(self.rooms), list(self.things)
        ways: list[list[tuple[int, int, int]]] = [[] for _ in rooms]
        hatches: list[list[int]] = [[] for _ in rooms]
        for door in self.doors:
            for here, there in (door.between, door.between[::-1]):
                to, way = rooms.index(there), DIRECTIONS.index(self._way(here, there) or "")
                if door.hatch:
                    hatches[rooms.index(here)].append(to)
                else:
                    key = things.index(f"{door.lock} key") if door.lock else NONE
                    ways[rooms.index(here)].append((way, to, key))
        return House(
            tuple(tuple(sorted(w)) for w in ways),
            tuple(tuple(h) for h in hatches),
            tuple(
                (rooms.index(lever.room), things.index(lever.takes) if lever.takes else NONE)
                for lever in self.levers.values()
            ),
            self.hands,
            Stand(
                (rooms.index(self.starts[0]), rooms.index(self.starts[1])),
                tuple(rooms.index(room) for room in self.things.values()),
            ),
        )

    def plan(self) -> tuple[Both, ...]:
        """A shortest joint plan."""
        plan = shortest(self.house())
        assert plan is not None, "checked when the scenario was made"
        return plan

    def exits(self, room: str) -> dict[str, Door]:
        """Way -> what is there, in the order of the compass."""
        found = {
            self._way(room, there) or "": door
            for door in self.doors
            for here, there in (door.between, door.between[::-1])
            if here == room
        }
        return {way: found[way] for way in WAYS if way in found}

    def chart(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The map: room -> way -> where it leads, the colour of its lock, whether it is a hatch."""
        return {
            room: {way: shown(door, room) for way, door in self.exits(room).items()}
            for room in self.rooms
        }

    def notes(self) -> dict[str, dict[str, Any]]:
        """Where things are at the start, and the levers."""
        return {
            "things": dict(self.things),
            "levers": {name: lever.model_dump() for name, lever in self.levers.items()},
        }


def shown(door: Door, room: str) -> dict[str, Any]:
    """A door as one sees it from this room; what is not so is left out."""
    one, two = door.between
    seen: dict[str, Any] = {"to": two if room == one else one}
    if door.lock:
        seen["lock"] = door.lock
    if door.hatch:
        seen["hatch"] = True
    return seen
