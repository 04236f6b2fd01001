"""Players of network defence: a thief with a plan, a team that follows it by its alerts, and exact play.

The sensible team shares all alerts, so that each of them has the same belief about where the attacker is and
what is left, by Bayes' rule and a guess of how attackers go about it; each then does what is least to be
regretted in its own part. The oracle is shown the state and plays the exact solution of the game in which
everybody sees it. Left out: inspections, which tell a team that shares its alerts little more; bluff.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...protocols import WORLD, Act, Key, Message, Observation, Reply
from .bargaining import field

Player = Callable[[Observation, random.Random], Reply]
Place = tuple[str, frozenset[str]]
"""Where the attacker is, and the hosts that still hold their value."""
PATIENCE = 0.2
"""How often an attacker is thought to hide, and the sensible one does."""
FURTHER = 0.7
"""What a value is to an attacker who is one more link away from it."""


class Round(NamedTuple):
    """What a defender knows of a round that is over. Pairs of an agent and what is known of it."""

    actions: tuple[tuple[str, str], ...]
    found: tuple[tuple[str, bool], ...]
    alerts: tuple[tuple[str, frozenset[str]], ...]
    """Those of the parts of all who have told theirs."""


def rounds(observation: Observation) -> tuple[Round, ...]:
    """All rounds so far, as a defender has heard of them."""
    found: list[tuple[Message, dict[str, frozenset[str]]]] = []
    for message in observation.heard:
        if message.sender == WORLD:
            if _has(message, "found"):
                found.append((message, {observation.agent: _alerts(message)}))
        elif message.act is Act.INFORM_REF and found:
            found[-1][1][message.sender] = _alerts(message)
    return tuple(
        Round(
            tuple(field(message.content, "actions").items()),
            tuple(field(message.content, "found").items()),
            tuple(sorted(alerts.items())),
        )
        for message, alerts in found
    )


def _alerts(message: Message) -> frozenset[str]:
    return frozenset(field(message.content, "alerts"))


def _has(message: Message, name: str) -> bool:
    return message.content is not None and hasattr(message.content, name)


# ---- the attacker --------------------------------------------------------------------------------


def steal(observation: Observation, rng: random.Random) -> Reply:
    """The shortest way to what is worth most on the way, hiding now and then."""
    public = observation.public
    place: Place = public["entry"], frozenset(public["values"])
    for message in observation.heard:
        if message.sender == WORLD and _has(message, "at"):
            left = place[1]
            if field(message.content, "gained"):
                left -= {place[0]}
            place = field(message.content, "at"), left
    if rng.random() < PATIENCE:
        return _acts(observation, "hide")
    likely = habits(read_map(public), place)
    best = max(p for _, p in likely)
    return _acts(observation, rng.choice([a for a, p in likely if p == best]))


def _acts(observation: Observation, action: str) -> Reply:
    return Reply.said(Act.REQUEST, {"action": action}, None, "")


# ---- the map -------------------------------------------------------------------------------------


class Map(NamedTuple):
    """What everybody knows, in a form that functions can remember."""

    links: tuple[tuple[str, tuple[str, ...]], ...]
    values: tuple[tuple[str, int], ...]
    entry: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    missed: float
    false_alarms: float
    isolate: int
    """What it costs to cut a host off."""


def read_map(public: Mapping[str, Any]) -> Map:
    """The map from what is public."""
    links, parts = (
        tuple((name, tuple(hosts)) for name, hosts in public[key].items())
        for key in ("links", "parts")
    )
    values = tuple(public["values"].items())
    chances = public["missed"], public["false_alarms"]
    return Map(links, values, public["entry"], parts, *chances, public["costs"]["isolate"])


@lru_cache(maxsize=256)
def distances(map: Map) -> dict[str, dict[str, int]]:
    """Host -> host -> links between them."""
    links = dict(map.links)
    found: dict[str, dict[str, int]] = {}
    for start in links:
        far, waiting = {start: 0}, [start]
        for host in waiting:
            for other in links[host]:
                if other not in far:
                    far[other] = far[host] + 1
                    waiting.append(other)
        found[start] = far
    return found


@lru_cache(maxsize=4096)
def lure(map: Map, place: Place) -> float:
    """What an attacker can hope for from here: values, less the farther they are."""
    far = distances(map)[place[0]]
    return sum(value * FURTHER ** far[host] for host, value in map.values if host in place[1])


@lru_cache(maxsize=4096)
def ahead(map: Map, place: Place, to_go: int) -> float:
    """What a team has to fear from here: each value, less the farther it is, or what it costs to cut it off
    in every round in which it could be taken."""
    far = distances(map)[place[0]]
    watched = {host for _, part in map.parts for host in part}
    total = 0.0
    for host, value in map.values:
        if host in place[1]:
            loss = value * FURTHER ** far[host]
            turns = max(to_go - far[host], 0)
            total += min(loss, map.isolate * turns) if host in watched else loss * (turns > 0)
    return total


@lru_cache(maxsize=4096)
def habits(map: Map, place: Place) -> tuple[tuple[str, float], ...]:
    """Action -> probability that an attacker is thought to choose it: to where most is to be hoped for, now
    and then elsewhere."""
    at, left = place
    hopes = {f"move {host}": lure(map, (host, left)) for host in dict(map.links)[at]}
    if at in left:
        hopes["take"] = dict(map.values)[at] / FURTHER + lure(map, (at, left - {at}))
    best = max(hopes.values())
    likely = {action: 1.0 if hope >= best - 1e-9 else 0.1 for action, hope in hopes.items()}
    whole = sum(likely.values())
    return (
        *((action, (1 - PATIENCE) * p / whole) for action, p in likely.items()),
        ("hide", PATIENCE),
    )


class Next(NamedTuple):
    """What comes of an attack."""

    place: Place
    done: bool
    there: str
    """Where the attacker is before anybody is thrown out."""


def after(
    map: Map, place: Place, attack: str, isolated: frozenset[str], restored: frozenset[str]
) -> Next:
    """The rules of a round."""
    at, left = place
    do, _, host = attack.partition(" ")
    done = do == "hide" or not isolated & {at, host or at}
    there = host if do == "move" and done else at
    if do == "take" and done:
        left -= {at}
    return Next((map.entry if there in restored else there, left), done, there)


def _done_to(actions: Iterable[str], do: str) -> frozenset[str]:
    return frozenset(a.partition(" ")[2] for a in actions if a.startswith(do))


# ---- the team ------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def believed(map: Map, rounds: tuple[Round, ...]) -> dict[Place, float]:
    """Probability of each place, from the rounds so far and the alerts that were told."""
    if not rounds:
        return {(map.entry, frozenset(host for host, _ in map.values)): 1.0}
    round, before = rounds[-1], believed(map, rounds[:-1])
    did = [action for _, action in round.actions]
    isolated, restored = _done_to(did, "isolate"), _done_to(did, "restore")
    then: dict[Place, float] = {}
    for place, p in before.items():
        for attack, q in habits(map, place):
            new = after(map, place, attack, isolated, restored)
            weight = p * q * _likelihood(map, round, place, attack, new)
            if weight > 0:
                then[new.place] = then.get(new.place, 0.0) + weight
    whole = sum(then.values())
    # Claims that cannot be true tell nothing: all that is left is to believe what was believed.
    return {place: p / whole for place, p in then.items()} if whole > 0 else before


def _likelihood(map: Map, round: Round, place: Place, attack: str, new: Next) -> float:
    """Of what the team found and of the alerts, if this was the attack."""
    host = attack.partition(" ")[2] or place[0]
    touched = None if attack == "hide" else host
    actions, parts = dict(round.actions), dict(map.parts)
    for agent, met in round.found:
        do, _, where = actions[agent].partition(" ")
        real = not new.done and where in (place[0], host) if do == "isolate" else where == new.there
        if met != real:
            return 0.0
    chance = 1.0
    for agent, alerts in round.alerts:
        for watched in parts[agent]:
            p = 1 - map.missed if watched == touched else map.false_alarms
            chance *= p if watched in alerts else 1 - p
    return chance


def plan(observation: Observation) -> str:
    """One's own part in what is best for the team, by what one knows. Who has heard all alerts comes to the
    same plan as all others: the action that helps most, then what helps most beside it, and so on."""
    public, map, known = observation.public, read_map(observation.public), rounds(observation)
    to_go = public["rounds"] - len(known) - 1
    attacks = [
        (place, attack, p * q)
        for place, p in believed(map, known).items()
        for attack, q in habits(map, place)
    ]

    def regret(actions: Mapping[str, str]) -> float:
        """What it costs, what is then taken, and what is still to be feared."""
        isolated = _done_to(actions.values(), "isolate")
        restored = _done_to(actions.values(), "restore")
        lost: float = sum(public["costs"].get(a.partition(" ")[0], 0) for a in actions.values())
        for place, attack, p in attacks:
            new = after(map, place, attack, isolated, restored)
            lost += p * sum(v for h, v in map.values if h in place[1] - new.place[1])
            lost += p * ahead(map, new.place, to_go)
        return lost

    chosen: dict[str, str] = {}
    least = regret(chosen)
    while observation.agent not in chosen:
        tries = [
            {**chosen, agent: f"{do} {host}"}
            for agent, part in public["parts"].items()
            if agent not in chosen
            for host in part
            for do in ("isolate", "restore")
            if (do, host) != ("restore", map.entry)
        ]
        best = min(tries, key=regret)
        if regret(best) >= least - 1e-9:
            return "watch"
        chosen, least = best, regret(best)
    return chosen[observation.agent]


def _defends(observation: Observation, choose: Callable[[Observation], str]) -> Reply:
    """Act; or, in the talk, tell the alerts, then what one means to do."""
    if observation.may(Act.REQUEST):
        return _acts(observation, choose(observation))
    if not observation.may(Act.INFORM):  # nobody else is in the team
        return Reply.said(Act.REFUSE, None, None, "")
    alerts: Sequence[str] = ()
    to_tell = False
    for message in observation.heard:
        if message.sender == WORLD:
            alerts, to_tell = field(message.content, "alerts"), True
        elif message.sender == observation.agent and message.act is Act.INFORM_REF:
            to_tell = False
    if to_tell:
        text = f"Alerts: {', '.join(alerts)}." if alerts else "All quiet in my part."
        text = text if len(text) <= observation.max_text else ""
        return Reply.said(Act.INFORM_REF, {"alerts": list(alerts)}, None, text)
    action = choose(observation)
    text = f"I {action}." if len(action) + 3 <= observation.max_text else ""
    return Reply.said(Act.INFORM, {"action": action}, None, text)


# ---- the players ---------------------------------------------------------------------------------


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """Attacks by the shortest way; defends by what all have told of their alerts."""
    if observation.agent == observation.public["attacker"]:
        return steal(observation, rng)
    return _defends(observation, plan)


def lockdown(observation: Observation, rng: random.Random) -> Reply:
    """Isolates in every round what is worth most in its part; attacks like sensible."""

    def choose(observation: Observation) -> str:
        values = observation.public["values"]
        part: Sequence[str] = observation.public["parts"][observation.agent]
        best = max(part, key=lambda host: values.get(host, 0))
        return f"isolate {best}" if best in values else "watch"

    if observation.agent == observation.public["attacker"]:
        return steal(observation, rng)
    return _defends(observation, choose)


def watcher(observation: Observation, rng: random.Random) -> Reply:
    """Only watches, and tells its alerts; attacks like sensible."""
    if observation.agent == observation.public["attacker"]:
        return steal(observation, rng)
    return _defends(observation, lambda _: "watch")


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Plays the exact solution of the game in which both sides see all; a team draws together."""
    hidden = observation.hidden
    if hidden is None:
        raise ValueError("the oracle needs sees_all: it must be shown the state")
    if observation.agent == observation.public["attacker"]:
        actions = list(hidden["attack"])
        return _acts(observation, rng.choices(actions, list(hidden["attack"].values()))[0])
    about = observation.about
    shared = Key(about.seed, about.episode, "team", hidden["to_go"]).rng("oracle")
    best = hidden["defence"]
    drawn = shared.choices(best, [d["p"] for d in best])[0]["actions"][observation.agent]
    return _defends(observation, lambda _: drawn)


NETWORK_DEFENCE: dict[str, Player] = {
    player.__name__: player for player in (sensible, lockdown, watcher, oracle)
}
"""Name -> player of `network_defence`."""
