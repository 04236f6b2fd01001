"""The rules of an adventure on numbers, and the shortest plan that two who knew everything would follow.

Rooms, things and levers are numbers here; `adventure.py` has the words. What a player may do is judged by
how things stand before a turn, for both alike. A key stays in the lock that it opens, so nothing that
anybody does can make the goal unreachable. A lever that is stuck is the world's matter: no shortest plan
pulls one alone.

The plan is exact: A* over joint states (Hart, Nilsson and Raphael 1968, IEEE Trans. SSC 4:100-107), by
distances through doors taken for open, and by what must still be fetched, handed over and unlocked.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property, lru_cache
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import NamedTuple

NONE, USED = -1, -9
"""No thing; as a place: in its lock."""
HANDS = (-2, -3)
"""As a place: in the hands of the first, of the second player."""
MOST = 5_000
"""States that a search may come upon, a quarter of a second of work; shipped ones take some hundreds."""
Deed = tuple[str, int]
"""go and unlock: number of the way; take, drop, give: of the thing; pull: of the lever; wait: 0."""
Both = tuple[Deed, Deed]
WAIT: Deed = ("wait", 0)


class Stand(NamedTuple):
    """How things stand."""

    at: tuple[int, int]
    """Rooms of both players."""
    places: tuple[int, ...]
    """Of each thing: a room, one of `HANDS`, or `USED`."""


class _House(NamedTuple):
    ways: tuple[tuple[tuple[int, int, int], ...], ...]
    """Room -> (way, room there, key that its door wants or `NONE`), where one can walk."""
    hatches: tuple[tuple[int, ...], ...]
    """Room -> rooms to which something can be handed through a hatch."""
    levers: tuple[tuple[int, int], ...]
    """Room, and the thing in hand that it takes (or `NONE`)."""
    hands: int
    """How many things a player carries at most."""
    start: Stand


class House(_House):
    """All that is fixed; hashable, with what follows from it."""

    @cached_property
    def keys(self) -> frozenset[int]:
        """Things that open a door."""
        return frozenset(key for ways in self.ways for _, _, key in ways if key != NONE)

    @cached_property
    def far(self) -> list[list[float]]:
        """Steps from room to room, all doors open; infinite where no way leads."""
        return [_steps(self, room) for room in range(len(self.ways))]

    @cached_property
    def parts(self) -> tuple[frozenset[int], frozenset[int]]:
        """Rooms that each player could ever come to."""
        one, two = (
            frozenset(r for r, d in enumerate(self.far[at]) if d < inf) for at in self.start.at
        )
        return one, two

    @cached_property
    def apart(self) -> bool:
        """Whether the two can never be in one room."""
        return not self.parts[0] & self.parts[1]

    @cached_property
    def wanted(self) -> list[tuple[bool, bool]]:
        """Of each thing, which of the two has a use for it in its part."""
        uses: list[set[int]] = [set() for _ in self.start.places]
        for room, ways in enumerate(self.ways):
            for _, _, key in ways:
                if key != NONE:
                    uses[key].add(room)
        for room, thing in self.levers:
            if thing != NONE:
                uses[thing].add(room)
        return [(bool(rooms & self.parts[0]), bool(rooms & self.parts[1])) for rooms in uses]

    @cached_property
    def through(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Of each player, the hatches: the room on its side, the room on the other's."""
        sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = [], []
        for room, others in enumerate(self.hatches):
            for seat in (0, 1):
                sides[seat].extend((room, o) for o in others if room in self.parts[seat])
        return sides

    @cached_property
    def bridges(self) -> list[tuple[int, int, int, frozenset[int]]]:
        """Locked doors that no other way leads around: key, room before, room behind, all rooms behind."""
        found: list[tuple[int, int, int, frozenset[int]]] = []
        for room, ways in enumerate(self.ways):
            for _, there, key in ways:
                if key != NONE and room < there:
                    behind = frozenset(r for r, d in enumerate(_steps(self, there, key)) if d < inf)
                    if room not in behind:
                        found.append((key, room, there, behind))
        return found


