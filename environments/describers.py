"""The words for environments of others that we know: MPE, SISL pursuit, two board games, MiniGrid.

Each turns a view of its environment into all that the view holds, in words, and names the actions. To
word another environment, put a `Describer` into `DESCRIBERS` before you load its scenario. Left out:
everything else of PettingZoo and Gymnasium, which is worded from its spaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .describe import Describer, short


def describer_of(name: str) -> Describer:
    """The describer with the longest name that `name` begins with, else one without words."""
    found = [key for key in DESCRIBERS if name.startswith(key)]
    return DESCRIBERS[max(found, key=len)] if found else Describer()


# ---- MPE: simple_spread --------------------------------------------------------------------------


def _spread(view: Any) -> str:
    """Velocity, position, N landmarks, N - 1 others, what they signal (nothing): 6 N numbers."""
    numbers: list[float] = view
    if max(numbers) < 1000 and min(numbers) > -1000:
        return _spread_words(len(numbers) // 6, "({%d:g}, {%d:g})").format(*numbers)
    return _spread_words(len(numbers) // 6, "({%d}, {%d})").format(*map(short, numbers))


@lru_cache
def _spread_words(count: int, pair: str) -> str:
    """The sentence with places for the numbers: everybody is told one after every move."""
    velocity, position, *there = (pair % (i, i + 1) for i in range(0, 6 * count, 2))
    marks, others = there[:count], there[count : 2 * count - 1]
    return (
        f"You are at {position}, moving {velocity}. From you, landmarks are at {', '.join(marks)};"
        f" the others at {', '.join(others) or 'nowhere'}."
    )


# ---- SISL: pursuit -------------------------------------------------------------------------------


def _pursuit(view: Any) -> str:
    """A square around the agent: [y][x][wall, pursuers, evaders]."""
    square: list[list[list[float]]] = view
    middle = len(square) // 2
    seen: dict[str, list[str]] = {"wall": [], "pursuer": [], "evader": []}
    for y, row in enumerate(square):
        for x, cell in enumerate(row):
            if not any(cell):
                continue
            here = (x, y) == (middle, middle)
            for kind, count in zip(seen, cell, strict=True):
                others = round(count) - (here and kind == "pursuer")
                if others > 0:
                    where = f"({x - middle}, {y - middle})"
                    seen[kind].append(where if others == 1 else f"{where} x{others}")
    return (
        "Steps (east, north) from you. "
        f"Evaders: {' '.join(seen['evader']) or 'none in sight'}. "
        f"Other pursuers: {' '.join(seen['pursuer']) or 'none in sight'}. "
        f"Walls: {' '.join(seen['wall']) or 'none in sight'}."
    )


# ---- classic: tic-tac-toe and connect four -------------------------------------------------------


def _board(view: Any, by_column: bool) -> str:
    """Two planes, own pieces and the other's, as rows of X (own), O (the other's) and dots."""
    planes: list[list[list[int]]] = view["observation"]
    cells = [["X" if own else "O" if other else "." for own, other in line] for line in planes]
    rows = zip(*cells, strict=True) if by_column else cells
    return "Board (X yours, O the other's), top row first: " + " / ".join(map(" ".join, rows))


SQUARES = tuple(f"{row} {column}" for column in ("left", "middle", "right")
                for row in ("top", "centre", "bottom"))  # fmt: skip


# ---- MiniGrid ------------------------------------------------------------------------------------

KINDS = ["unseen", "empty", "wall", "floor", "door", "key", "ball", "box", "goal", "lava", "agent"]
COLOURS = ["red", "green", "blue", "purple", "yellow", "grey"]
DOORS = ("open", "closed", "locked")
FACING = ("right", "down", "left", "up")
TURNS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")


def _minigrid(view: Any) -> str:
    """The mission, where it looks, and everything in the square before it, relative to it."""
    seen: dict[str, Any] = view
    image: list[list[list[int]]] = seen["image"]
    width, depth = len(image), len(image[0])
    own = _thing(image[width // 2][depth - 1])
    things: dict[str, list[str]] = {}
    for side, ahead, cell in _cells(image, width, depth):
        if KINDS[cell[0]] not in ("unseen", "empty"):
            things.setdefault(_thing(cell), []).append(f"({side}, {ahead})")
    free = [f"({s}, {a})" for s, a, c in _cells(image, width, depth) if KINDS[c[0]] == "empty"]
    listed = "; ".join(f"{thing} {' '.join(at)}" for thing, at in sorted(things.items()))
    holds = own if own not in ("empty", "floor") else "nothing"
    return (
        f"Mission: {seen['mission']}. You face {FACING[seen['direction']]} and hold {holds}. You see"
        f" at (steps right, steps ahead): {listed or 'nothing'}; free {' '.join(free) or 'nothing'}."
    )


def _cells(
    image: list[list[list[int]]], width: int, depth: int
) -> Iterator[tuple[int, int, list[int]]]:
    """(Steps to the right, steps ahead, cell) of everything in the square but the own place."""
    for i, column in enumerate(image):
        for j, cell in enumerate(column):
            if (i, j) != (width // 2, depth - 1):
                yield i - width // 2, depth - 1 - j, cell


def _thing(cell: Sequence[int]) -> str:
    """`yellow key`, `red door locked`, `wall`."""
    kind, colour, state = KINDS[cell[0]], COLOURS[cell[1]], cell[2]
    if kind == "door":
        return f"{colour} door {DOORS[state]}"
    return f"{colour} {kind}" if kind in ("key", "ball", "box") else kind


def _minigrid_state(env: Any) -> dict[str, Any]:
    """The whole grid, row by row, where the player stands and looks, what it holds."""
    cells = [[env.grid.get(i, j) for i in range(env.width)] for j in range(env.height)]
    return {
        "mission": env.mission,
        "at": env.agent_pos,
        "facing": FACING[env.agent_dir],
        "holds": "nothing" if env.carrying is None else _thing(env.carrying.encode()),
        "map": [["." if c is None else _thing(c.encode()) for c in row] for row in cells],
    }


def _minigrid_whole(state: Any) -> str:
    rows = " // ".join(" | ".join(row) for row in state["map"])
    return (
        f"Mission: {state['mission']}. The player is in column {state['at'][0]}, row {state['at'][1]}"
        f" (from 0), faces {state['facing']} and holds {state['holds']}. The map, top row first: {rows}"
    )


DESCRIBERS: dict[str, Describer] = {
    "mpe2:simple_spread": Describer(
        about="Cover all landmarks, one each, and do not bump into each other. Everyone is rewarded for"
        " the distances that remain; coordinates are (right, up).",
        look=_spread,
        acts=("stay", "left", "right", "down", "up"),
    ),
    "pettingzoo:sisl/pursuit": Describer(
        about="Pursuers catch evaders on a grid: several must surround or stand on one at the same time.",
        look=_pursuit,
        acts=("west", "east", "north", "south", "stay"),
    ),
    "pettingzoo:classic/tictactoe": Describer(
        about="Tic-tac-toe: three in a row win; a win is 1, a loss -1.",
        look=lambda view: _board(view, by_column=True),
        acts=SQUARES,
    ),
    "pettingzoo:classic/connect_four": Describer(
        about="Connect four: pieces fall to the lowest free row of a column; four in a row win.",
        look=lambda view: _board(view, by_column=False),
        acts=tuple(f"column {i}" for i in range(1, 8)),
    ),
    "minigrid:MiniGrid": Describer(
        about="A player walks through a grid of rooms by turns and steps. `forward` walks, `pickup` takes"
        " and `toggle` opens what is right ahead.",
        look=_minigrid,
        state=_minigrid_state,
        whole=_minigrid_whole,
        acts=TURNS,
    ),
    "gymnasium:CartPole": Describer(
        about="Keep the pole on the cart upright and the cart on its track.",
        names=("position", "velocity", "angle", "angular velocity"),
        acts=("left", "right"),
    ),
}
"""Beginning of `package:environment` -> its words. Add your own environment's here."""
