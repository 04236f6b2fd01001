"""Players of wrapped environments: good ones where we know the game, any legal action elsewhere.

`sensible` plays MPE's simple_spread (everyone takes the landmark of the shortest total way), SISL pursuit
(after the nearest evader), tic-tac-toe and connect four (win, block, else the middle) and MiniGrid (what
is in sight: the goal, keys, doors; an adviser, who sees the map, leads it word by word). `oracle` is
perfect where the game is small enough to be searched, tic-tac-toe, and else plays as `sensible`:
environments keep their secrets. Both announce their action.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, cast

from ...protocols import WORLD, Act, Observation, Reply
from ...protocols.schemas import sample

ADVISER = "adviser"
Tactic = Callable[[Any, Sequence[Any], random.Random], tuple[Any, str]]
"""(What is seen, legal actions, chance) -> (an action, why)."""


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Plays the environments that it knows well, any other at random."""
    return _play(observation, rng, KNOWN)


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Perfect where the whole game can be searched, else as sensible."""
    return _play(observation, rng, {**KNOWN, **PERFECT})


def _play(observation: Observation, rng: random.Random, tactics: Mapping[str, Tactic]) -> Reply:
    public = observation.public
    tactic = next((t for name, t in tactics.items() if public["env"].startswith(name)), None)
    acting = observation.may(Act.REQUEST)
    if public["plays"][observation.agent] == ADVISER:
        words = _guided(_told(observation, "state"))
        return Reply(act=Act.REQUEST, content={"action": "pass"}) if acting else (
            Reply(act=Act.INFORM, text=words[: observation.max_text])
        )  # fmt: skip
    view = _told(observation, "observation")
    legal: list[Any] = list(observation.private["actions"])
    if acting:
        schema = observation.schema()["anyOf"][0]["properties"]["content"]["properties"]["action"]
        legal = schema.get("enum", [])
        if tactic is None or view is None or len(legal) < 2:
            return Reply(act=Act.REQUEST, content={"action": sample(schema, rng)})
    if tactic is None or view is None or not legal:
        return Reply(act=Act.INFORM)
    action, why = _advised(observation, legal) or tactic(view, legal, rng)
    if not acting:
        return Reply(
            act=Act.INFORM, text=f"I mean to play {action}: {why}."[: observation.max_text]
        )
    return Reply(act=Act.REQUEST, content={"action": action})


def _told(observation: Observation, what: str) -> Any:
    """The latest view or state that the world has told of; None for who is told of none."""
    for message in reversed(observation.heard):
        if message.sender == WORLD and message.content is not None:
            return message.content.model_dump().get(what)
    return observation.private.get(what)


def _advised(observation: Observation, legal: Sequence[Any]) -> tuple[Any, str] | None:
    """What an adviser has said to do since this agent last acted."""
    for message in reversed(observation.heard):
        if message.sender == observation.agent and message.act is Act.REQUEST:
            return None
        if observation.public["plays"].get(message.sender) == ADVISER:
            word = message.text.partition(" ")[0].rstrip(".,")
            if word in legal:
                return word, f"{message.sender} says so"
    return None


# ---- simple_spread -------------------------------------------------------------------------------


def _spread(view: list[float], legal: Sequence[Any], rng: random.Random) -> tuple[Any, str]:
    count = len(view) // 6
    points = list(zip(view[::2], view[1::2], strict=True))
    speed, marks, others = points[0], points[2 : 2 + count], points[2 + count : 1 + 2 * count]
    agents = [(0.0, 0.0), *others]

    def length(order: tuple[int, ...]) -> float:
        return sum(math.dist(a, marks[m]) for a, m in zip(agents, order, strict=True))

    goal = marks[min(itertools.permutations(range(count)), key=length)[0]]
    # Where it would come to rest: it keeps three quarters of its speed from step to step.
    x, y = (g - 0.3 * s for g, s in zip(goal, speed, strict=True))
    why = f"my landmark is {goal[0]:.2f} right, {goal[1]:.2f} up of me"
    if max(abs(x), abs(y)) < 0.06:
        return "stay", why
    return ("right" if x > 0 else "left") if abs(x) > abs(y) else "up" if y > 0 else "down", why


# ---- pursuit -------------------------------------------------------------------------------------

STEPS = {"west": (-1, 0), "east": (1, 0), "north": (0, 1), "south": (0, -1)}


def _pursuit(
    view: list[list[list[float]]], legal: Sequence[Any], rng: random.Random
) -> tuple[Any, str]:
    middle = len(view) // 2
    spots = [(x - middle, y - middle) for y, row in enumerate(view) for x, cell in enumerate(row)
             if cell[2] > 0]  # fmt: skip
    open_ = [d for d, (x, y) in STEPS.items() if not view[middle + y][middle + x][0]]
    if not spots:
        return rng.choice(open_ or ["stay"]), "no evader in sight"
    x, y = min(spots, key=lambda s: abs(s[0]) + abs(s[1]))
    why = f"an evader is {x} east, {y} north of me"
    wanted = [("east" if x > 0 else "west", abs(x)), ("north" if y > 0 else "south", abs(y))]
    ways = [d for d, far in sorted(wanted, key=lambda w: -w[1]) if far and d in open_]
    return (ways or ["stay"])[0], why


# ---- tic-tac-toe and connect four ----------------------------------------------------------------

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def _squares(view: dict[str, Any]) -> tuple[int, ...]:
    """The nine squares by number: 1 own, -1 the other's, 0 free."""
    return tuple(own - other for line in view["observation"] for own, other in line)