def _steps(house: House, start: int, shut: int = USED) -> list[float]:
    """Steps to every room, all doors open but the one of a key."""
    found = [inf] * len(house.ways)
    found[start] = 0
    waiting = deque([start])
    while waiting:
        room = waiting.popleft()
        for _, there, key in house.ways[room]:
            if found[there] == inf and key != shut:
                found[there] = found[room] + 1
                waiting.append(there)
    return found


def possible(house: House, stand: Stand, seat: int) -> list[Deed]:
    """What a player may do now, as far as it can tell from where it stands."""
    at, other = stand.at[seat], stand.at[1 - seat]
    places, mine = stand.places, HANDS[seat]
    found = [WAIT]
    for way, _, key in house.ways[at]:
        if key == NONE or places[key] == USED:
            found.append(("go", way))
        elif places[key] == mine:
            found.append(("unlock", way))
    held = [t for t, place in enumerate(places) if place == mine]
    if len(held) < house.hands:
        found += [("take", t) for t, place in enumerate(places) if place == at]
    found += [("drop", t) for t in held]
    near = other == at or other in house.hatches[at]
    if held and near and places.count(HANDS[1 - seat]) < house.hands:
        found += [("give", t) for t in held]
    found += [
        ("pull", i)
        for i, (room, thing) in enumerate(house.levers)
        if room == at and (thing == NONE or places[thing] == mine)
    ]
    return found


def after(house: House, stand: Stand, both: Both) -> Stand:
    """How things stand when both have done what they may.

    What both reach for at once, neither gets; what is given to one who walks away or takes something
    in that moment stays with the giver.
    """
    at, places = list(stand.at), list(stand.places)
    for seat, (do, what) in enumerate(both):
        other = both[1 - seat]
        if do == "go":
            at[seat] = next(there for way, there, _ in house.ways[stand.at[seat]] if way == what)
        elif do == "unlock":
            places[next(key for way, _, key in house.ways[stand.at[seat]] if way == what)] = USED
        elif do == "take" and other != (do, what):
            places[what] = HANDS[seat]
        elif do == "drop":
            places[what] = stand.at[seat]
        elif do == "give" and other[0] not in ("go", "take"):
            places[what] = HANDS[1 - seat]
    return Stand((at[0], at[1]), tuple(places))


def solved(house: House, both: Both) -> bool:
    """Whether every lever is pulled in this turn."""
    return {n for do, n in both if do == "pull"} == set(range(len(house.levers)))


def solvable(house: House, without: int = NONE, give: bool = True) -> bool:
    """Whether the goal can be reached at all, without one of the things, without anything being given.

    Nothing is ever lost, so it is enough to collect what can be had and opened (a fixed point); hands
    are no bound, since things can be carried one by one.
    """
    places = house.start.places
    got = [{at} for at in house.start.at]
    has = [{t for t, p in enumerate(places) if p == hand and t != without} for hand in HANDS]
    opened = {t for t, p in enumerate(places) if p == USED} | {NONE}
    size = -1
    while size != (size := sum(map(len, (*got, *has, opened)))):
        for seat in (0, 1):
            has[seat] |= {t for t, p in enumerate(places) if p in got[seat] and t != without}
            for room in list(got[seat]):
                opened |= {key for _, _, key in house.ways[room] if key in has[seat]}
                got[seat] |= {there for _, there, key in house.ways[room] if key in opened}
        meet = got[0] & got[1] or any(there in got[1] for r in got[0] for there in house.hatches[r])
        if give and meet:
            has = [has[0] | has[1], has[0] | has[1]]
    has = [has[0] | {NONE}, has[1] | {NONE}]
    return any(
        all(
            room in got[seat] and tool in has[seat]
            for seat, (room, tool) in zip(seats, house.levers, strict=True)
        )
        for seats in ((0, 1), (1, 0))
    )


