"""Scenarios of a lesson: skills, exercises, what the student knows; and the exact best lesson.

The student of Bayesian knowledge tracing (Corbett & Anderson 1995, UMUAI 4:253-278) with a third state
for misconceptions. Of each skill it holds shares (known, misconceived, blank) that sum to 1. An exercise
is answered

    rightly         with probability  known (1 - slip) + blank guess
    as misconceived with probability  misconceived

and otherwise in another wrong way. What the tutor does moves shares (the learning rate T of the paper):

    practice, hint, explain          blank -> known   by that rate of blank
    correct                   misconceived -> blank   by that rate of misconceived
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, Field, model_validator

from ..scenario import STRICT, Role, Scenario
from ..world import Solution

TUTOR, STUDENT = "tutor", "student"


class Exercise(BaseModel):
    """One exercise with its answers."""

    model_config = STRICT

    prompt: str = Field(description="What is asked.")
    right: str = Field(description="The right answer.")
    misconceived: str = Field(description="What one answers who has the wrong idea.")
    wrong: list[str] = Field(min_length=1, description="Other wrong answers.")

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        answers = [self.right, self.misconceived, *self.wrong]
        if len(set(answers)) < len(answers):
            raise ValueError(f"answers: got {', '.join(answers)}, want different ones")
        return self


class Mastery(BaseModel):
    """How well a skill is mastered, in percent; what is neither known nor misconceived is blank."""

    model_config = STRICT

    known: int = Field(ge=0, le=100, description="Percent known.")
    misconceived: int = Field(default=0, ge=0, le=100, description="Percent held wrongly.")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.known + self.misconceived > 100:
            raise ValueError(f"known {self.known} and misconceived {self.misconceived} exceed 100")
        return self

    def shares(self) -> Shares:
        return Shares(
            self.known / 100, self.misconceived / 100, (100 - self.known - self.misconceived) / 100
        )


class Rates(BaseModel, frozen=True, extra="forbid"):
    """How a skill is answered and learned; all are probabilities."""

    slip: float = Field(default=0.05, ge=0, le=1, description="Wrong although known.")
    guess: float = Field(default=0.1, ge=0, le=1, description="Right although blank.")
    practice: float = Field(default=0.05, ge=0, le=1, description="Learned by an exercise.")
    hint: float = Field(default=0.1, ge=0, le=1, description="Learned by a hint.")
    explain: float = Field(default=0.5, ge=0, le=1, description="Learned by an explanation.")
    correct: float = Field(default=0.8, ge=0, le=1, description="Unlearned by a correction.")

    @model_validator(mode="after")
    def _knowing_helps(self) -> Self:
        if 1 - self.slip <= self.guess:
            raise ValueError(
                f"slip {self.slip:g}, guess {self.guess:g}: to know must beat to guess"
            )
        return self


class Minutes(BaseModel, frozen=True, extra="forbid"):
    """How long each act takes; talk takes one minute."""

    practice: int = Field(default=1, ge=1, description="To pose an exercise and hear the answer.")
    hint: int = Field(default=1, ge=1, description="To pose it again with a hint.")
    explain: int = Field(default=4, ge=1, description="To explain a skill.")
    correct: int = Field(default=3, ge=1, description="To correct a wrong idea.")


class Skill(BaseModel):
    """One thing to be learned."""

    model_config = STRICT

    exercises: dict[str, Exercise] = Field(min_length=1, description="Name -> exercise.")
    rates: Rates = Field(default=Rates(), description="How it is answered and learned.")
    prior: Mastery = Field(
        default=Mastery(known=35, misconceived=30), description="What a tutor expects beforehand."
    )


class LessonRole(Role):
    """The tutor has the key to the exercises; what the student knows is its secret."""

    role: str = Field(
        default="", description="tutor or student; empty: the seat `tutor` is the tutor."
    )
    knows: dict[str, Mastery] = Field(default={}, description="Student: skill -> mastery.")


class LessonScenario(Scenario):
    """One student, one tutor, so many minutes of teaching, then a test."""

    world: str = "lesson"
    subject: str = Field(description="What the lesson is about.")
    skills: dict[str, Skill] = Field(description="What is to be learned, at most eight.")
    time: int = Field(default=20, ge=1, le=60, description="Minutes until the test.")
    minutes: Minutes = Field(default=Minutes(), description="How long each act takes.")
    enough: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Completed when the gain is this share of what a perfect tutor gains.",
    )
    seed: int = Field(default=0, ge=0, description="Keys the student's answers.")
    roles: dict[str, LessonRole] = Field(description="One tutor, one student.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.protocol.name != "tutoring":
            raise ValueError(f"protocol: got {self.protocol.name!r}, want tutoring")
        deadline = self.protocol.build().deadline
        if deadline is not None and deadline < 2 * self.time:
            raise ValueError(
                f"protocol.deadline: got {deadline}, want twice the time, {2 * self.time}"
            )
        sides = sorted(map(self.side, self.roles))
        if sides != [STUDENT, TUTOR]:
            raise ValueError(f"roles: want one tutor and one student, got {', '.join(sides)}")
        if not 1 <= len(self.skills) <= 8:
            raise ValueError(f"skills: got {len(self.skills)}, want 1 to 8")
        names = [name for skill in self.skills.values() for name in skill.exercises]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ValueError(f"skills: two exercises are called {twice!r}")
        student = self.seat(STUDENT)
        knows = self.roles[student].knows
        if knows.keys() != self.skills.keys():
            raise ValueError(
                f"roles.{student}.knows: got {', '.join(knows) or 'nothing'}, want every skill: "
                f"{', '.join(self.skills)}"
            )
        if self.roles[self.seat(TUTOR)].knows:
            raise ValueError(f"roles.{self.seat(TUTOR)}.knows: a tutor has none")
        if best(*self.key()).gain <= 1e-6:
            raise ValueError("skills: there is nothing to be learned; lower known or raise a rate")
        return self

    def side(self, agent: str) -> str:
        """`tutor` or `student`."""
        return self.roles[agent].role or (TUTOR if agent == TUTOR else STUDENT)

    def seat(self, side: str) -> str:
        """Who sits on that side."""
        return next(a for a in self.roles if self.side(a) == side)

    def key(self) -> tuple[tuple[str, ...], tuple[Shares, ...], tuple[Rates, ...], Minutes, int]:
        """What the solution depends on."""
        knows = self.roles[self.seat(STUDENT)].knows
        shares = tuple(knows[name].shares() for name in self.skills)
        rates = tuple(skill.rates for skill in self.skills.values())
        return tuple(self.skills), shares, rates, self.minutes, self.time


class Shares(NamedTuple):
    """Of one skill; they sum to 1."""

    known: float
    misconceived: float
    blank: float

    def after(self, act: str, rate: float) -> Shares:
        """What they are when the tutor has done this."""
        known, misconceived, blank = self
        if act == "correct":
            moved = rate * misconceived
            return Shares(known, misconceived - moved, blank + moved)
        moved = rate * blank
        return Shares(known + moved, misconceived, blank - moved)

    def score(self, slip: float, guess: float) -> float:
        """Probability of a right answer."""
        return self.known * (1 - slip) + self.blank * guess


class Best(NamedTuple):
    """A perfect tutor's lesson."""

    gain: float
    """Of the expected score of the test, whose points are a mean over skills: 0 to 1."""
    acts: tuple[tuple[str, str], ...]
    """(act, skill) in order."""


