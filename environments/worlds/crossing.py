"""Crossing: cars at a junction without signals, short sight, and radio.

After Dresner and Stone 2008 (J. Artificial Intelligence Research 31:591-656), without their intersection
manager: the cars settle it among themselves. In each step all may talk, then all choose a pace at once
(`crossing_scenario.py` has the geometry). A driver sees where other cars stand within its sight, not
where they go. A car that announces its pace also sends a beacon with its place and way, which is always
true; what it announces binds it to nothing. A car scores

    1 - hurry x delay    when it is through (delay: steps more than it takes alone)
    -crash               when it has crashed, and is towed away
    0                    when it is still there at the end

Left out: speeds that last, lanes to choose, pedestrians, beacons that lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Notice, Outcome, Solution
from .crossing_scenario import (
    CRASHED,
    PACES,
    Cell,
    CrossingGenerator,
    CrossingScenario,
    Pace,
    advance,
    quickest,
    solve,
)

COLOURS = ("#d1495b", "#2e6f95", "#3a7d44", "#e0a030")


class Drive(Choice):
    """How many cells it drives in this step: 0, 1 or 2."""

    model_config = STRICT
    pace: Pace


class Crossing:
    """One meeting at the junction."""

    name: ClassVar[str] = "crossing"
    summary: ClassVar[str] = "cars with short sight and radio settle who goes first at a junction"
    Scenario: ClassVar[type[Scenario]] = CrossingScenario
    Generator: ClassVar[type[BaseModel]] = CrossingGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Drive}

    def __init__(self, scenario: CrossingScenario) -> None:
        self.scenario = scenario
        self._cars = tuple(scenario.roles)
        self._paths = scenario.paths()
        self._places = [0] * len(self._cars)
        self._through: dict[str, int] = {}
        """Car -> the step in which it passed."""
        self._crashes = 0
        self._steps = 0
        self._chosen: dict[str, Pace] = {}
        self._news: list[Notice] = []
        self._start = {car: self._seen(car) for car in self._cars}

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(CrossingScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best` is everybody's score in the best sum."""
        return solve(cast(CrossingScenario, scenario))

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self._cars, "")

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        return {"cars": list(self._cars), "sight": s.sight, "steps": s.steps, "crash": s.crash}

    def private(self, agent: str) -> Mapping[str, Any]:
        car = self.scenario.cars[agent]
        return {
            "arm": car.arm,
            "turn": car.turn,
            "hurry": self.scenario.roles[agent].hurry,
            "way": [list(cell) for cell in car.path()],
            **self._start[agent],
        }

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        car, hurry, way = s.cars[agent], s.roles[agent].hurry, s.cars[agent].path()
        turn = "straight on" if car.turn == "straight" else car.turn
        return (
            f"Cars meet at a junction without signals. In each of {s.steps} steps everybody waits (0"
            " cells), drives slow (1 cell, in the second half of the step) or fast (1 cell in each"
            " half). Two cars in one cell after a half crash, and so do two that change places. Cells"
            f" are (x, y), y down; the junction is (0,0) to (1,1). You see cars up to {s.sight} cells"
            " away. Who announces a pace also sends everybody a beacon with its place and way. Through:"
            f" 1 point, less for delay; a crash: -{s.crash:g}; still there at the end: 0."
        ), (
            f"You come from the {car.arm} and go {turn}, by {_cells(way)}, then you are through. Each"
            f" step of delay costs you {hurry:g} points. {_worded(self._start[agent])}"
        )

    def explain(self, move: Move) -> str:
        return '{"pace": "wait", "slow" or "fast"}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        if not self._driving(agent):
            # Who is through or has crashed still has a seat: it can talk, and stays where it is.
            return closed({"pace": {"const": "wait"}}) if move.act is Act.REQUEST else None
        return closed({"pace": {"enum": list(PACES)}})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        if self._driving(agent):
            return None
        if move.act is not Act.REQUEST:
            return "no content: you drive no more"
        return None if cast(Drive, content).pace == "wait" else "pace wait: you drive no more"

    def _driving(self, car: str) -> bool:
        i = self._cars.index(car)
        return 0 <= self._places[i] < len(self._paths[i])

    def hear(self, message: Message) -> None:
        content = message.content
        if not isinstance(content, Drive):
            return
        if message.act is not Act.REQUEST:
            self._news = [self._beacon(message.sender, message.receivers)]
            return
        self._chosen[message.sender] = content.pace
        if len(self._chosen) == len(self._cars):
            self._step([self._chosen[car] for car in self._cars])
            self._chosen = {}

    def _beacon(self, car: str, to: tuple[str, ...]) -> Notice:
        i = self._cars.index(car)
        way = self._paths[i][self._places[i] :]
        text = f"Beacon of {car}: at {_cells(way[:1])}, goes {_cells(way[1:]) or 'out'}."
        return Notice(to, text, {"car": car, "way": [list(cell) for cell in way]})

    def _step(self, paces: Sequence[Pace]) -> None:
        before = list(self._places)
        self._places, hits = advance(self._paths, before, paces)
        self._steps += 1
        self._crashes += len(hits)
        for car, path, was, now in zip(self._cars, self._paths, before, self._places, strict=True):
            if was < len(path) <= now:
                self._through[car] = self._steps
        crashed = [c for c, was, now in zip(self._cars, before, self._places, strict=True)
                   if was != now == CRASHED]  # fmt: skip
        for car in self._cars:
            seen = self._seen(car)
            data = {**seen, "to_go": self.scenario.steps - self._steps, "crashed": crashed}
            crash = f" Crashed: {', '.join(crashed)}." if crashed else ""
            text = f"{_worded(seen)}{crash} {data['to_go']} steps to go."
            self._news.append(Notice((car,), text, data))

    def _seen(self, car: str) -> dict[str, Any]:
        """Where a car stands, None where it drives no more, and which cars it sees where."""
        at = self._at(car)
        if at is None:
            return {"at": None, "sees": {}}
        others = {other: self._at(other) for other in self._cars if other != car}
        near = {
            other: list(cell)
            for other, cell in others.items()
            if cell is not None
            and max(abs(cell[0] - at[0]), abs(cell[1] - at[1])) <= self.scenario.sight
        }
        return {"at": list(at), "sees": near}

    def _at(self, car: str) -> Cell | None:
        i = self._cars.index(car)
        return self._paths[i][self._places[i]] if self._driving(car) else None

    def tell(self) -> Sequence[Notice]:
        news, self._news = self._news, []
        return news

    def over(self) -> Ended | None:
        if not any(map(self._driving, self._cars)):
            return Ended.DONE
        return Ended.LIMIT if self._steps == self.scenario.steps else None

    def outcome(self, ended: Ended) -> Outcome:
        """`collisions`: pairs that crashed; `delay`: mean steps of those that are through; `throughput`: cars
        through for each step."""
        s = self.scenario
        delay = {
            car: self._through[car] - quickest(path)
            for car, path in zip(self._cars, self._paths, strict=True)
            if car in self._through
        }
        crashed = [car for car, at in zip(self._cars, self._places, strict=True) if at == CRASHED]
        utilities = {car: -s.crash if car in crashed else 0.0 for car in self._cars}
        utilities |= {car: 1 - s.roles[car].hurry * d for car, d in delay.items()}
        if not self._steps:
            return Outcome(completed=False, deal=None, utilities=utilities)
        done = bool(delay or crashed)
        results = {
            "collisions": float(self._crashes),
            "through": len(delay) / len(self._cars),
            "throughput": len(delay) / self._steps,
        }
        if delay:
            results["delay"] = sum(delay.values()) / len(delay)
        return Outcome(
            completed=len(delay) == len(self._cars),
            deal={"through": dict(self._through), "crashed": crashed} if done else None,
            utilities=utilities,
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: a pace is no offer."""

    def picture(self) -> str:
        """The junction from above: every car that drives, with its way as a thin line."""
        size, far = 40, 5

        def spot(value: int) -> float:
            return (value + far + 0.5) * size

        side = (2 * far + 2) * size
        road = 2 * size
        parts = [
            f'<rect width="{side}" height="{side}" fill="#cfdccf"/>',
            f'<rect x="{far * size}" width="{road}" height="{side}" fill="#777"/>',
            f'<rect y="{far * size}" width="{side}" height="{road}" fill="#777"/>',
        ]
        for x1, y1, x2, y2 in (
            (far + 1, 0, far + 1, far), (far + 1, far + 2, far + 1, 2 * far + 2),
            (0, far + 1, far, far + 1), (far + 2, far + 1, 2 * far + 2, far + 1),
        ):  # fmt: skip
            ends = f'x1="{x1 * size}" y1="{y1 * size}" x2="{x2 * size}" y2="{y2 * size}"'
            parts.append(f'<line {ends} stroke="#fff" stroke-width="2" stroke-dasharray="10 8"/>')
        for i, (car, path) in enumerate(zip(self._cars, self._paths, strict=True)):
            at = self._at(car)
            if at is None:
                continue
            colour = COLOURS[i]
            way = " ".join(f"{spot(x):g},{spot(y):g}" for x, y in path[self._places[i] :])
            parts.append(
                f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="3"/>'
            )
            x, y = spot(at[0]), spot(at[1])
            box = f'x="{x - 14:g}" y="{y - 14:g}" width="28" height="28" rx="6"'
            parts.append(f'<rect {box} fill="{colour}" stroke="#222"/>')
            label = f'x="{x:g}" y="{y + 4:g}" font-size="10" text-anchor="middle" fill="#fff"'
            parts.append(f'<text {label} font-family="sans-serif">{_escaped(car[:5])}</text>')
        status = f"step {self._steps}: {len(self._through)} through, {self._crashes} crashes"
        parts.append(f'<text x="8" y="18" font-size="14" font-family="sans-serif">{status}</text>')
        head = f'xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}"'
        return f"<svg {head}>{''.join(parts)}</svg>"


def _cells(way: Sequence[Cell]) -> str:
    return " ".join(f"({x},{y})" for x, y in way)


def _worded(seen: Mapping[str, Any]) -> str:
    """What a driver sees, in words."""
    if seen["at"] is None:
        return "You drive no more."
    others = ", ".join(f"{car} at ({x},{y})" for car, (x, y) in seen["sees"].items())
    return f"You are at ({seen['at'][0]},{seen['at'][1]}). You see {others or 'no other car'}."


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
