"""Hybrid: any PettingZoo or Gymnasium environment, with talk before each move.

Seats are the environment's agents by its own names; further seats of the role `adviser` see its whole
state where a describer can word it, talk, and pass. What an agent sees is told it in words whenever the
simulation moves; what it does is a sealed `Choice`, narrowed by the action mask. Utility is the return:
the sum of the rewards that the environment gave. The state is rebuilt by replaying what was chosen from
the scenario's seed, so forks and replays work for every environment that keeps to its seed.

Everybody is asked in turn, in seat order: who is not to move (out of the game, or not selected by an AEC
environment) can only pass. Left out: agents born on the way, and exact solutions (nobody knows them).
"""

from __future__ import annotations

import base64
import io
import json
import math
import random
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, Field, FiniteFloat

from ...protocols import Act, Choice, Content, Ended, Message, MootError, Move, did_you_mean
from ...protocols.schemas import closed, fits
from ..describe import MOST, Actions, plain, short, size, worded
from ..describers import describer_of
from ..scenario import STRICT, ProtocolChoice, Role, Scenario
from ..world import Notice, Outcome, Solution
from ..wrapped import Wrapped

PASS = "pass"
ADVISER = "adviser"
WIDEST = 400
"""Pixels of a picture's longer side."""
Setting = bool | int | float | str | list[bool | int | float | str]


class Action(Choice):
    """What an agent does: a name, a number, or a number for each part of the action."""

    model_config = STRICT
    action: str | int | dict[str, int | float]


class HybridScenario(Scenario):
    """An environment, how it is made, and its seed."""

    world: str = "hybrid"
    env: str = Field(
        description="`package:environment`, such as `mpe2:simple_spread_v3`,"
        " `pettingzoo:classic/tictactoe_v3`, `minigrid:MiniGrid-Empty-5x5-v0`."
    )
    kwargs: dict[str, Setting] = Field(
        default_factory=dict[str, Setting],
        description="Arguments of the environment's constructor.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the environment.")
    goal: FiniteFloat | None = Field(
        default=None,
        description="Sum of returns from which the task is done; else: when the environment terminates.",
    )
    roles: dict[str, Role] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        description="The environment's agents, by its names or by `role`; `role: adviser` for others."
    )


class HybridGenerator(BaseModel):
    """The same environment with a new seed for every episode."""

    model_config = STRICT

    env: str = Field(
        default="pettingzoo:classic/tictactoe_v3", description="`package:environment`."
    )
    kwargs: dict[str, Setting] = Field(
        default_factory=dict[str, Setting],
        description="Arguments of the environment's constructor.",
    )
    advisers: tuple[str, ...] = Field(
        default=(), description="Seats that only talk, before the others."
    )
    talk: int = Field(default=1, ge=0, description="How often each speaks before a move.")
    deadline: int = Field(default=1000, ge=1, description="Most messages.")
    goal: FiniteFloat | None = Field(default=None, description="As in the scenario.")
    largest_seed: int = Field(default=2**31 - 1, ge=0, description="Seeds are 0 to this.")

    def draw(self, rng: random.Random) -> HybridScenario:
        """A scenario for the agents that the environment names."""
        choice: dict[str, Any] = {"talk": self.talk, "deadline": self.deadline}
        agents = _agents(self.env, json.dumps(self.kwargs))
        return HybridScenario(
            name="hybrid",
            protocol=ProtocolChoice(name="joint_action", **choice),
            env=self.env,
            kwargs=self.kwargs,
            seed=rng.randint(0, self.largest_seed),
            goal=self.goal,
            roles={
                **{seat: Role(role=ADVISER) for seat in self.advisers},
                **{agent: Role() for agent in agents},
            },
        )


@lru_cache(maxsize=64)
def _agents(env: str, kwargs: str) -> tuple[str, ...]:
    """Names of an environment's agents; to make one only for that takes milliseconds."""
    return Wrapped(env, json.loads(kwargs), 0).agents


