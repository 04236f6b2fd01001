"""Players of the adventure: look around, tell what helps the other, bring what it needs, pull together.

What a player knows is gathered anew at every turn from its papers, from what the world has shown it and
from the other's sentences, which both pick from one list (`SAYINGS`) and so understand. It does the first
of its errands that it can: pull, give, unlock, meet at a hatch, fetch, explore, stand by its lever. The
oracle follows the shortest joint plan from wherever they are. Left out: guesses about what nobody has told.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, cast

from ...protocols import WORLD, Act, Observation, Reply
from .bargaining import field

SAYINGS = {
    "bring": ("I bring the {what} to the hatch in the {room}.",
              "The {what} is for you, at the hatch in the {room}.",
              "Meet me at the hatch in the {room}, I have the {what}."),
    "need": ("I need the {what}.", "Can you find me the {what}?", "I cannot go on without the {what}."),
    # Before "lies", which it would pass for.
    "takes": ("The {what} is in the {room} and takes the {tool}.",
              "Pull the {what} in the {room} with the {tool}."),
    "lies": ("The {what} is in the {room}.", "You find the {what} in the {room}."),
    "am": ("I am in the {room}.", "Here I am, in the {room}."),
    "ready": ("I am at the {what}, ready.", "My hand is on the {what}.", "Let us pull: I have the {what}."),
}  # fmt: skip
"""Kind of fact -> ways to say it."""
GAPS = {
    "bring": ("what", "room"), "need": ("what",), "takes": ("what", "room", "tool"),
    "lies": ("what", "room"), "am": ("room",), "ready": ("what",),
}  # fmt: skip
PATTERNS = [
    (kind, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[\\w' ]+)", re.escape(saying))))
    for kind, sayings in SAYINGS.items()
    for saying in sayings
]
Fact = tuple[str, ...]
"""Kind, then what fills its gaps, in the order of `GAPS`."""


def heard(text: str) -> list[Fact]:
    """The facts in somebody's words: of each sentence the first saying that it is."""
    found: list[Fact] = []
    for sentence in re.split(r"(?<=[.?!])\s+", text):
        for kind, pattern in PATTERNS:
            match = pattern.fullmatch(sentence)
            if match is not None:
                found.append((kind, *(match[gap] for gap in GAPS[kind])))
                break
    return found


def worded(fact: Fact, rng: random.Random) -> str:
    """A fact as a sentence."""
    kind, *gaps = fact
    return rng.choice(SAYINGS[kind]).format(**dict(zip(GAPS[kind], gaps, strict=True)))


class Errand(NamedTuple):
    """What to do now, and what to say about it."""

    do: str
    what: str = ""
    facts: tuple[Fact, ...] = ()


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Explores, tells what it sees and needs, brings what the other needs, pulls when both are ready."""
    known = Known(observation)
    errand = known.errand(observation.may(Act.INFORM))
    if not observation.may(Act.INFORM):
        return Reply.said(Act.REQUEST, _content(errand.do, errand.what), None, "")
    lever = known.lever_at_hand()
    ready = lever is not None and errand.do in ("wait", "pull")
    facts = [*errand.facts, *known.news()]
    if lever is not None and ready:
        facts.insert(0, ("ready", lever))
    words = ""
    for fact in facts:
        said = worded(fact, rng)
        if len(words) + len(said) < observation.max_text:
            words = f"{words} {said}".strip()
    return Reply.said(
        Act.INFORM, _content("pull", lever) if lever is not None and ready else None, None, words
    )


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Does its part of the shortest joint plan from here, says so, and tells what the sensible one tells."""
    if observation.hidden is None:
        raise ValueError("the oracle needs sees_all: it must be shown the hidden state")
    deed = dict(observation.hidden["deeds"][observation.agent])
    if observation.may(Act.INFORM):
        return Reply.said(Act.INFORM, deed, None, sensible(observation, rng).text)
    return Reply.said(Act.REQUEST, deed, None, "")


