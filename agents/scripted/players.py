"""Scripted agents in every world: `scripted:NAME` by the world that it finds itself in.

Worlds where offers are ranked or tasks contracted are played by the tactics of `strategies.py`. Every other
world has a file of its own here, with a dict of players: a function of the observation and of the turn's
own randomness. Three names play everywhere: `random` (any legal reply), `sensible`, `oracle` (it is shown
everybody's secrets). Adding a world: write its file, add its line to `PLAYERS`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Any

from ...protocols import Act, MootError, Observation, Reply, did_you_mean
from ...protocols.schemas import sample
from . import adventure, crossing, desk, friends, hybrid, kitchen, lesson, rescue
from .auction_house import AUCTION_HOUSE
from .commons import COMMONS
from .hidden_role import HIDDEN_ROLE
from .matrix_game import MATRIX_GAME
from .network_defence import NETWORK_DEFENCE
from .strategies import STRATEGIES

Player = Callable[[Observation, random.Random], Reply]

PLAYERS: dict[str, Mapping[str, Player]] = {
    "adventure": adventure.PLAYERS,
    "crossing": crossing.PLAYERS,
    "hybrid": hybrid.PLAYERS,
    "lesson": lesson.PLAYERS,
    "matrix_game": MATRIX_GAME,
    "kitchen": kitchen.PLAYERS,
    "rescue": rescue.PLAYERS,
    "mutual_friends": friends.PLAYERS,
    "support_desk": desk.PLAYERS,
    "commons": COMMONS,
    "auction_house": AUCTION_HOUSE,
    "hidden_role": HIDDEN_ROLE,
    "network_defence": NETWORK_DEFENCE,
}
"""World -> name -> its player there."""
LEAVING = (Act.CANCEL, Act.NOT_UNDERSTOOD)
SEES_ALL = frozenset({"nash", "oracle"})
"""Names that are shown everybody's secrets."""
AMONG_TACTICS = {"sensible": "open", "oracle": "nash"}
"""What the names that play everywhere are called in `strategies.py`."""


class Scripted:
    """The agent behind `scripted:NAME`. Raises `MootError` for a name that nobody plays."""

    def __init__(self, name: str) -> None:
        if name not in names():
            raise MootError(f"unknown strategy {name!r}; {did_you_mean(name, names())}")
        self.name, self.sees_all = name, name in SEES_ALL
        tactics = STRATEGIES.get(AMONG_TACTICS.get(name, name))
        self._tactics = None if tactics is None else tactics()

    def plays(self, world: str) -> bool:
        """Whether it knows what to do in this world; any world is played at `random`."""
        return self._player(world) is not None

    def reply(self, observation: Observation) -> Reply:
        """The move for this observation; as a coach, silence. Raises `MootError` in a world that it does
        not play."""
        if observation.about.role == "coach":
            return Reply.said(Act.INFORM, None, None, "")
        player = self._player(observation.about.world)
        if player is None:
            raise MootError(unplayed(self.name, observation.about.world))
        return player(observation)

    def _player(self, world: str) -> Callable[[Observation], Reply] | None:
        players = PLAYERS.get(world)
        if players is not None and self.name in players:
            own = players[self.name]
            return lambda observation: own(observation, observation.rng("scripted"))
        if players is None and self._tactics is not None:
            return self._tactics.reply
        return at_random if self.name == "random" else None


def at_random(observation: Observation) -> Reply:
    """Any legal act as likely as any other, with any content; it leaves only where it must. No words."""
    rng = observation.rng("random")
    by_act: dict[str, list[Mapping[str, Any]]] = {}
    for choice in observation.schema()["anyOf"]:
        by_act.setdefault(choice["properties"]["act"]["const"], []).append(choice["properties"])
    acts = [act for act in by_act if act not in LEAVING] or list(by_act)
    fields = rng.choice(by_act[rng.choice(acts)])
    said = {name: sample(schema, rng) for name, schema in fields.items() if name != "text"}
    return Reply.model_validate(said)


def unplayed(name: str, world: str) -> str:
    """Why a strategy cannot be seated in a world."""
    there = [n for n in names() if Scripted(n).plays(world)]
    return f"scripted:{name} does not play {world}; these do: {', '.join(there)}"


def names() -> dict[str, str]:
    """Every name -> what it does, in one line."""
    found = {name: _first_line(make) for name, make in STRATEGIES.items()}
    found["sensible"] = "Plays every world well from what it knows itself; bargains like open."
    found["oracle"] = "Plays every world from everybody's secrets; bargains like nash."
    for world, players in PLAYERS.items():
        for name, player in players.items():
            found.setdefault(name, f"{_first_line(player)} ({world})")
    return dict(sorted(found.items()))


def _first_line(thing: object) -> str:
    return (getdoc(thing) or "").partition("\n")[0]
