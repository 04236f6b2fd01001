"""Simulations made by others, behind one face: PettingZoo (AEC and parallel) and Gymnasium, by name.

`wrap("pettingzoo:classic/tictactoe_v3", {}, 7)` finds the environment, seeds it, and then knows three
things: who may act now, what everyone sees, what everyone earned. A parallel environment moves when
everyone alive has acted; an AEC one whenever the agent that it selects has. A Gymnasium environment is a
parallel one with a single agent, `player`.

A name is data from a scenario file, so it may import only packages of `PACKAGES` and of the variable
MOOT_PACKAGES (comma-separated), which nobody but the user sets. Left out: agents that are born while
it runs, images, and rendering to a window.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from ..protocols import MootError, did_you_mean

PACKAGES = ("gymnasium", "minigrid", "mpe2", "pettingzoo")
"""What a scenario file may name; their installation is the extra `hybrid`."""
ALLOWING = "MOOT_PACKAGES"
SINGLE = "player"
"""The agent of a Gymnasium environment."""


class Wrapped:
    """One running simulation; `act` is its only verb. Raises `MootError` where it cannot be made."""

    def __init__(self, name: str, kwargs: Mapping[str, Any], seed: int, **drawn: Any) -> None:
        self._turns, make = _maker(name)
        try:
            self.env: Any = make(**kwargs, **drawn)
        except Exception as error:
            # Its constructor is others' code and may raise anything about what a user wrote.
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise MootError(f"env {name} with kwargs {dict(kwargs)}: {why}") from None
        self.agents: tuple[str, ...] = tuple(self.env.possible_agents)
        self.acting = {a: self.env.action_space(a) for a in self.agents}
        self.seeing = {a: self.env.observation_space(a) for a in self.agents}
        told: Mapping[str, Any] = self.env.metadata or {}
        self.draws: tuple[str, ...] = tuple(told.get("render_modes", ()))
        """Its render modes."""
        self.steps = 0
        """How often the simulation has moved."""
        self.rewards = dict.fromkeys(self.agents, 0.0)
        """What each earned when it last moved."""
        self.returns = dict.fromkeys(self.agents, 0.0)
        self.terminated: set[str] = set()
        self.truncated: set[str] = set()
        self._chosen: dict[str, Any] = {}
        if self._turns:
            self.env.reset(seed=seed)
            self._look()
        else:
            self.views, self.infos = self.env.reset(seed=seed)

    @property
    def over(self) -> bool:
        """Whether nobody is left in it."""
        return not self.env.agents

    def may_act(self, agent: str) -> bool:
        """Whether the simulation waits for this agent."""
        if agent not in self.env.agents:
            return False
        return self.env.agent_selection == agent if self._turns else agent not in self._chosen

    def mask(self, agent: str) -> list[bool] | None:
        """Which of its actions are legal, if the simulation says so in the observation or beside it."""
        for said in (self.views.get(agent), self.infos.get(agent)):
            if isinstance(said, Mapping) and "action_mask" in said:
                return [bool(m) for m in cast(Any, said["action_mask"])]
        return None

    def act(self, agent: str, action: Any) -> bool:
        """Choose for an agent of `may_act`; whether the simulation has moved by it."""
        if self._turns:
            self.env.step(action)
            self._count(self.env.rewards, self.env.terminations, self.env.truncations)
            while self.env.agents and self._gone(self.env.agent_selection):
                self.env.step(None)
            self._look()
            return True
        self._chosen[agent] = action
        if not all(a in self._chosen for a in self.env.agents):
            return False
        chosen = {a: self._chosen[a] for a in self.env.agents}
        self._chosen.clear()
        self.views, rewards, terminations, truncations, self.infos = self.env.step(chosen)
        self._count(rewards, terminations, truncations)
        return True

    def _count(
        self, rewards: Mapping[str, Any], ends: Mapping[str, bool], cuts: Mapping[str, bool]
    ) -> None:
        self.steps += 1
        for agent in self.agents:
            self.rewards[agent] = float(rewards.get(agent, 0.0))
            self.returns[agent] += self.rewards[agent]
        self.terminated |= {a for a, end in ends.items() if end}
        self.truncated |= {a for a, cut in cuts.items() if cut}

    def _gone(self, agent: str) -> bool:
        return self.env.terminations[agent] or self.env.truncations[agent]

    def _look(self) -> None:
        """What everyone sees of a simulation in turns; who has left it keeps the last view."""
        if self.env.agents:
            self.views = {a: self.env.observe(a) for a in self.env.agents}
            self.infos = dict(self.env.infos)


class _Alone:
    """A Gymnasium environment in the shape of a parallel one."""

    possible_agents = (SINGLE,)

    def __init__(self, env: Any) -> None:
        self.env, self.agents, self.unwrapped = env, [SINGLE], env.unwrapped
        self.metadata = env.metadata

    def action_space(self, agent: str) -> Any:
        return self.env.action_space

    def observation_space(self, agent: str) -> Any:
        return self.env.observation_space

    def reset(self, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        view, info = self.env.reset(seed=seed)
        return {SINGLE: view}, {SINGLE: info}

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        told = self.env.step(actions[SINGLE])
        if told[2] or told[3]:
            self.agents = []
        return tuple({SINGLE: part} for part in told)

    def render(self) -> Any:
        return self.env.render()


def _alone(make: Callable[..., Any], name: str, **kwargs: Any) -> _Alone:
    # Its checker warns about spaces, which are refused or worded here.
    return _Alone(make(name, disable_env_checker=True, **kwargs))


def _maker(name: str) -> tuple[bool, Callable[..., Any]]:
    """(Whether it goes in turns, its constructor) for `package:environment`."""
    package, colon, inside = name.partition(":")
    allowed = [*PACKAGES, *filter(None, os.environ.get(ALLOWING, "").split(","))]
    if not colon or not inside:
        raise MootError(
            f"env {name!r}: want package:environment, such as mpe2:simple_spread_v3,"
            " pettingzoo:classic/tictactoe_v3 or minigrid:MiniGrid-Empty-5x5-v0"
        )
    if package not in allowed:
        raise MootError(
            f"env {name!r}: scenario files may import {', '.join(allowed)} only; if you trust"
            f" {package!r}, set {ALLOWING}={package} before you start"
        )
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it greets on stdout
    try:
        importlib.import_module(package)
        pettingzoo, gymnasium = map(importlib.import_module, ("pettingzoo", "gymnasium"))
        registries = importlib.import_module("pettingzoo.env_registry.registration")
    except ImportError as error:
        raise MootError(
            f"env {name!r} needs {error.name}: pip install 'moot[hybrid]'", usage=False
        ) from None
    if inside in gymnasium.registry and ":" not in inside:
        return False, partial(_alone, gymnasium.make, inside)
    known = {n.replace("-v", "_v"): n for n in registries.aec_registry}
    if package == "pettingzoo" and inside.replace("-v", "_v") in known:
        id_ = known[inside.replace("-v", "_v")]
        kind = "parallel" if id_ in registries.parallel_registry else "aec"
        return kind == "aec", partial(pettingzoo.make, kind, id_)
    return _module(name, package, inside, [*gymnasium.registry, *known])


def _module(
    name: str, package: str, inside: str, registered: list[str]
) -> tuple[bool, Callable[..., Any]]:
    """The constructors `parallel_env` or `env` of a module inside the package."""
    whole = f"{package}.{inside}"
    try:
        found = importlib.util.find_spec(whole) if inside.isidentifier() else None
        module = importlib.import_module(whole) if found else None
    except ImportError as error:
        raise MootError(f"env {name!r} needs {error.name}: pip install it", usage=False) from None
    make = getattr(module, "parallel_env", None) or getattr(module, "env", None)
    if not callable(make):
        hint = did_you_mean(inside, [*registered, *_modules(package)])
        raise MootError(f"env {name!r}: {package} has no environment {inside!r}; {hint}")
    return not hasattr(module, "parallel_env"), make


def _modules(package: str) -> list[str]:
    """Modules of a package that look like environments: `name_v3`."""
    pkgutil = importlib.import_module("pkgutil")
    found = importlib.import_module(package)
    names = [m.name for m in pkgutil.iter_modules(getattr(found, "__path__", []))]
    return [n for n in names if n.rpartition("_v")[2].isdigit()]