Plan = tuple[float, tuple[str, ...]]


@lru_cache(maxsize=256)
def retention(rates: Rates, minutes: Minutes, most: int) -> list[Plan]:
    """For 0 to `most` minutes: the least share of blank that stays blank, and the acts that leave it.

    An unbounded knapsack, once without hints and once after a first exercise, which hints are about.
    """
    ways: list[list[Plan]] = []
    for first in ((), ("practice",)):
        spent = minutes.practice if first else 0
        way: list[Plan] = [(1.0, ())] * min(spent, most + 1)
        for time in range(spent, most + 1):
            options = [way[-1] if time > spent else (1 - rates.practice if first else 1.0, first)]
            for act in ("practice", "hint", "explain") if first else ("practice", "explain"):
                cost: int = getattr(minutes, act)
                if time - cost >= spent:
                    stays, acts = way[time - cost]
                    options.append((stays * (1 - getattr(rates, act)), (*acts, act)))
            way.append(min(options, key=lambda plan: plan[0]))
        ways.append(way)
    return [min(pair, key=lambda plan: plan[0]) for pair in zip(*ways, strict=True)]


def skill_plans(start: Shares, rates: Rates, minutes: Minutes, most: int) -> list[Plan]:
    """For 0 to `most` minutes given to one skill: the best score, and the acts that lead there.

    However many corrections there are, they come first: in any order the misconceived share ends the
    same and each correction frees the same amount, and what is freed earlier is taught more often.
    """
    found: list[Plan] = [(-1.0, ())] * (most + 1)
    stays = retention(rates, minutes, most)
    shares, corrections = start, 0
    while corrections * minutes.correct <= most:
        first = ("correct",) * corrections
        for time in range(len(first) * minutes.correct, most + 1):
            left, acts = stays[time - len(first) * minutes.correct]
            score = shares.after("explain", 1 - left).score(rates.slip, rates.guess)
            if score > found[time][0] + 1e-12:
                found[time] = score, (*first, *acts)
        shares, corrections = shares.after("correct", rates.correct), corrections + 1
    return found


@lru_cache(maxsize=4096)
def best(
    names: tuple[str, ...],
    shares: tuple[Shares, ...],
    rates: tuple[Rates, ...],
    minutes: Minutes,
    time: int,
) -> Best:
    """The largest gain: dynamic programming over skills and the minutes given to each, (K, T)."""
    tables = [skill_plans(s, r, minutes, time) for s, r in zip(shares, rates, strict=True)]
    totals: list[tuple[float, tuple[int, ...]]] = [(0.0, ())] * (time + 1)
    for table in tables:
        totals = [
            max(
                (
                    (totals[t - own][0] + table[own][0], (*totals[t - own][1], own))
                    for own in range(t + 1)
                ),
                key=lambda way: way[0],
            )
            for t in range(time + 1)
        ]
    total, given = totals[time]
    before = sum(s.score(r.slip, r.guess) for s, r in zip(shares, rates, strict=True))
    acts = [
        (act, name)
        for name, table, own in zip(names, tables, given, strict=True)
        for act in table[own][1]
    ]
    return Best((total - before) / len(names), tuple(acts))


def solve(scenario: LessonScenario) -> Solution:
    """Both gain what the student learns; `best` holds a perfect tutor's acts."""
    found = best(*scenario.key())
    acts: list[Any] = [{"act": act, "skill": skill} for act, skill in found.acts]
    return Solution(
        disagreement=(0.0, 0.0),
        frontier=((found.gain, found.gain),),
        max_joint=2 * found.gain,
        max_nash=found.gain**2,
        best={"acts": acts},
    )
