"""Tutors and a student. The student says what comes to its mind; tutors differ in what they do about it.

The sensible tutor traces knowledge (Corbett & Anderson 1995): of each skill a belief over known,
misconceived and blank, moved by Bayes' rule at every answer and by the rates of what it does. It poses an
exercise where knowing the answer is worth more than the minute that it takes, else carries out the best
plan for what it believes, made anew at every turn. The oracle makes the same plan for the student's true
mind. Left out: what several answers together would be worth.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ...protocols import WORLD, Act, Observation, Reply
from .bargaining import field

Belief = tuple[float, float, float]
"""Known, misconceived, blank; they sum to 1."""
TEACHES = {
    Act.QUERY_REF: "practice",
    Act.QUERY_IF: "hint",
    Act.INFORM: "explain",
    Act.DISCONFIRM: "correct",
}
TEACH = ("practice", "hint", "explain")
ASK = ("Try this one: {prompt}", "And this: {prompt}", "Let me see. {prompt}")
HEARD = ("I see.", "All right.", "Oh, so that is how it goes.", "Thank you, I will remember.")


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """A tutor that finds out what is known, then teaches what gains most; a student that answers."""
    if observation.role == "student":
        return _student(observation, rng)
    beliefs, left = _traced(observation), _left(observation)
    name = _worth_asking(observation, beliefs, left)
    if name is not None:
        return _pose(observation, name, rng)
    return _teach(observation, beliefs, left, rng)


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """A tutor that sees the student's mind and teaches what gains most."""
    if observation.role == "student":
        return _student(observation, rng)
    if observation.secrets is None:
        raise ValueError("the oracle needs sees_all: it must be shown all secrets")
    knows = next(s["knows"] for s in observation.secrets.values() if "knows" in s)
    minds = {name: _shares(mastery) for name, mastery in knows.items()}
    for act, name, _ in _done(observation):
        minds[name] = after(minds[name], act, observation.private["rates"][name][act])
    return _teach(observation, minds, _left(observation), rng)


def blind(observation: Observation, rng: random.Random) -> Reply:
    """A tutor that asks nothing and teaches what a student in general lacks."""
    if observation.role == "student":
        return _student(observation, rng)
    return _teach(observation, _traced(observation), _left(observation), rng)


def drill(observation: Observation, rng: random.Random) -> Reply:
    """A tutor that only poses exercises, one skill after the other."""
    if observation.role == "student":
        return _student(observation, rng)
    skills = list(observation.public["skills"])
    return _pose(observation, skills[len(_done(observation)) % len(skills)], rng)


def silent(observation: Observation, rng: random.Random) -> Reply:
    """A tutor that teaches nothing: it ends the lesson at once."""
    if observation.role == "student":
        return _student(observation, rng)
    return Reply(act=Act.CONFIRM, text=_cut(observation, "That is all for today."))


def _student(observation: Observation, rng: random.Random) -> Reply:
    if observation.may(Act.INFORM, content=True):
        thought = next(m.content for m in reversed(observation.heard) if m.sender == WORLD)
        answer = field(thought, "answer")
        content = {"exercise": field(thought, "exercise"), "answer": answer}
        return Reply(act=Act.INFORM, content=content, text=_cut(observation, f"I think: {answer}."))
    return Reply(act=Act.INFORM, text=_cut(observation, rng.choice(HEARD)))


# ---- what a tutor does ---------------------------------------------------------------------------


def _pose(observation: Observation, name: str, rng: random.Random) -> Reply:
    """An exercise of a skill, the least posed one first."""
    posed = [e for _, _, e in _done(observation) if e is not None]
    exercises: Mapping[str, str] = observation.public["skills"][name]
    exercise = min(exercises, key=posed.count)
    words = rng.choice(ASK).format(prompt=exercises[exercise])
    return Reply(act=Act.QUERY_REF, content={"exercise": exercise}, text=_cut(observation, words))