class Hybrid:
    """One run of a wrapped environment."""

    name: ClassVar[str] = "hybrid"
    summary: ClassVar[str] = "any PettingZoo or Gymnasium environment, with talk before each move"
    Scenario: ClassVar[type[Scenario]] = HybridScenario
    Generator: ClassVar[type[BaseModel]] = HybridGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Action}

    def __init__(self, scenario: HybridScenario) -> None:
        self.scenario = scenario
        self._words = describer_of(scenario.env)
        self._run = Wrapped(scenario.env, scenario.kwargs, scenario.seed)
        self._plays = self._seats()
        self._actions = {a: Actions(s, self._words) for a, s in self._run.acting.items()}
        self._done: list[tuple[str, Any]] = []
        self._shown: dict[str, str] = {}
        self._notices: list[Notice] = []
        self._twin: Wrapped | None = None
        self._followed = 0
        self._drawn: tuple[int, str] | None = None
        first = next(iter(self._run.views.values()))
        if self._words.look is None and size(plain(first)) > MOST:
            raise MootError(
                f"env {scenario.env}: a view is {size(plain(first))} numbers, at most {MOST} can be"
                " written out; put a Describer for it into environments.describers.DESCRIBERS"
            )
        # What each sees at the start is part of what it is told once, so it is kept as it is now.
        self._start = {seat: self._sees(seat) for seat in scenario.roles}

    def _seats(self) -> dict[str, str | None]:
        """Seat -> agent of the environment; None for advisers."""
        agents, scenario = self._run.agents, self.scenario
        plays = {
            seat: None if role.role == ADVISER else role.role or seat
            for seat, role in scenario.roles.items()
        }
        for seat, agent in plays.items():
            if agent is not None and agent not in agents:
                hint = did_you_mean(agent, (*agents, ADVISER))
                raise MootError(f"roles.{seat}: {scenario.env} has no agent {agent!r}; {hint}")
        playing = [agent for agent in plays.values() if agent is not None]
        wrong = next((a for a in agents if playing.count(a) != 1), None)
        if wrong is not None:
            raise MootError(f"roles: {playing.count(wrong)} seats for agent {wrong!r}, want one")
        return plays

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(HybridScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """Nothing is known but that nobody earns anything where nothing is done."""
        return Solution(
            disagreement=(0.0,) * len(scenario.roles),
            frontier=(),
            max_joint=math.inf,
            max_nash=math.inf,
        )

    def roles(self) -> Mapping[str, str]:
        return dict.fromkeys(self.scenario.roles, "")

    def public(self) -> Mapping[str, Any]:
        plays = {seat: agent or ADVISER for seat, agent in self._plays.items()}
        return {"env": self.scenario.env, "plays": plays}

    def private(self, agent: str) -> Mapping[str, Any]:
        plays = self._plays[agent]
        values = () if plays is None else self._actions[plays].schema().get("enum", ())
        return {**self._start[agent][1], "actions": list(values)}

    def describe(self, agent: str) -> tuple[str, str]:
        plays = self._plays[agent]
        sees = (
            f"What you see at the start: {self._start[agent][0]}" if self._start[agent][0] else ""
        )
        if plays is None:
            return self._words.about, f"You only advise: your action is always {PASS!r}. {sees}"
        return self._words.about, (
            f"Your actions: {self._actions[plays].phrase()}. When it is not for you to act, {PASS!r}."
            f" {sees}"
        )

    def explain(self, move: Move) -> str:
        return '{"action": one of your actions}'

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        action = self._legal(agent, move)
        return None if action is None else closed({"action": action})

    def _legal(self, agent: str, move: Move) -> dict[str, Any] | None:
        """Schema of the actions of a move now: announced are any, done are those that the mask leaves."""
        plays = self._plays[agent]
        if move.act is not Act.REQUEST:
            return None if plays is None else self._actions[plays].schema()
        if plays is None or not self._run.may_act(plays):
            return {"const": PASS}
        return self._actions[plays].schema(self._run.mask(plays))

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        legal = self._legal(agent, move)
        if legal is not None and fits(legal, cast(Action, content).action):
            return None
        if legal is None:
            return "no content: an adviser announces no action"
        plays = self._plays[agent]
        values = [legal["const"]] if "const" in legal else legal.get("enum")
        if values is None and plays is not None:
            return f"action {self._actions[plays].phrase()}"
        return f"action {', '.join(map(str, values or ()))}"

    def hear(self, message: Message) -> None:
        plays, content = self._plays[message.sender], message.content
        if message.act is not Act.REQUEST or plays is None or not self._run.may_act(plays):
            return
        action = self._actions[plays].value(cast(Action, content).action)
        self._done.append((plays, action))
        if self._run.act(plays, action):
            self._notices = [*self._moved()]

    def _moved(self) -> Sequence[Notice]:
        """What everyone is told when the simulation has moved; nothing to whom it looks the same."""
        run, told = self._run, list[Notice]()
        for seat, plays in self._plays.items():
            text, data = self._sees(seat)
            if plays is not None:
                reward = round(run.rewards[plays], 3)
                fate = "terminated" if plays in run.terminated else ""
                fate = fate or ("truncated" if plays in run.truncated else "")
                earned = f"Reward {short(reward)}. " if reward or run.over else ""
                text = earned + (f"Your part has {fate}. " if fate else "") + text
                data = {**data, "reward": reward} | ({"ended": fate} if fate else {})
            if text and text != self._shown.get(seat):
                self._shown[seat] = text
                told.append(Notice((seat,), text, data))
        return told

    def _sees(self, seat: str) -> tuple[str, dict[str, Any]]:
        """What a seat sees now, in words and as data."""
        plays, look = self._plays[seat], self._words.look
        if plays is None:
            state, whole = self._words.state, self._words.whole or worded
            if state is None:
                return "", {}
            data = plain(state(self._run.env.unwrapped))
            return whole(data), {"state": data}
        view = self._run.views.get(plays)
        if view is None:
            return "", {}
        data = plain(view)
        if look is not None:
            return look(data), {"observation": data}
        return worded(data, self._words.names), {"observation": data}

    def tell(self) -> Sequence[Notice]:
        told, self._notices = self._notices, []
        return told

    def over(self) -> Ended | None:
        if not self._run.over:
            return None
        return Ended.LIMIT if self._run.truncated else Ended.DONE

    def outcome(self, ended: Ended) -> Outcome:
        """Done when the environment itself came to an end, or when `goal` was reached."""
        run, goal = self._run, self.scenario.goal
        total = sum(run.returns.values())
        done = run.over and not run.truncated if goal is None else run.steps > 0 and total >= goal
        return Outcome(
            completed=done,
            deal={"steps": run.steps} if run.steps else None,
            utilities={s: 0.0 if a is None else run.returns[a] for s, a in self._plays.items()},
            results={
                "steps": run.steps,
                "return": total,
                "terminated": len(run.terminated) / len(run.agents),
                "truncated": len(run.truncated) / len(run.agents),
            },
        )

    def space(self, agent: str) -> None:
        """None: actions are not ranked."""

    def picture(self) -> str:
        """The environment's own image, where it draws one, else what everybody sees, in words."""
        if self._drawn is None or self._drawn[0] != len(self._done):
            self._drawn = len(self._done), self._image() or self._page()
        return self._drawn[1]

    def _image(self) -> str | None:
        """A twin that draws follows what was done; so the run itself needs no screen."""
        scenario = self.scenario
        if "rgb_array" not in self._run.draws:
            return None
        if self._twin is None:
            twin = Wrapped(scenario.env, scenario.kwargs, scenario.seed, render_mode="rgb_array")
            self._twin, self._followed = twin, 0
        for agent, action in self._done[self._followed :]:
            self._twin.act(agent, action)
        self._followed = len(self._done)
        return embedded(self._twin.env.render())

    def _page(self) -> str:
        lines = [
            line
            for seat in self.scenario.roles
            for line in textwrap.wrap(f"{seat}: {self._sees(seat)[0]}", 70)
        ]
        height = 18 * len(lines) + 20
        words = "".join(
            f'<text x="10" y="{18 * i + 24}" font-size="13" font-family="sans-serif">{escape(line)}</text>'
            for i, line in enumerate(lines)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="520" height="{height}">{words}</svg>'
        )


def embedded(pixels: Any) -> str | None:
    """An image (height, width, 3) as an SVG document; None where Pillow is missing or nothing was drawn."""
    try:
        from PIL import Image
    except ImportError:
        return None
    if pixels is None:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((WIDEST, WIDEST))
    file = io.BytesIO()
    image.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    width, height = image.size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></svg>'
    )