@lru_cache(maxsize=4096)
def shortest(house: House) -> tuple[Both, ...] | None:
    """A shortest joint plan; None where there is none. Raises `ValueError` where more than `MOST` states
    would have to be searched.

    Where the players never meet, nobody gains by putting something down but a free hand. So a plan
    for as many hands as there are things, and no dropping, is a bound; when two hands do as well, it
    is the answer. Else everything is searched.
    """
    if not solvable(house):
        return None
    if house.apart:
        bound = _search(house, len(house.start.places), drop=False)
        fewer = _search(house, house.hands, drop=False)
        if bound is not None and fewer is not None and len(bound) == len(fewer):
            return fewer
    return _search(house, house.hands, drop=True)


def _search(house: House, hands: int, drop: bool) -> tuple[Both, ...] | None:
    house = House(*house._replace(hands=hands))
    start, ticket = house.start, count()
    came: dict[Stand, tuple[Stand, Both] | None] = {start: None}
    depth = {start: 0}
    heap = [(_least(house, start), 0, next(ticket), start)]
    while heap:
        _, minus, _, stand = heappop(heap)
        so_far = -minus
        if so_far > depth[stand]:
            continue
        ones, twos = (_useful(house, stand, seat, drop) for seat in (0, 1))
        for one in ones:
            for two in twos:
                if one[0] == "pull" or two[0] == "pull":
                    if solved(house, (one, two)):
                        return _trail(came, stand, (one, two))
                    continue
                new = after(house, stand, (one, two))
                if depth.get(new, inf) > so_far + 1:
                    if len(depth) > MOST:
                        raise ValueError("too many rooms and things for an exact solution")
                    depth[new] = so_far + 1
                    came[new] = stand, (one, two)
                    least = so_far + 1 + _least(house, new)
                    heappush(heap, (least, minus - 1, next(ticket), new))
    return None


def _useful(house: House, stand: Stand, seat: int, drop: bool) -> list[Deed]:
    """What may be part of a shortest plan: nothing is taken that has no use, or given to who has none."""
    found: list[Deed] = []
    for deed in possible(house, stand, seat):
        do, what = deed
        if do == "drop" and not drop:
            continue
        if do == "take" and not any(house.wanted[what]):
            continue
        if do == "give" and not house.wanted[what][1 - seat]:
            continue
        found.append(deed)
    return found


def _least(house: House, stand: Stand) -> float:
    """No plan from here is shorter: the better way to share the levers, the longer of the two walks,
    and the last turn, in which both pull."""
    shares = (
        max(_until(house, stand, seat, *lever) for seat, lever in zip(seats, house.levers, strict=True))
        for seats in ((0, 1), (1, 0))
    )  # fmt: skip
    return min(shares) + 1


def _until(house: House, stand: Stand, seat: int, room: int, tool: int) -> float:
    """Turns, at least, until this player can pull a lever there: it walks, brings what the lever takes,
    and opens what lies between."""
    at, far = stand.at[seat], house.far
    longest = far[at][room]
    if not house.apart or longest == inf:
        return longest
    if tool != NONE:
        longest = max(longest, _brought(house, stand, seat, room, tool))
    for key, one, two, beyond in house.bridges:
        if stand.places[key] != USED and (at in beyond) != (room in beyond):
            near = two if at in beyond else one
            longest = max(longest, _brought(house, stand, seat, near, key) + 1 + far[near][room])
    return longest


def _brought(house: House, stand: Stand, seat: int, room: int, thing: int) -> float:
    """Turns, at least, until this player stands there with the thing in hand; the two are apart."""
    at, far, place = stand.at[seat], house.far, stand.places[thing]
    if place == HANDS[seat]:
        return far[at][room]
    if place in house.parts[seat]:
        return far[at][place] + 1 + far[place][room]
    giver = stand.at[1 - seat]
    best = inf
    for one, two in house.through[seat]:
        there = far[giver][two] if place < 0 else far[giver][place] + 1 + far[place][two]
        best = min(best, max(there, far[at][one]) + 1 + far[one][room])
    return best


def _trail(
    came: dict[Stand, tuple[Stand, Both] | None], stand: Stand, last: Both
) -> tuple[Both, ...]:
    plan = [last]
    while (before := came[stand]) is not None:
        stand, both = before
        plan.append(both)
    return tuple(plan[::-1])
