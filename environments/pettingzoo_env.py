"""Every world as a PettingZoo environment, so that learners with fixed spaces train on it.

    from moot.environments.pettingzoo_env import Table, Together
    env = Table("deal_or_no_deal")        # AEC: one agent speaks at a time
    env = Together("matrix_games")        # parallel: everybody answers at each step

An action is the number of a reply (`slots.py`), the mask says which are legal now; an observation is
{"observation": float32 of shape (SIZE,), "action_mask": int8 of shape (actions,)}. Reward is the world's
score, paid when the episode ends. `infos` of who is to speak hold the texts that a language model would
read (`card`, `heard`) and every legal reply by its number (`replies`).

Agents are called by their role and number (`bidder_1`, `agent_0` where there are no roles), since a
generator may draw other names for every episode; `seats` tells whose seat each has now.

In a `Table`, `step` takes a `Reply` too, so that agents that read `table.observe()` play beside learners.

`reset(seed=s)` begins with episode 0 of seed s, `reset()` goes on with the next. Cut off by a deadline is
truncated; every other end is terminated. Left out: words, and rewards on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv  # pyright: ignore[reportMissingTypeStubs]

from ..protocols import NOBODY, Ended, MootError, Observation, Option, Reply, written
from .environment import Environment
from .load import Source, draw, load_scenario
from .slots import SIZE, Slots, encoded, shown

ILLEGAL = Reply(raw="")
"""What a number stands for that is no legal reply now; it costs patience like any other."""
LOOKED_AT = 64
"""Draws of a generator whose seats become the possible agents."""

Encode = Callable[[Observation], Sequence[float]]


class _Room:
    """What both kinds share: scenarios, spaces, and the table being played."""

    def __init__(self, source: Source, width: int, encode: Encode, size: int) -> None:
        self.source, self._encode = load_scenario(source), encode
        tables = [Environment(draw(self.source, 0, i)) for i in range(LOOKED_AT)]
        self.agents = list(dict.fromkeys(name for table in tables for name in _named(table)))
        most = max(len(table.agents) for table in tables)
        # A generator may also draw protocols: one for two, another for more.
        self.slots = Slots({id(t.protocol): t.protocol for t in tables}.values(), most, width)
        self.acting = {a: spaces.Discrete(self.slots.count) for a in self.agents}
        self.seeing = {
            a: spaces.Dict({
                "observation": spaces.Box(-1.0, 1.0, (size,), np.float32),
                "action_mask": spaces.Box(0, 1, (self.slots.count,), np.int8),
            })
            for a in self.agents
        }  # fmt: skip
        self.seed, self.episode = 0, -1

    def deal(self, seed: int | None) -> Environment:
        """The next episode's table."""
        self.seed, self.episode = (self.seed, self.episode + 1) if seed is None else (seed, 0)
        scenario = draw(self.source, self.seed, self.episode)
        table = Environment(scenario, seed=self.seed, episode=self.episode)
        more = next((name for name in _named(table) if name not in self.acting), None)
        if more is not None:
            raise MootError(
                f"{more}: none of the first {LOOKED_AT} scenarios drawn has so many seats; generate"
                " a narrower range of them"
            )
        return table

    def view(self, seen: Observation, legal: Mapping[int, Reply]) -> dict[str, Any]:
        mask = np.zeros(self.slots.count, np.int8)
        mask[list(legal)] = 1
        numbers = np.asarray(self._encode(seen), np.float32)
        return {"observation": numbers, "action_mask": mask}

    @staticmethod
    def info(seen: Observation, legal: Mapping[int, Reply]) -> dict[str, Any]:
        told = [f"{m.sender}: {written(m, seen.agents)}" for m in seen.heard]
        replies = {i: shown(r) for i, r in legal.items()}
        return {"card": seen.card, "heard": told, "replies": replies}


def _named(table: Environment) -> dict[str, str]:
    """Name for learners -> seat: role and number among those of that role."""
    names: dict[str, str] = {}
    for seat in table.agents:
        role = table.roles[seat] or "agent"
        count = sum(name.rpartition("_")[0] == role for name in names)
        names[f"{role}_{count}"] = seat
    return names