def _teach(
    observation: Observation, minds: Mapping[str, Belief], left: int, rng: random.Random
) -> Reply:
    """The first act of the best plan for these minds; the lesson ends when nothing fits any more."""
    rates, minutes = observation.private["rates"], observation.public["minutes"]
    skills: Mapping[str, Mapping[str, str]] = observation.public["skills"]
    asked = [e for _, _, e in _done(observation) if e is not None]
    hinted = [any(e in skills[name] for e in asked) for name in minds]
    acts = plan(list(minds.values()), [rates[name] for name in minds], hinted, minutes, left)
    # Across skills any order will do; what needs longest first.
    todo = [(name, act) for name, own in zip(minds, acts, strict=True) for act in own[:1]]
    if not todo:
        return Reply(act=Act.CONFIRM, text=_cut(observation, "That is all. Good luck!"))
    name, act = max(todo, key=lambda way: minutes[way[1]])
    exercises = skills[name]
    posed = [e for e in asked if e in exercises]
    if act == "practice" or (act == "hint" and not posed):
        return _pose(observation, name, rng)
    exercise = posed[-1] if posed else next(iter(exercises))
    key, prompt = observation.private["key"][exercise], exercises[exercise]
    if act == "hint":
        words = f"Once more: {prompt} It is not {key['misconceived']}."
        return Reply(
            act=Act.QUERY_IF, content={"exercise": exercise}, text=_cut(observation, words)
        )
    if act == "correct":
        words = f"About {name}: {key['misconceived']} is a common mistake. {prompt} {key['right']}."
        return Reply(act=Act.DISCONFIRM, content={"skill": name}, text=_cut(observation, words))
    words = f"Let me explain {name}. {prompt} The answer is {key['right']}."
    return Reply(act=Act.INFORM, content={"skill": name}, text=_cut(observation, words))


def _worth_asking(observation: Observation, minds: Mapping[str, Belief], left: int) -> str | None:
    """The skill about which an answer is worth most, if it is worth its time; else None.

    The value of a belief is that of the best plan for it; of an answer, the mean over what it may be.
    """
    rates, minutes = observation.private["rates"], observation.public["minutes"]
    rest: int = left - minutes["practice"]
    if rest < 0:
        return None
    asked = {skill for act, skill, _ in _done(observation) if act == "practice"}
    tables = {
        name: [score for score, _ in _for_one(mind, rates[name], name in asked, minutes, left)]
        for name, mind in minds.items()
    }
    best, found = _shared(list(tables.values()), left)[left] + 1e-9, None
    for name, mind in minds.items():
        others = _shared([t for other, t in tables.items() if other != name], rest)
        value = 0.0
        for right, false in ((True, False), (False, True), (False, False)):
            chances = likely(rates[name], right, false)
            chance = sum(m * p for m, p in zip(mind, chances, strict=True))
            if chance > 0:
                then = seen(mind, rates[name], right, false)
                then = after(then, "practice", rates[name]["practice"])
                own = _for_one(then, rates[name], True, minutes, rest)
                value += chance * max(others[rest - t] + own[t][0] for t in range(rest + 1))
        if value > best:
            best, found = value, name
    return found


def _shared(tables: Sequence[Sequence[float]], time: int) -> list[float]:
    """For 0 to `time` minutes: the largest sum of scores when they are shared out."""
    totals = [0.0] * (time + 1)
    for table in tables:
        totals = [
            max(totals[t - own] + table[own] for own in range(t + 1)) for t in range(time + 1)
        ]
    return totals


def plan(
    minds: Sequence[Belief],
    rates: Sequence[Mapping[str, float]],
    hinted: Sequence[bool],
    minutes: Mapping[str, int],
    time: int,
) -> list[tuple[str, ...]]:
    """For each skill the acts of the best lesson: corrections first, then what teaches. `hinted`: whether
    an exercise was posed already, which a hint can be about.

    Dynamic programming over skills and the minutes given to each, as in the world's own solver.
    """
    totals: list[tuple[float, tuple[tuple[str, ...], ...]]] = [(0.0, ())] * (time + 1)
    for mind, rate, posed in zip(minds, rates, hinted, strict=True):
        table = _for_one(mind, rate, posed, minutes, time)
        totals = [
            max(
                (
                    (totals[t - own][0] + table[own][0], (*totals[t - own][1], table[own][1]))
                    for own in range(t + 1)
                ),
                key=lambda way: way[0],
            )
            for t in range(time + 1)
        ]
    return list(totals[time][1])


def _for_one(
    mind: Belief,
    rates: Mapping[str, float],
    posed: bool,
    minutes: Mapping[str, int],
    time: int,
) -> list[tuple[float, tuple[str, ...]]]:
    """For 0 to `time` minutes: best score of one skill, and its acts."""
    costs = tuple(minutes[a] for a in TEACH)
    stays = _blank_after(tuple(rates[a] for a in TEACH), costs, posed, time)
    table: list[tuple[float, tuple[str, ...]]] = [(-1.0, ())] * (time + 1)
    corrections: tuple[str, ...] = ()
    while (spent := len(corrections) * minutes["correct"]) <= time:
        for t in range(spent, time + 1):
            left, acts = stays[t - spent]
            known, _, blank = after(mind, "explain", 1 - left)
            score = known * (1 - rates["slip"]) + blank * rates["guess"]
            if score > table[t][0] + 1e-12:
                table[t] = score, (*corrections, *acts)
        mind, corrections = after(mind, "correct", rates["correct"]), (*corrections, "correct")
    return table


