"""What a player of an adventure sees and is told, as data and in words that hold the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .adventure_rules import HANDS, USED, Both, House, Stand, after
from .adventure_scenario import DIRECTIONS, AdventureScenario

View = Mapping[str, Any]


class Eyes:
    """Looks at one house for both players."""

    def __init__(self, scenario: AdventureScenario, house: House) -> None:
        self.scenario, self._house = scenario, house
        self.seats, self.rooms = tuple(scenario.roles), tuple(scenario.rooms)
        self.things, self.levers = tuple(scenario.things), tuple(scenario.levers)
        self._exits = list(scenario.chart().values())

    def view(self, seat: int, stand: Stand, stuck: Iterable[int]) -> dict[str, Any]:
        """The room, what is in it, the hands, and the other player where it is in sight; what is empty is
        left out."""
        at, places = stand.at[seat], stand.places
        levers = {
            name: {"takes": lever.takes, "stuck": turns}
            for (name, lever), turns in zip(self.scenario.levers.items(), stuck, strict=True)
            if lever.room == self.rooms[at]
        }
        seen: dict[str, Any] = {"room": self.rooms[at], "ways": self._ways(at, places)}
        more = {
            "things": self._where(places, at),
            "levers": levers,
            "holds": self._where(places, HANDS[seat]),
            "other": self._other(seat, stand),
        }
        return seen | {name: value for name, value in more.items() if value}

    def _where(self, places: tuple[int, ...], place: int) -> list[str]:
        return [thing for thing, p in zip(self.things, places, strict=True) if p == place]

    def _ways(self, at: int, places: tuple[int, ...]) -> dict[str, dict[str, Any]]:
        ways = {way: dict(seen) for way, seen in self._exits[at].items()}
        for seen in ways.values():
            if "lock" in seen:
                seen["open"] = places[self.things.index(f"{seen['lock']} key")] == USED
        return ways

    def _other(self, seat: int, stand: Stand) -> dict[str, Any] | None:
        """Where the other is in sight: `here`, or the way of the hatch between."""
        at, there = stand.at[seat], stand.at[1 - seat]
        holds = self._where(stand.places, HANDS[1 - seat])
        if at == there:
            return {"where": "here", "holds": holds}
        if there not in self._house.hatches[at]:
            return None
        room = self.rooms[there]
        way = next(way for way, seen in self._exits[at].items() if seen["to"] == room)
        return {"where": way, "holds": holds}

    def words(self, seat: int, view: View, looks: bool) -> str:
        """A view in words, with the looks of the room or without."""
        about = self.scenario.rooms[view["room"]].about if looks else ""
        parts = [f"You are in the {view['room']}{f', {about}' if about else ''}."]
        parts += [f"{sentence(exit_words(way, door))}." for way, door in view["ways"].items()]
        if "things" in view:
            parts.append(f"Here: {listed(view['things'])}.")
        for name, lever in view.get("levers", {}).items():
            takes = f", to be pulled with the {lever['takes']} in hand" if lever["takes"] else ""
            stuck = f"; it is stuck for {lever['stuck']} turns" if lever["stuck"] else ""
            parts.append(f"The {name} is here{takes}{stuck}.")
        parts.append(f"You carry {listed(view.get('holds', ()))}.")
        if "other" in view:
            where, name = view["other"]["where"], self.seats[1 - seat]
            place = "here" if where == "here" else f"beyond the hatch {where}"
            parts.append(f"{name} is {place}, carrying {listed(view['other']['holds'])}.")
        return " ".join(parts)

    def happened(self, seat: int, before: Stand, both: Both, stuck: bool) -> str:
        """What came of a player's deed, and what it was given."""
        do, what = both[seat]
        now = after(self._house, before, both)
        name = self.seats[1 - seat]
        if do in ("go", "unlock"):
            way = DIRECTIONS[what]
            said = f"You go {way}." if do == "go" else f"You unlock the door {way}; the key stays."
        elif do == "pull":
            lever = self.levers[what]
            said = f"You pull the {lever}, alone" + (": it is stuck now." if stuck else ".")
            if sorted(d for d, _ in both) == ["pull", "pull"] and both[0] != both[1]:
                said = (
                    f"You pull the {lever}, and in the same moment the other one moves: it is done."
                )
        elif do == "wait":
            said = "You wait."
        else:
            thing, done = self.things[what], now.places[what] != before.places[what]
            said = {
                ("take", True): f"You take the {thing}.",
                ("take", False): f"Both reach for the {thing}, and nobody gets it.",
                ("drop", True): f"You put down the {thing}.",
                ("give", True): f"You give {name} the {thing}.",
                ("give", False): f"{name} has no hand for the {thing} in that moment; you keep it.",
            }[do, done]
        other_do, gift = both[1 - seat]
        if other_do == "give" and now.places[gift] == HANDS[seat]:
            said += f" {name} gives you the {self.things[gift]}."
        return said

    def map(self) -> str:
        """All rooms and ways, in words."""
        return "; ".join(
            f"{room}: " + ", ".join(exit_words(way, door) for way, door in exits.items())
            for room, exits in self.scenario.chart().items()
        )

    def notes(self) -> str:
        """Where things are at the start, and the levers."""
        things = [f"the {thing} is in the {room}" for thing, room in self.scenario.things.items()]
        levers = [
            f"the {name} is in the {lever.room}"
            + (f" and is pulled with the {lever.takes}" if lever.takes else "")
            for name, lever in self.scenario.levers.items()
        ]
        return "; ".join((*things, *levers))


def exit_words(way: str, door: Mapping[str, Any]) -> str:
    """`east a red door, locked, to the cellar`."""
    if "hatch" in door:
        return f"{way} a hatch to the {door['to']}"
    if "lock" in door:
        shut = "" if "open" not in door else ", open," if door["open"] else ", locked,"
        article = "an" if door["lock"][0] in "aeiou" else "a"
        return f"{way} {article} {door['lock']} door{shut} to the {door['to']}"
    return f"{way} the {door['to']}"


def sentence(words: str) -> str:
    """With a capital letter."""
    return words[0].upper() + words[1:]


def listed(things: Sequence[str]) -> str:
    """`the lamp and the red key`, or `nothing`."""
    named = [f"the {thing}" for thing in things]
    if len(named) < 2:
        return "".join(named) or "nothing"
    return f"{', '.join(named[:-1])} and {named[-1]}"
