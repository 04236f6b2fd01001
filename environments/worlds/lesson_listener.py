"""What a student's answers tell the tutor of its mind in a lesson: a listener for each skill.

Hypotheses: before the lesson the skill was known, misconceived or blank, wholly, with the prior that the
tutor is told; true is what the student held most of (of equal shares, the first). How the mind changes
by what the tutor does, and the chance of each answer, are the rules of `lesson_scenario.py`. `SLIP` of the
answers come from elsewhere, since minds are a little blurred.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...protocols import Act, Message
from ..listening import careless, held, normal
from .lesson_scenario import Exercise, Rates, Shares, Skill

WHOLE = (Shares(1.0, 0.0, 0.0), Shares(0.0, 1.0, 0.0), Shares(0.0, 0.0, 1.0))
"""A mind that holds a skill wholly one way: known, misconceived, blank."""
KINDS = 3
"""Answers that are told apart: right, as one with the wrong idea, any other."""


class SkillListener:
    """A tutor who wants to know how the student stood in one skill. `acts`: what each act is called."""

    def __init__(
        self, tutor: str, skill: Skill, mind: Shares, acts: Mapping[Act, str], name: str
    ) -> None:
        self.seat, self.truth = tutor, mind.index(max(mind))
        prior = np.maximum(np.array(skill.prior.shares()), 1e-6)
        self.logs = np.log(prior / prior.sum())
        self._skill, self._rates, self._acts, self._name = skill, skill.rates, acts, name
        self._minds: tuple[Shares, ...] = WHOLE
        self._minds_then: tuple[Shares, ...] = WHOLE

    def hear(self, message: Message) -> bool:
        """Take note of what the tutor does, and of the answers to this skill's exercises."""
        exercise = self._skill.exercises.get(held(message, "exercise") or "")
        if message.sender != self.seat:
            answer = held(message, "answer")
            if exercise is None or answer is None:
                return False
            chances = [_chance(mind, self._rates, exercise, answer) for mind in self._minds_then]
            self.logs = normal(self.logs + careless(np.array(chances), KINDS))
            return True
        if exercise is not None or held(message, "skill") == self._name:
            act = self._acts[message.act]
            before, rate = self._minds, getattr(self._rates, act)
            self._minds = tuple([mind.after(act, rate) for mind in before])
            # The student thinks of an answer before it learns from an exercise, and after a hint.
            self._minds_then = before if act == "practice" else self._minds
        return False


def _chance(mind: Shares, rates: Rates, exercise: Exercise, answer: str) -> float:
    """Of an answer of this kind."""
    right = mind.score(rates.slip, rates.guess)
    if answer == exercise.right:
        return right
    return mind.misconceived if answer == exercise.misconceived else 1 - right - mind.misconceived
