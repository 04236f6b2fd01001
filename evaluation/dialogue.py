"""One episode as plain data for a page to show: who sat where, what was said, what an offer was worth.

What was won and lost is told of offers alone, since only they have a worth that an agent can compute from
its own values. For a seat a with disagreement point d_a that received offers worth w_1, w_2, ... to it and
ended with u_a:

    won_k  = max(0, w_k - max(d_a, w_1, ..., w_{k-1}))      the offer that was better than all before
    lost   = max_k w_k - u_a, where that is positive         told at a's first reply to the best offer

Left out: token ids and log-probabilities, which nobody reads, and raw replies that became messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, cast

from ..environments import WORLDS, Drawing, Episode, Solution, Turn, replay, said
from ..environments.scenario import COACH
from ..protocols import Act, Message, Reply
from .learned import Learned
from .written import written

MOST_POINTS = 41
"""Of a frontier that a page draws; a longer one is thinned."""
MOST_RAW = 4000
"""Characters of an illegal reply that are kept."""
EPS = 1e-9

Data = dict[str, Any]


def dialogue(
    episode: Episode,
    solution: Solution | None,
    *,
    pictures: bool = False,
    learned: Sequence[Learned | None] = (),
) -> Data:
    """The episode for JSON. `pictures` replays it where its world draws its state; `learned` is what each
    message told of secrets, for the turns' `bits` (gained, about the truth)."""
    scenario = episode.scenario
    seats = list(scenario.roles)
    world = WORLDS[scenario.world].build(scenario)
    roles = world.roles()
    turns = [_turn(turn, seats) for turn in episode.turns]
    none = list(solution.disagreement) if solution else [0.0] * len(seats)
    _weigh(episode, turns, seats, none)
    said_in = (shown for shown, turn in zip(turns, episode.turns, strict=True) if turn.message)
    for shown, told in zip(said_in, learned, strict=False):
        if told is not None:
            shown["bits"] = [round(told.gained, 3), round(told.true, 3)]
    utilities = episode.outcome.utilities
    results: Mapping[str, float] = episode.outcome.results or {}
    data: Data = {
        "id": episode.id,
        "seed": episode.seed,
        "name": scenario.name,
        "source": scenario.source,
        "brief": scenario.brief,
        "world": scenario.world,
        "protocol": scenario.protocol.model_dump(),
        "public": plain(world.public()),
        "seats": [
            {
                "name": a,
                "role": roles[a],
                "spec": episode.seats.get(a, ""),
                "brief": scenario.roles[a].brief,
                "private": plain(world.private(a)),
                "points": utilities.get(a),
            }
            for a in seats
        ],
        "ended": str(episode.ended),
        "why": episode.why,
        "completed": episode.outcome.completed,
        "deal": plain(episode.outcome.deal),
        "results": dict(results),
        "turns": turns,
    }
    if solution is not None:
        data["best"] = solution.max_joint if isfinite(solution.max_joint) else None
        if len(seats) == 2:
            data |= {"none": none, "frontier": frontier(solution), "nash": nash_point(solution)}
    coach = scenario.coach
    if coach is not None:
        spec = episode.seats.get(COACH, "")
        data["coach"] = {"name": COACH, "of": coach.of, "brief": coach.brief, "spec": spec}
    turning = swing(turns)
    if turning is not None:
        data["swing"], data["swung"] = turning
    if pictures and draws(scenario.world):
        _draw(episode, data)
    return data


def plain(value: object) -> Any:
    """Data that JSON can hold: None for what is not known, words for what else it cannot hold."""
    return json.loads(written(value, default=str))


def frontier(solution: Solution) -> list[list[float]]:
    """Points of a two-seat frontier, ascending in the first; the two ends of its line for `transfer`.
    Empty where the best is not known."""
    if solution.transfer:
        (one, two), most = solution.disagreement, solution.max_joint
        there = isfinite(most) and most > one + two + EPS
        return [[one, most - one], [most - two, two]] if there else []
    points = [list(p) for p in solution.frontier]
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(i * last / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]


def nash_point(solution: Solution) -> list[float] | None:
    """Where the product of gains is largest (Nash 1950); None where not all can gain, or nobody knows."""
    none = solution.disagreement
    if solution.transfer:
        share = (solution.max_joint - sum(none)) / len(none)
        return [d + share for d in none] if isfinite(share) and share > EPS else None
    best = max(solution.frontier, key=solution.nash, default=None)
    return None if best is None or solution.nash(best) <= EPS else list(best)