@lru_cache(maxsize=256)
def _blank_after(
    rates: tuple[float, ...], minutes: tuple[int, ...], posed: bool, time: int
) -> list[tuple[float, tuple[str, ...]]]:
    """For 0 to `time` minutes: how much of what is blank stays so at best, and the acts for it.

    Either without hints, or with a first exercise for the hints to be about.
    """
    ways: list[list[tuple[float, tuple[str, ...]]]] = []
    for first in ((), ("practice",)):
        spent = minutes[0] if first else 0
        way: list[tuple[float, tuple[str, ...]]] = [(1.0, ())] * min(spent, time + 1)
        for t in range(spent, time + 1):
            options = [way[t - 1] if t > spent else (1 - rates[0] if first else 1.0, first)]
            for act, rate, cost in zip(TEACH, rates, minutes, strict=True):
                if t - cost >= spent and (act != "hint" or posed or first):
                    before, acts = way[t - cost]
                    options.append((before * (1 - rate), (*acts, act)))
            way.append(min(options, key=lambda o: o[0]))
        ways.append(way)
    return [min(pair, key=lambda o: o[0]) for pair in zip(*ways, strict=True)]


# ---- what a tutor knows --------------------------------------------------------------------------


def after(mind: Belief, act: str, rate: float) -> Belief:
    """A belief once the tutor has done this."""
    known, misconceived, blank = mind
    if act == "correct":
        return known, misconceived * (1 - rate), blank + misconceived * rate
    return known + blank * rate, misconceived, blank * (1 - rate)


def likely(rates: Mapping[str, float], right: bool, false: bool) -> Belief:
    """How likely an answer (right, as misconceived, or otherwise wrong) is for each state."""
    slip, guess = rates["slip"], rates["guess"]
    if right:
        return 1 - slip, 0.0, guess
    return (0.0, 1.0, 0.0) if false else (slip, 0.0, 1 - guess)


def seen(mind: Belief, rates: Mapping[str, float], right: bool, false: bool) -> Belief:
    """A belief after an answer that was right, as misconceived, or otherwise wrong (Bayes' rule)."""
    likelihood = likely(rates, right, false)
    weights = [m * p for m, p in zip(mind, likelihood, strict=True)]
    total = sum(weights)
    if total <= 0:  # the prior did not think that possible: believe the answer
        return (1.0, 0.0, 0.0) if right else (0.0, 1.0, 0.0) if false else (0.0, 0.0, 1.0)
    known, misconceived, blank = (w / total for w in weights)
    return known, misconceived, blank


def _traced(observation: Observation) -> dict[str, Belief]:
    """Of each skill the belief after all that was done and answered."""
    private = observation.private
    minds = {name: _shares(mastery) for name, mastery in private["prior"].items()}
    answers = [
        m.content
        for m in observation.heard
        if m.act is Act.INFORM and m.sender != observation.agent
    ]
    said = iter([a for a in answers if a is not None])
    for act, name, exercise in _done(observation):
        rates = private["rates"][name]
        if act == "hint":
            minds[name] = after(minds[name], act, rates[act])
        answer = next(said, None) if exercise is not None else None
        if answer is not None and exercise is not None:
            key, given = private["key"][exercise], field(answer, "answer")
            right, false = given == key["right"], given == key["misconceived"]
            minds[name] = seen(minds[name], rates, right, false)
        if act != "hint":
            minds[name] = after(minds[name], act, rates[act])
    return minds


def _done(observation: Observation) -> list[tuple[str, str, str | None]]:
    """The tutor's own acts of teaching: (act, skill, exercise if there was one)."""
    skills = observation.public["skills"]
    of = {exercise: name for name, exercises in skills.items() for exercise in exercises}
    found: list[tuple[str, str, str | None]] = []
    for message in observation.heard:
        if message.sender == observation.agent and message.content is not None:
            act = TEACHES[message.act]
            if act in ("practice", "hint"):
                exercise = field(message.content, "exercise")
                found.append((act, of[exercise], exercise))
            else:
                found.append((act, field(message.content, "skill"), None))
    return found


def _left(observation: Observation) -> int:
    """Minutes until the test."""
    minutes = observation.public["minutes"]
    own = [m for m in observation.heard if m.sender == observation.agent]
    spent = sum(1 if m.content is None else minutes[TEACHES[m.act]] for m in own)
    return observation.public["time"] - spent


def _shares(mastery: Mapping[str, int]) -> Belief:
    known, misconceived = mastery["known"] / 100, mastery["misconceived"] / 100
    return known, misconceived, 1 - known - misconceived


def _cut(observation: Observation, words: str) -> str:
    return words[: observation.max_text]


PLAYERS = {
    "sensible": sensible, "oracle": oracle, "blind": blind, "drill": drill, "silent": silent,
}  # fmt: skip