@cache
def _value(squares: tuple[int, ...], mover: int) -> int:
    """What the game is worth to 1 when `mover` is to play; the squares are free, 1 or -1."""
    for line in LINES:
        total = sum(squares[i] for i in line)
        if abs(total) == 3:
            return total // 3
    nexts = [_set(squares, i, mover) for i in range(9) if not squares[i]]
    return (max if mover > 0 else min)((_value(s, -mover) for s in nexts), default=0)


def _set(squares: tuple[int, ...], at: int, mover: int) -> tuple[int, ...]:
    return (*squares[:at], mover, *squares[at + 1 :])


def _by_number(view: dict[str, Any], legal: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """(Square, its name) of the free squares, the middle first; names are in the order of squares."""
    free = [i for i, s in enumerate(_squares(view)) if not s]
    named = zip(free, legal, strict=True) if len(free) == len(legal) else enumerate(legal)
    yield from sorted(named, key=lambda n: (n[0] != 4, n[0] % 2 == 1))


def _tictactoe(view: Any, legal: Sequence[Any], rng: random.Random) -> tuple[Any, str]:
    squares = _squares(view)
    free = [(i, name) for i, name in _by_number(view, legal) if not squares[i]]
    for mover, why in ((1, "that wins"), (-1, "the other would win there")):
        for i, name in free:
            if any(i in line and sum(_set(squares, i, mover)[j] for j in line) == 3 * mover
                   for line in LINES):  # fmt: skip
                return name, why
    return free[0][1] if free else legal[0], "it lies best"


def _perfect_tictactoe(view: Any, legal: Sequence[Any], rng: random.Random) -> tuple[Any, str]:
    squares = _squares(view)
    free = [(i, name) for i, name in _by_number(view, legal) if not squares[i]]
    if not free:
        return legal[0], "nothing is free"
    worth = [(_value(_set(squares, i, 1), -1), name) for i, name in free]
    best = max(w for w, _ in worth)
    return next(name for w, name in worth if w == best), f"worth {best}"


def _connect_four(view: Any, legal: Sequence[Any], rng: random.Random) -> tuple[Any, str]:
    board = [[own - other for own, other in row] for row in view["observation"]]
    columns = {name: int(name.split()[-1]) - 1 for name in legal}
    for mover, why in ((1, "that wins"), (-1, "the other would win there")):
        for name, column in columns.items():
            rows = [r for r, row in enumerate(board) if not row[column]]
            if rows and _four(board, rows[-1], column, mover):
                return name, why
    middle = min(abs(c - 3) for c in columns.values())
    return rng.choice([n for n, c in columns.items() if abs(c - 3) == middle]), "near the middle"


def _four(board: list[list[int]], row: int, column: int, mover: int) -> bool:
    """Whether a piece of `mover` there makes four in a row."""
    for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
        count = 1
        for way in (1, -1):
            r, c = row + way * dr, column + way * dc
            while 0 <= r < 6 and 0 <= c < 7 and board[r][c] == mover:
                count, r, c = count + 1, r + way * dr, c + way * dc
        if count >= 4:
            return True
    return False


# ---- MiniGrid ------------------------------------------------------------------------------------

WALL, DOOR, KEY, GOAL = 2, 4, 5, 8
WALKED = {1, 3, GOAL}
"""Codes of what one can walk on: empty, floor, goal."""


def _minigrid(view: dict[str, Any], legal: Sequence[Any], rng: random.Random) -> tuple[Any, str]:
    image: list[list[list[int]]] = view["image"]
    start = len(image) // 2, len(image[0]) - 1
    holds = image[start[0]][start[1]][0] == KEY
    wanted: list[tuple[int, int | None, str, str]] = [(GOAL, None, "forward", "there is the goal")]
    if holds:
        wanted.append((DOOR, 2, "toggle", "my key may open that door"))
    else:
        wanted.append((KEY, None, "pickup", "there is a key"))
    wanted.append((DOOR, 1, "toggle", "there is a closed door"))
    wanted.append((DOOR, 0, "forward", "there is an open door"))
    for kind, state, act, why in wanted:
        step = _way(image, start, kind, state)
        if step is not None:
            return _turned(start, step[0], act if step[1] else "forward"), why
    ahead = image[start[0]][start[1] - 1]
    if _open(ahead) and rng.random() < 0.7:
        return "forward", "I look around"
    return rng.choice(("left", "right")), "I look around"


def _open(cell: Sequence[int]) -> bool:
    return cell[0] in WALKED or (cell[0] == DOOR and cell[2] == 0)


def _way(
    image: list[list[list[int]]], start: tuple[int, int], kind: int, state: int | None
) -> tuple[tuple[int, int], bool] | None:
    """First place of the shortest way in sight to such a thing, and whether it is there already."""
    first: dict[tuple[int, int], tuple[int, int]] = {start: start}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for di, dj in ((0, -1), (-1, 0), (1, 0), (0, 1)):
            there = here[0] + di, here[1] + dj
            if there in first or not (0 <= there[0] < len(image) and 0 <= there[1] <= start[1]):
                continue
            cell = image[there[0]][there[1]]
            first[there] = there if here == start else first[here]
            if cell[0] == kind and state in (None, cell[2]):
                return first[there], here == start
            if _open(cell):
                waiting.append(there)
    return None


def _turned(start: tuple[int, int], place: tuple[int, int], act: str) -> str:
    """The act where the place lies ahead, else the turn towards it."""
    if place[0] == start[0]:
        return act if place[1] < start[1] else "left"
    return "left" if place[0] < start[0] else "right"


FACING = ("right", "down", "left", "up")
AROUND = ((1, 0), (0, 1), (-1, 0), (0, -1))


def _guided(state: dict[str, Any] | None) -> str:
    """A guide's next word to the player: along the shortest way on the map to the goal, else to a key."""
    if state is None:
        return ""
    rows: list[list[str]] = state["map"]
    start: tuple[int, int] = (state["at"][0], state["at"][1])
    for wanted in ("goal", "key"):
        step = _first(rows, start, wanted, state["holds"])
        if step is not None:
            break
    else:
        return ""
    x, y = start[0] + step[0], start[1] + step[1]
    there = rows[y][x]
    turn = (AROUND.index(step) - FACING.index(state["facing"])) % 4
    if turn:
        return f"{'left' if turn == 3 else 'right'}, then to the {wanted}."
    if there.endswith("key"):
        return "pickup the key."
    return (
        "toggle the door." if there.endswith(("closed", "locked")) else f"forward to the {wanted}."
    )


def _first(
    rows: list[list[str]], start: tuple[int, int], wanted: str, holds: str
) -> tuple[int, int] | None:
    """First step of the shortest way, through doors that it can open."""
    first: dict[tuple[int, int], tuple[int, int]] = {start: (0, 0)}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for step in AROUND:
            there = here[0] + step[0], here[1] + step[1]
            if there in first:
                continue
            cell = rows[there[1]][there[0]]
            first[there] = step if here == start else first[here]
            if cell.split()[-1] == wanted:
                return first[there]
            opens = cell.endswith("locked") and holds == f"{cell.split()[0]} key"
            if cell in (".", "floor", "goal") or cell.endswith(("open", "closed")) or opens:
                waiting.append(there)
    return None


KNOWN: Mapping[str, Tactic] = {
    "mpe2:simple_spread": cast(Tactic, _spread),
    "pettingzoo:sisl/pursuit": cast(Tactic, _pursuit),
    "pettingzoo:classic/tictactoe": _tictactoe,
    "pettingzoo:classic/connect_four": _connect_four,
    "minigrid:MiniGrid": cast(Tactic, _minigrid),
}
"""Beginning of an environment's name -> how to play it."""
PERFECT: Mapping[str, Tactic] = {"pettingzoo:classic/tictactoe": _perfect_tictactoe}

PLAYERS = {"sensible": sensible, "oracle": oracle}
