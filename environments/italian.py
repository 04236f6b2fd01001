"""States of CIMA as lessons: a student of Italian, stuck in the middle of one phrase.

CIMA (Stasaski et al., BEA 2020; CC BY 2.5) holds talks in which a student puts "is behind the pink tree"
into Italian. What the student has said tells what it knows: the right form of a skill, the wrong one, or
neither; what was said last counts. Left out: the talk itself, whose tutors' turns have no effect on record,
and the tutors' next replies, which are for models that learn to say them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from .scenario import ProtocolChoice, Scenario
from .worlds.lesson_scenario import Exercise, LessonRole, LessonScenario, Mastery, Skill

TIME = 14
"""Minutes of a lesson."""
KNOWN, FALSE, BLANK = (
    Mastery(known=85, misconceived=5), Mastery(known=5, misconceived=85), Mastery(known=15, misconceived=10)
)  # fmt: skip
"""What a student knows who said it rightly, wrongly, or not at all."""
PRIOR = {
    "preposition": Mastery(known=39, misconceived=8), "noun": Mastery(known=36, misconceived=14),
    "colour": Mastery(known=38, misconceived=9), "word order": Mastery(known=20, misconceived=16),
}  # fmt: skip
"""Their means over the 900 states of the corpus: what a tutor expects."""
NOTHING = "I do not know"


class Target(BaseModel):
    """The phrase to be said, in both languages; fields of the file."""

    prep: str
    engPrep: str
    obj: str
    engObj: str
    color: str
    engColor: str


def italian_lesson(name: str, source: str, target: Target, said: Sequence[str]) -> Scenario:
    """The lesson that begins where a student has got to, who has `said` these turns."""
    t = target
    bare = t.prep.removeprefix("e ")
    skills = {
        "preposition": _skill(
            "preposition", f"How do you say '{t.engPrep}'?", t.prep,
            bare if bare != t.prep else f"{t.prep} il", t.engPrep,
        ),
        "noun": _skill("noun", f"What is '{t.engObj}' in Italian?", t.obj, t.engObj, f"{t.obj} {t.obj}"),
        "colour": _skill(
            "colour", f"What is '{t.engColor}' in Italian?", t.color, _ending(t.color), t.engColor
        ),
        "word order": _skill(
            "word order", f"How do you say '{t.engPrep} {t.engColor} {t.engObj}'?",
            f"{t.prep} {t.obj} {t.color}", f"{t.prep} {t.color} {t.obj}", f"{t.color} {t.obj} {t.prep}",
        ),
    }  # fmt: skip
    forms = {
        "preposition": (t.prep, ""),
        "noun": (t.obj, t.engObj),
        "colour": (t.color, _ending(t.color)),
        "word order": (f"{t.obj} {t.color}", f"{t.color} {t.obj}"),
    }
    return LessonScenario(
        name=name,
        protocol=ProtocolChoice.model_validate({"name": "tutoring", "deadline": 2 * TIME}),
        subject="Italian",
        skills=skills,
        time=TIME,
        roles={
            "tutor": LessonRole(),
            "student": LessonRole(knows={k: _state(said, *f) for k, f in forms.items()}),
        },
        source=source,
    )


def _skill(name: str, prompt: str, right: str, false: str, wrong: str) -> Skill:
    exercise = Exercise(prompt=prompt, right=right, misconceived=false, wrong=[wrong, NOTHING])
    return Skill(exercises={name: exercise}, prior=PRIOR[name])


def _ending(colour: str) -> str:
    """The colour as it is when made to agree with the wrong gender: roso for rosa, verdo for verde."""
    return colour[:-1] + ("a" if colour.endswith("o") else "o")


def _state(said: Sequence[str], right: str, false: str) -> Mastery:
    """What the last turn tells that has either form. A question names a word without knowing it."""
    for text in reversed(said):
        words = f" {' '.join(text.lower().replace('?', ' ').replace('.', ' ').split())} "
        if f" {right} " in words:
            return KNOWN
        if false and f" {false} " in words and "how" not in words and "what" not in words:
            return FALSE
    return BLANK
