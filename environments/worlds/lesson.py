"""A lesson: a tutor who does not see into the student's head, and a student who learns from what it does.

The world keeps the student's mind (knowledge tracing with misconceptions, see `lesson_scenario.py`). It
tells the student alone which answer comes to its mind, and only that answer is legal; the words around
it are free. The tutor sees answers, never the mind. Acts take minutes; when the time is up comes the test:

    both score the learning gain: expected test score after the lesson minus before, a mean over skills

which is exact: a silent tutor gains 0, a perfect one (who sees the mind) the solver's `max_joint` / 2.
Shares of a mind stand for probabilities, so an answer is drawn anew each time and the gain is no luck.
Left out: forgetting, skills that need other skills, moods, and words that teach (acts do).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Answer, Choice, Content, Ended, Message, Move, OfferSpace, Question
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Listener, Notice, Outcome, Solution
from .lesson_listener import SkillListener
from .lesson_scenario import STUDENT, TUTOR, LessonScenario, best, solve
from .lesson_subjects import LessonGenerator

ACTS = {
    Act.QUERY_REF: "practice",
    Act.QUERY_IF: "hint",
    Act.INFORM: "explain",
    Act.DISCONFIRM: "correct",
}


class Pose(Question):
    """The exercise that the tutor poses."""

    model_config = STRICT
    exercise: str


class Topic(Choice):
    """The skill that the tutor explains or corrects."""

    model_config = STRICT
    skill: str


class Attempt(Answer):
    """What the student answers to the exercise."""

    model_config = STRICT
    exercise: str
    answer: str


class Lesson:
    """One lesson."""

    name: ClassVar[str] = "lesson"
    summary: ClassVar[str] = "a tutor teaches a student whose mind it does not see; learning gain"
    Scenario: ClassVar[type[Scenario]] = LessonScenario
    Generator: ClassVar[type[BaseModel]] = LessonGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {
        Question: Pose, Choice: Topic, Answer: Attempt
    }  # fmt: skip

    def __init__(self, scenario: LessonScenario) -> None:
        self.scenario = scenario
        self.tutor, self.student = scenario.seat(TUTOR), scenario.seat(STUDENT)
        self._key = scenario.key()
        self._mind = dict(zip(scenario.skills, self._key[1], strict=True))
        self._skill = {e: s for s, skill in scenario.skills.items() for e in skill.exercises}
        self._topics = closed({"skill": {"enum": list(scenario.skills)}})
        self._exercises = closed({"exercise": {"enum": list(self._skill)}})
        self._pre = self._score()
        self._asked: list[str] = []
        self._thought: Attempt | None = None
        self._done: list[dict[str, str]] = []
        self._right = self._answers = 0
        self._left, self._heard = scenario.time, False

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(LessonScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best` holds a perfect tutor's acts, in order."""
        return solve(cast(LessonScenario, scenario))

    def roles(self) -> Mapping[str, str]:
        return {a: self.scenario.side(a) for a in self.scenario.roles}

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        exercises = {
            name: {e: exercise.prompt for e, exercise in skill.exercises.items()}
            for name, skill in s.skills.items()
        }
        minutes = s.minutes.model_dump()
        return {"subject": s.subject, "time": s.time, "minutes": minutes, "skills": exercises}

    def private(self, agent: str) -> Mapping[str, Any]:
        """The tutor has the key and what is known of students in general; the student its mind."""
        s = self.scenario
        if agent == self.student:
            return {"knows": {k: m.model_dump() for k, m in s.roles[agent].knows.items()}}
        return {
            "key": {
                e: {"right": x.right, "misconceived": x.misconceived}
                for skill in s.skills.values()
                for e, x in skill.exercises.items()
            },
            "rates": {name: skill.rates.model_dump() for name, skill in s.skills.items()},
            "prior": {name: skill.prior.model_dump() for name, skill in s.skills.items()},
        }

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        everyone = (
            f"{self.tutor} teaches {self.student} {s.subject}: {', '.join(s.skills)}. After {s.time}"
            f" minutes comes a test; both score what {self.student} has gained. Minutes: an exercise"
            f" {s.minutes.practice}, a hint {s.minutes.hint}, to explain {s.minutes.explain}, to correct"
            f" {s.minutes.correct}, talk 1."
        )
        if agent == self.student:
            held = "; ".join(
                f"{name}: {m.known}% known, {m.misconceived}% a wrong idea"
                for name, m in s.roles[agent].knows.items()
            )
            return (
                everyone,
                f"What you know before the lesson: {held}. Answer what comes to your mind.",
            )
        lines = [
            f"- {e} ({name}): {x.prompt} Right: {x.right}. With the wrong idea: {x.misconceived}."
            for name, skill in s.skills.items()
            for e, x in skill.exercises.items()
        ]
        advice = "Explaining teaches what is not known yet, but not who has a wrong idea: correct that first."
        return everyone, "Exercises:\n" + "\n".join([*lines, advice])

    def explain(self, move: Move) -> str:
        words: dict[object, str] = {
            Question: '{"exercise": name}',
            Choice: '{"skill": name}',
            Answer: '{"exercise": name, "answer": what comes to your mind}',
        }
        return words[move.content]

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        if move.content is Answer:
            if self._thought is None:
                return None
            return closed({k: {"const": v} for k, v in vars(self._thought).items()})
        if self._minutes(move.act) > self._left:
            return None
        if move.content is Choice:
            return self._topics
        if move.act is Act.QUERY_REF:
            return self._exercises
        return closed({"exercise": {"enum": list(self._asked)}}) if self._asked else None

    def _minutes(self, act: Act) -> int:
        return getattr(self.scenario.minutes, ACTS[act])

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        if isinstance(content, Attempt):
            return None if content == self._thought else "the answer that came to your mind"
        if self._minutes(move.act) > self._left:
            return f"what takes {self._left} minutes at most"
        if isinstance(content, Topic):
            skills = self.scenario.skills
            return None if content.skill in skills else f"a skill of {', '.join(skills)}"
        known = self._asked if move.act is Act.QUERY_IF else list(self._skill)
        if cast(Pose, content).exercise in known:
            return None
        if move.act is Act.QUERY_IF:
            return f"an exercise that was posed: {', '.join(known) or 'none yet'}"
        return f"an exercise of {', '.join(known)}"

    def hear(self, message: Message) -> None:
        content = message.content
        if message.sender == self.student:
            if self._thought is not None:
                self._answers += 1
                exercise = self._thought.exercise
                skill = self.scenario.skills[self._skill[exercise]]
                self._right += self._thought.answer == skill.exercises[exercise].right
                self._thought = None
            self._heard = self._left <= 0
        elif content is not None:
            self._left -= self._minutes(message.act)
            self._teach(ACTS[message.act], content)
        else:
            self._left -= 1

    def _teach(self, act: str, content: Content) -> None:
        """The student thinks of an answer before it learns from an exercise, and after a hint."""
        exercise = content.exercise if isinstance(content, Pose) else None
        name = self._skill[exercise] if exercise else cast(Topic, content).skill
        self._done.append({"act": act, "skill": name})
        if exercise and act == "practice":
            if exercise not in self._asked:
                self._asked.append(exercise)
            self._think(exercise, name)
        rate: float = getattr(self.scenario.skills[name].rates, act)
        self._mind[name] = self._mind[name].after(act, rate)
        if exercise and act == "hint":
            self._think(exercise, name)

    def _think(self, exercise: str, name: str) -> None:
        """Which answer comes to the student's mind, by the chance of the scenario's own seed."""
        skill, mind = self.scenario.skills[name], self._mind[name]
        x, chance = (
            skill.exercises[exercise],
            random.Random(f"{self.scenario.seed}|{len(self._done)}"),
        )
        right, drawn = mind.score(skill.rates.slip, skill.rates.guess), chance.random()
        answer = chance.choice(x.wrong)
        if drawn < right:
            answer = x.right
        elif drawn < right + mind.misconceived:
            answer = x.misconceived
        self._thought = Attempt(exercise=exercise, answer=answer)

    def tell(self) -> Sequence[Notice]:
        """The student alone is told what comes to its mind."""
        thought = self._thought
        if thought is None:
            return ()
        text = f"To {thought.exercise}, what comes to your mind is: {thought.answer}"
        return (Notice((self.student,), text, thought.model_dump()),)

    def over(self) -> Ended | None:
        """The test comes when the time is up and the student has had its say."""
        return Ended.DONE if self._heard else None

    def _score(self) -> float:
        """Expected score of the test now."""
        skills = self.scenario.skills
        scores = [
            mind.score(skills[name].rates.slip, skills[name].rates.guess)
            for name, mind in self._mind.items()
        ]
        return sum(scores) / len(scores)

    def outcome(self, ended: Ended) -> Outcome:
        """What was learned counts however the lesson ended; `results` tells the test before and after,
        the share of a perfect tutor's gain, and the share of answers that were right."""
        most, post = best(*self._key).gain, self._score()
        gain = post - self._pre if self._done else 0.0
        share = gain / most
        results = {"pre": self._pre, "post": post, "share_of_best": share}
        if self._answers:
            results["right"] = self._right / self._answers
        return Outcome(
            completed=ended is Ended.DONE and share >= self.scenario.enough - 1e-9,
            deal={"acts": list(self._done), "post": post} if self._done else None,
            utilities=dict.fromkeys(self.scenario.roles, gain),
            results=results,
        )

    def space(self, agent: str) -> OfferSpace | None:
        return None

    def listeners(self) -> Sequence[Listener]:
        minds = dict(zip(self.scenario.skills, self._key[1], strict=True))
        return [
            SkillListener(self.tutor, skill, minds[name], ACTS, name)
            for name, skill in self.scenario.skills.items()
        ]