PLAYERS: dict[str, Callable[[Observation, random.Random], Reply]] = {
    "sensible": sensible,
    "oracle": oracle,
}


def _content(do: str, what: str) -> dict[str, str]:
    return {"do": do, "what": what} if what else {"do": do}


def _fields(content: Any) -> dict[str, Any]:
    """What the world told, whether or not it is typed."""
    return cast(dict[str, Any], content) if isinstance(content, dict) else content.model_dump()


class Known:
    """What a player has seen, read and been told, in the order in which it came."""

    def __init__(self, observation: Observation) -> None:
        self.public, me = observation.public, observation.agent
        self._first = observation.agents[0] == me
        self.ways: dict[str, dict[str, Mapping[str, Any]]] = {}
        """Room -> way -> where it leads."""
        self.things: dict[str, str] = {}
        """Thing -> room in which it lies, as far as known."""
        self.levers: dict[str, tuple[str, str]] = {}
        """Lever -> room, and what it takes."""
        self.opened = {""}
        """Colours of locks, and none."""
        self.seen: set[str] = set()
        self.theirs: set[str] = set()
        """Rooms of the other's part."""
        self.asked: set[str] = set()
        self.bring: tuple[str, str] | None = None
        """What the other brings, and the room on its side of the hatch."""
        self.said: set[Fact] = set()
        self.ready = self.announced = False
        self.turn = 0
        self.silent = all(m.act is not Act.INFORM or m.sender == WORLD for m in observation.heard)
        private = observation.private
        for room, ways in private.get("map", {}).items():
            self.ways[room] = dict(ways)
        notes = private.get("notes", {"things": {}, "levers": {}})
        self.things.update(notes["things"])
        self.levers.update(
            (n, (lever["room"], lever["takes"])) for n, lever in notes["levers"].items()
        )
        self._look(private["sees"])
        for message in observation.heard:
            if message.sender == WORLD:
                self.turn = field(message.content, "turn")
                self._look(_fields(message.content))
            elif message.sender == me:
                self.said.update(heard(message.text))
                pulls = message.content is not None and field(message.content, "do") == "pull"
                self.announced = pulls if message.act is Act.INFORM else self.announced
            else:
                self._listen(message.text, message.content)
        # A hatch leads to the other's part, and so do the doors behind it.
        self.part = self._joined({self.room})
        self.theirs = self._joined(self.theirs | set(self._hatches().values())) - self.part

    def _look(self, view: Mapping[str, Any]) -> None:
        self.room: str = view["room"]
        self.seen.add(self.room)
        self.ways[self.room] = dict(view["ways"])
        self.opened |= {d["lock"] for d in view["ways"].values() if d.get("open")}
        self.holds: list[str] = list(view.get("holds", ()))
        self.other: Mapping[str, Any] | None = view.get("other")
        gone = {*self.holds, *(self.other["holds"] if self.other else ())}
        self.things = {
            t: r for t, r in self.things.items() if r != self.room and t not in gone
        } | dict.fromkeys(view.get("things", ()), self.room)
        levers = view.get("levers", {})
        self.stuck = {name for name, lever in levers.items() if lever["stuck"]}
        for name, lever in levers.items():
            self.levers[name] = self.room, lever["takes"]

    def _listen(self, text: str, content: Any) -> None:
        """The other's words; what it means to bring holds until it says something else."""
        self.ready = content is not None and field(content, "do") == "pull"
        self.bring = None
        for kind, *gaps in heard(text):
            match kind, gaps:
                case "bring", [what, room]:
                    self.bring = what, room
                case "need", [what]:
                    self.asked.add(what)
                case "am", [room]:
                    self.theirs.add(room)
                case "takes", [what, room, tool] if what in self.public["levers"]:
                    self.levers[what] = room, tool
                case "lies", [what, room] if what in self.public["levers"]:
                    self.levers[what] = room, ""
                case "lies", [what, room] if what not in self.holds and room not in self.seen:
                    self.things[what] = room
                case _:
                    pass

    def _joined(self, rooms: Collection[str]) -> set[str]:
        """All rooms known to be joined to these by doors, locked or not."""
        found, waiting = set(rooms), list(rooms)
        while waiting:
            for door in self.ways.get(waiting.pop(), {}).values():
                if not door.get("hatch") and door["to"] not in found:
                    found.add(door["to"])
                    waiting.append(door["to"])
        return found

    def _way(self, goals: Collection[str]) -> tuple[str, list[str]] | None:
        """The nearest of these rooms that can be walked to now, and the way there."""
        waiting = deque([(self.room, list[str]())])
        reached = {self.room}
        while waiting:
            room, way = waiting.popleft()
            if room in goals:
                return room, way
            for step, door in self.ways.get(room, {}).items():
                shut = door.get("hatch") or (door.get("lock", "") not in self.opened)
                if not shut and door["to"] not in reached:
                    reached.add(door["to"])
                    waiting.append((door["to"], [*way, step]))
        return None

    def _uses(self, thing: str) -> set[str]:
        """Rooms in which it is of use, as far as known."""
        lock = thing.removesuffix(" key")
        rooms = {room for room, takes in self.levers.values() if takes == thing}
        if thing != lock and lock not in self.opened:
            rooms |= {
                r for r, ways in self.ways.items() if lock in (d.get("lock") for d in ways.values())
            }
        return rooms

    def _for(self, thing: str) -> str:
        """Who has a use for it: `me`, `other`, `` (nobody known)."""
        rooms = self._uses(thing)
        if rooms & self.part:
            return "me"
        return "other" if thing in self.asked or rooms & self.theirs else ""

    def mine(self) -> str | None:
        """The lever that is this player's to pull; None while it knows of none."""
        names = [
            n for n in self.public["levers"] if n in self.levers and self.levers[n][0] in self.part
        ]
        held = [n for n in names if self.levers[n][1] in self.holds]
        return (held or (names if self._first else names[::-1]) or [None])[0]

    def lever_at_hand(self) -> str | None:
        """The lever that this player could pull now."""
        name = self.mine()
        if name is None or name in self.stuck:
            return None
        room, takes = self.levers[name]
        return name if room == self.room and (not takes or takes in self.holds) else None

    def lacks(self) -> list[str]:
        """What this player needs and does not have: for its locks and its lever."""
        locks = {
            d.get("lock", "") for r in self.part for d in self.ways.get(r, {}).values()
        } - self.opened
        name = self.mine()
        tool = [self.levers[name][1]] if name is not None and self.levers[name][1] else []
        return [
            t for t in [*(f"{lock} key" for lock in sorted(locks)), *tool] if t not in self.holds
        ]

    def news(self) -> list[Fact]:
        """What may help the other and was not said: needs, where its things and its lever are, the place."""
        facts: list[Fact] = [
            ("need", t) for t in self.lacks() if self.things.get(t) not in self.part
        ]
        for name, (room, takes) in self.levers.items():
            if room not in self.part:
                facts.append(("takes", name, room, takes) if takes else ("lies", name, room))
        facts += [
            ("lies", thing, room)
            for thing, room in self.things.items()
            if room not in self.part and (thing.endswith(" key") or self._uses(thing))
        ]
        facts.append(("am", self.room))
        return [fact for fact in facts if fact not in self.said]

    def errand(self, talking: bool) -> Errand:
        """The first thing that can be done; it pulls when both have said in this round that they would."""
        lever = self.lever_at_hand()
        gifts = [t for t in self.holds if self._for(t) == "other"]
        # Where nobody ever talks, both go by the clock.
        blind = self.silent and not gifts and self.turn % (self.public["jam"] + 1) == 0
        if lever is not None and (blind or (self.ready and (talking or self.announced))):
            return Errand("pull", lever)
        for step in (self._give, self._unlock, self._meet, self._fetch, self._explore, self._stand):
            errand = step(gifts)
            if errand is not None:
                return errand
        return self._walk(self._unseen()) or Errand("wait")

    def _give(self, gifts: list[str]) -> Errand | None:
        if self.other is None:
            return None
        room = len(self.other["holds"]) < self.public["hands"]
        if gifts and room:
            return Errand("give", gifts[0], (("bring", gifts[0], self.room),))
        if self.bring is None:
            return None
        if len(self.holds) < self.public["hands"]:
            return Errand("wait")
        spare = next((t for t in self.holds if not self._for(t)), self.holds[-1])
        return None if self._first and gifts else Errand("drop", spare)

    def _unlock(self, gifts: list[str]) -> Errand | None:
        for way, door in self.ways[self.room].items():
            if door.get("lock", "") not in self.opened and f"{door['lock']} key" in self.holds:
                return Errand("unlock", way)
        return self._walk(
            r for t in self.holds if t.endswith(" key") for r in self._uses(t) if r in self.part
        )

    def _meet(self, gifts: list[str]) -> Errand | None:
        """At a hatch, to give or to be given something."""
        hatches = self._hatches()
        if self.bring is not None and not (gifts and self._first):
            hatches = {r: to for r, to in hatches.items() if to == self.bring[1]} or hatches
        elif not gifts:
            return None
        found = self._way(hatches)
        if found is None:
            return self._walk(self._unseen())
        facts = (("bring", gifts[0], found[0]),) if gifts else ()
        return Errand("go", found[1][0], facts) if found[1] else Errand("wait", "", facts)

    def _fetch(self, gifts: list[str]) -> Errand | None:
        """What somebody has a use for; a key that fits nothing known is for somebody."""
        worth = {
            t: r
            for t, r in self.things.items()
            if r in self.part and (self._for(t) or (t.endswith(" key") and r in self.seen))
        }
        if len(self.holds) >= self.public["hands"]:
            # Room for what can be used at once, by putting down what cannot.
            now = {t: r for t, r in worth.items() if self._usable(t)}
            spare = [t for t in self.holds if not self._usable(t)]
            if not spare or self._way(now.values()) is None:
                return None
            return self._walk(now.values()) or Errand("drop", spare[0])
        here = [t for t, r in worth.items() if r == self.room]
        return Errand("take", here[0]) if here else self._walk(worth.values())

    def _usable(self, thing: str) -> bool:
        """Whether the way to where it is of use is open."""
        if self._for(thing) == "me":
            return self._way(self._uses(thing) & self.part) is not None
        return self._for(thing) == "other" and self._way(self._hatches()) is not None

    def _hatches(self) -> dict[str, str]:
        """Room on this side of a hatch -> room on the other's."""
        return {
            room: door["to"]
            for room in self.part
            for door in self.ways.get(room, {}).values()
            if door.get("hatch")
        }

    def _explore(self, gifts: list[str]) -> Errand | None:
        """Where something that is needed may be: unless all of it is on its way or in the other's part."""
        missing = [
            t
            for t in {*self.lacks(), *self.asked}
            if t not in self.holds and self.things.get(t) not in self.theirs
        ]
        return self._walk(self._unseen()) if missing or self.mine() is None else None

    def _stand(self, gifts: list[str]) -> Errand | None:
        name = self.mine()
        if name is None or self.room == self.levers[name][0]:
            return None if name is None else Errand("wait")
        return self._walk([self.levers[name][0]])

    def _unseen(self) -> list[str]:
        return [room for room in self.part if room not in self.seen]

    def _walk(self, rooms: Iterable[str]) -> Errand | None:
        """One step to the nearest of these rooms; None where none can be reached, or one is here."""
        found = self._way(set(rooms))
        return Errand("go", found[1][0]) if found and found[1] else None