def _turn(turn: Turn, seats: Sequence[str]) -> Data:
    """What one reply was; fields that say nothing are left out."""
    found: Data = {"agent": turn.agent}
    message, reply = turn.message, turn.reply
    if message is not None:
        found |= _message(message, seats)
    if turn.error is not None:
        error = turn.error
        found["error"] = {"kind": error.kind, "arrived": error.arrived, "legal": error.legal}
        raw = None if reply is None else reply.raw
        if raw is not None and raw.strip() != error.arrived.strip():
            found["raw"] = raw[:MOST_RAW]
    elif message is None:
        found["broken"] = (reply.error if reply else None) or "no reply"
    if reply is not None:
        facts = {
            "thought": reply.thought,
            "prompt": reply.prompt_tokens,
            "tokens": reply.completion_tokens,
            "mass": reply.legal_mass,
            "dropped": reply.dropped or None,
            "attempts": reply.attempts if reply.attempts > 1 else None,
        }
        found |= {k: v for k, v in facts.items() if v is not None}
    notices = turn.told or ()  # None in an episode that was just played
    if notices:
        found["told"] = [{"agent": m.sender, **_message(m, seats)} for m in notices]
    return found


def _message(message: Message, seats: Sequence[str]) -> Data:
    found: Data = {"act": str(message.act)}
    if set(message.receivers) != set(seats) - {message.sender}:
        found["to"] = list(message.receivers)
    if message.content is not None:
        found["content"] = message.content.model_dump(mode="json")
    if message.text:
        found["text"] = message.text
    if message.in_reply_to is not None:
        found["answers"] = message.in_reply_to
    return found


def _weigh(episode: Episode, turns: list[Data], seats: Sequence[str], none: list[float]) -> None:
    """Add `worth` (seat -> utility of the offer), `won` and `lost` ({seat, points}) to the turns."""
    world = WORLDS[episode.scenario.world].build(episode.scenario)
    best = dict(zip(seats, none, strict=True))
    reply_to: dict[str, int] = {}  # seat -> turn of the best offer that it received
    for i, turn in enumerate(episode.turns):
        message = turn.message
        if message is None or message.act is not Act.PROPOSE or message.content is None:
            continue
        worth: dict[str, float] = {}
        for a in (message.sender, *message.receivers):
            space = world.space(a) if a in best else None
            if space is not None:
                try:
                    worth[a] = float(space.utility(message.content, mine=a == message.sender))
                except (
                    AttributeError,
                    KeyError,
                    TypeError,
                ):  # a person's offer, not wholly on record
                    continue
        if not worth:
            continue
        turns[i]["worth"] = worth
        gains = {a: w - best[a] for a, w in worth.items() if a != message.sender}
        who = max(gains, key=gains.__getitem__, default=None)
        if who is not None and gains[who] > EPS:
            turns[i]["won"] = {"seat": who, "points": gains[who]}
        for a, gain in gains.items():
            if gain > EPS:
                best[a], reply_to[a] = worth[a], i
    for a, offered in reply_to.items():
        ended = episode.outcome.utilities.get(a)
        if ended is None or best[a] - ended <= EPS:
            continue
        answer = next(
            (i for i in range(offered + 1, len(turns)) if turns[i]["agent"] == a), offered
        )
        lost = {"seat": a, "points": best[a] - ended}
        if lost["points"] > turns[answer].get("lost", lost | {"points": 0})["points"]:
            turns[answer]["lost"] = lost


def swing(turns: Sequence[Mapping[str, Any]]) -> tuple[int, float] | None:
    """The turn where most was won or lost, and how many points; None where nothing can be told."""
    sizes: dict[int, float] = {
        i: max(t[k]["points"] for k in ("won", "lost") if k in t)
        for i, t in enumerate(turns)
        if "won" in t or "lost" in t
    }
    if not sizes:
        return None
    turn = max(sizes, key=sizes.__getitem__)
    return turn, sizes[turn]


def draws(world: str) -> bool:
    """Whether this world makes pictures of its state."""
    return hasattr(WORLDS[world], "picture")


def _draw(episode: Episode, data: Data) -> None:
    """Add `picture`, an SVG: the start's to the episode, and to the turns that changed it."""
    table = replay(episode, 0)
    now = data["picture"] = cast(Drawing, table.world).picture()
    for turn, shown in zip(episode.turns, data["turns"], strict=True):
        reply = turn.reply
        if reply is None:
            reply = said(turn.message) if turn.message is not None else Reply()
        table.step(reply, turn.agent)
        picture = cast(Drawing, table.world).picture()
        if picture != now:
            now = shown["picture"] = picture
