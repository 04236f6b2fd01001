"""What was one message worth? Fork the episode at its turn, say something else, play both to the end.

    value = mean over replays k of  u(said, seed k) - u(changed, seed k)

Both branches of a replay have the same seed, and all draws are keyed by seed, agent and turn, so that only
the message makes a difference to what the agents draw. Replay 0 has the episode's own seed. The interval is
over replays (a paired bootstrap): it speaks of this message in this episode, told to these agents.

Left out: the value of a message for what comes after several changes at once (Shapley values).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..agents.seats import Seat, Spec, seat_all
from ..environments import WORLDS, Episode, fork, play
from ..protocols import Act, Message, MootError, Reply
from ..protocols.observation import hashed
from .paired import Estimate, mean

if TYPE_CHECKING:
    from ..agents.adapters import Opener

Change = Literal["again", "silence"] | Message | Reply
"""The speaker is asked again; it says nothing (an inform without words); or something else."""


@dataclass(frozen=True, slots=True)
class MessageValue:
    """The worth of what was said at one turn, in points of the world's score."""

    turn: int
    message: Message
    agents: dict[str, Estimate]
    """Agent -> what the message was worth to it."""
    joint: Estimate
    """The same for all agents together."""
    completed: Estimate
    """What it did to the chance that the task is done."""
    replays: int

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "turn": self.turn,
            "speaker": self.message.sender,
            "act": str(self.message.act),
            "text": self.message.text,
            "agents": {a: _data(e) for a, e in self.agents.items()},
            "joint": _data(self.joint),
            "completed": _data(self.completed),
            "replays": self.replays,
        }


def message_value(
    episode: Episode,
    turn: int,
    seats: Mapping[str, Spec] | None = None,
    *,
    replays: int = 20,
    change: Change = "again",
    opener: Opener | None = None,
    watched: Callable[[int], None] | None = None,
) -> MessageValue | None:
    """What the message at `turn` (from 0) was worth to each agent.

    `seats`: seat, role or `*` -> spec; default: who played the episode. `change`: what happens instead.
    `opener` opens adapters that specs name; `watched` is told the turn after each of the `2 * replays`
    plays. None where nothing was said or the change is not legal there.
    Raises `MootError` for a turn that there is not, and for human dialogues.
    """
    if not 0 <= turn < len(episode.turns):
        raise MootError(
            f"episode {episode.id} has no turn {turn}: it has 0 to {len(episode.turns) - 1}"
        )
    return _value(episode, turn, _seated(episode, seats, opener), replays, change, watched)


def message_values(
    episode: Episode,
    seats: Mapping[str, Spec] | None = None,
    *,
    replays: int = 20,
    change: Change = "again",
    opener: Opener | None = None,
    watched: Callable[[int], None] | None = None,
) -> Iterator[MessageValue]:
    """The worth of every message of an episode that can be changed so, turn by turn."""
    sitting = _seated(episode, seats, opener)
    for turn in range(len(episode.turns)):
        found = _value(episode, turn, sitting, replays, change, watched)
        if found is not None:
            yield found


def _value(
    episode: Episode,
    turn: int,
    sitting: Mapping[str, Seat],
    replays: int,
    change: Change,
    watched: Callable[[int], None] | None,
) -> MessageValue | None:
    if not episode.turns[turn].state:
        raise MootError("a human dialogue cannot be played on; want an episode that agents played")
    if replays < 2:
        raise MootError(f"replays: got {replays}, want a number >= 2")
    message, instead = episode.turns[turn].message, _instead(change)
    if message is None:
        return None
    if instead is not None and fork(episode, turn, instead).turns[-1].message is None:
        return None
    pools = {name: seat.pool for name, seat in sitting.items()}
    sees_all = _sees_all(episode, sitting)
    seeds = [episode.seed] + [
        hashed(episode.seed, episode.id, "", turn, f"replay {k}") >> 65 for k in range(1, replays)
    ]

    def ends(at_first: Message | Reply | None) -> dict[int, Episode]:
        tables = [fork(episode, turn, at_first, seed=s, sees_all=sees_all) for s in seeds]
        found: dict[int, Episode] = {}
        for one in play(tables, pools):
            found[one.seed] = one
            if watched is not None:
                watched(turn)
        return found

    said, other = ends(message), ends(instead)
    pairs = [(said[seed].outcome, other[seed].outcome) for seed in seeds]
    agents = {
        a: _mean([one.utilities[a] - two.utilities[a] for one, two in pairs])
        for a in episode.scenario.roles
    }
    joint = [sum(one.utilities.values()) - sum(two.utilities.values()) for one, two in pairs]
    done = [float(one.completed) - float(two.completed) for one, two in pairs]
    return MessageValue(turn, message, agents, _mean(joint), _mean(done), replays)


def _seated(
    episode: Episode, seats: Mapping[str, Spec] | None, opener: Opener | None
) -> dict[str, Seat]:
    return seat_all(dict(seats or episode.seats), opener)


def _sees_all(episode: Episode, sitting: Mapping[str, Seat]) -> frozenset[str]:
    """Agents that are shown everybody's secrets."""
    roles = WORLDS[episode.scenario.world].build(episode.scenario).roles()
    found = {a: next((n for n in (a, r, "*") if n in sitting), None) for a, r in roles.items()}
    return frozenset(a for a, name in found.items() if name is not None and sitting[name].sees_all)


def _instead(change: Change) -> Message | Reply | None:
    if change == "again":
        return None
    return Reply(act=Act.INFORM) if change == "silence" else change


def _mean(values: list[float]) -> Estimate:
    found = mean({"replays": values})
    assert found is not None
    return found


def _data(e: Estimate) -> dict[str, Any]:
    return {"value": e.value, "ci": [e.low, e.high], "n": e.n}