class Table(AECEnv[str, Any, Any]):
    """A world as an AEC environment. `width`: numbers for the contents of one kind of message;
    `encode`: an observation as `size` numbers from -1 to 1. Raises `MootError` as `load_scenario`."""

    def __init__(
        self, source: Source, *, width: int = 64, encode: Encode = encoded, size: int = SIZE
    ) -> None:
        super().__init__()
        self._room = _Room(source, width, encode, size)
        self.metadata = {
            "name": f"moot_{self._room.source.world}_v0",
            "render_modes": ["ansi"],
            "is_parallelizable": True,
        }
        self.render_mode = "ansi"
        self.possible_agents = self._room.agents
        self.action_spaces = cast(Any, self._room.acting)
        self.observation_spaces = cast(Any, self._room.seeing)

    def observation_space(self, agent: str) -> Any:
        return self._room.seeing[agent]

    def action_space(self, agent: str) -> Any:
        return self._room.acting[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.table = self._room.deal(seed)
        self.seats = _named(self.table)
        self.agents = list(self.seats)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {a: {} for a in self.agents}
        self._ask()

    def _ask(self) -> None:
        """Give the floor to whoever is to speak."""
        speaker = self.table.speaker
        self.agent_selection = next(
            (name for name, seat in self.seats.items() if seat == speaker), self.agents[0]
        )
        seen = self.table.observe(self.seats[self.agent_selection])
        self._legal = self._room.slots.legal(seen)
        self.infos[self.agent_selection] = self._room.info(seen, self._legal)

    def observe(self, agent: str) -> Any:
        seat = self.seats[agent]
        mine = seat == self.table.speaker
        return self._room.view(self.table.observe(seat), self._legal if mine else {})

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        reply = action if isinstance(action, Reply) else self._legal.get(int(action), ILLEGAL)
        self.table.step(reply, self.seats[agent])
        if self.table.ended is not None:
            utilities = self.table.episode().outcome.utilities
            self.rewards = {name: utilities[seat] for name, seat in self.seats.items()}
            cut = self.table.ended is Ended.LIMIT
            self.terminations = dict.fromkeys(self.agents, not cut)
            self.truncations = dict.fromkeys(self.agents, cut)
        self._ask()
        self._accumulate_rewards()

    def render(self) -> str:
        """The talk so far, message by message."""
        return _transcript(self.table)

    def close(self) -> None:
        """Nothing is held open."""


class Together(ParallelEnv[str, Any, Any]):
    """A world as a parallel environment: all answer at each step, and the answers of those are taken
    whose turn it is. That is the speaker's; where moves are sealed (all at once, unseen), everybody's.
    Who is not to speak has the mask of a single 0, which does nothing. Parameters as of `Table`."""

    def __init__(
        self, source: Source, *, width: int = 64, encode: Encode = encoded, size: int = SIZE
    ) -> None:
        self._room = _Room(source, width, encode, size)
        self.metadata = {
            "name": f"moot_{self._room.source.world}_v0",
            "render_modes": ["ansi"],
        }
        self.render_mode = "ansi"
        self.possible_agents = self._room.agents
        self.agents = []

    def observation_space(self, agent: str) -> Any:
        return self._room.seeing[agent]

    def action_space(self, agent: str) -> Any:
        return self._room.acting[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self.table = self._room.deal(seed)
        self.seats = _named(self.table)
        self.agents = list(self.seats)
        return self._look()

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        table, agents = self.table, list(self.agents)
        chosen = {self.seats[name]: action for name, action in actions.items()}
        state, taken = table.conversation.state, set[str]()
        while (speaker := table.speaker) is not None and speaker in chosen.keys() - taken:
            if taken and (table.conversation.state != state or not _sealed(table)):
                break
            legal = self._room.slots.legal(table.observe(speaker))
            reply = legal.get(int(chosen[speaker]))
            if reply is None and taken:
                break  # what it saw when it chose is no longer so: it is asked again
            table.step(reply or ILLEGAL, speaker)
            taken.add(speaker)
        ended = table.ended
        rewards = dict.fromkeys(agents, 0.0)
        if ended is not None:
            utilities = table.episode().outcome.utilities
            rewards = {name: utilities[seat] for name, seat in self.seats.items()}
        cut = ended is Ended.LIMIT
        views, infos = self._look()
        if ended is not None:
            self.agents = []
        return (
            views,
            rewards,
            dict.fromkeys(agents, ended is not None and not cut),
            dict.fromkeys(agents, cut),
            infos,
        )

    def _look(self) -> tuple[dict[str, Any], dict[str, Any]]:
        views: dict[str, Any] = {}
        infos: dict[str, Any] = {}
        for agent in self.agents:
            seen = self.table.observe(self.seats[agent])
            if not seen.options and self.table.ended is None and _sealed(self.table):
                moves = self.table.conversation.moves()
                seen = seen._replace(options=tuple(Option(m, ()) for m in moves))
            legal = self._room.slots.legal(seen)
            views[agent] = self._room.view(seen, legal or {0: ILLEGAL})
            infos[agent] = self._room.info(seen, legal)
        return views, infos

    def render(self) -> str:
        """The talk so far, message by message."""
        return _transcript(self.table)

    def close(self) -> None:
        """Nothing is held open."""


def _sealed(table: Environment) -> bool:
    """Whether everybody now moves at once, unseen by the others."""
    talk = table.conversation
    state = talk.protocol.state[talk.state]
    return state.rounds == 1 and all(m.to == NOBODY for m in talk.protocol.table[talk.state])


def _transcript(table: Environment) -> str:
    said = (t.message for t in table.turns)
    return "\n".join(f"{m.sender}: {written(m, table.agents)}" for m in said if m is not None)
