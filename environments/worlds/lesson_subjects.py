"""What lessons are about: exercises in Italian and in fractions, and the generator of lessons.

Each skill has one misconception that people really have (the adjective before its noun, tops and bottoms
added apart), with the answer that follows from it. The Italian skills are those of CIMA (Stasaski et al.
2020): nouns, articles, colours, prepositions and word order of phrases about where things are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from ...protocols import MootError
from ..scenario import STRICT, ProtocolChoice
from .lesson_scenario import (
    Exercise,
    LessonRole,
    LessonScenario,
    Mastery,
    Minutes,
    Rates,
    Skill,
    best,
)

NOUNS = (
    ("tree", "albero", "l'albero", "il albero", "arbolo"), ("bed", "letto", "il letto", "lo letto", "lecto"),
    ("dog", "cane", "il cane", "lo cane", "dogo"), ("cat", "gatto", "il gatto", "lo gatto", "cato"),
    ("bag", "borsa", "la borsa", "il borsa", "baga"), ("box", "scatola", "la scatola", "il scatola", "caja"),
    ("mirror", "specchio", "lo specchio", "il specchio", "mirore"),
    ("friend", "amico", "l'amico", "il amico", "amigo"),
)  # fmt: skip
"""English, Italian, with its article, with the wrong article, a false friend."""
COLOURS = (
    ("pink", "rosa", "rosso"), ("blue", "blu", "azul"), ("green", "verde", "vert"),
    ("white", "bianco", "blanco"), ("yellow", "giallo", "gelbo"), ("black", "nero", "noir"),
)  # fmt: skip
PLACES = (
    ("next to", "accanto al", "accanto a il"), ("behind", "dietro al", "dietro a il"),
    ("in front of", "davanti al", "davanti a il"), ("on top of", "in cima al", "in cima a il"),
)  # fmt: skip
INVARIABLE = ("rosa", "blu", "verde")
NOTHING = "I do not know"

Make = Callable[[random.Random], Exercise]


def _noun(rng: random.Random) -> Exercise:
    english, right, _, _, false = rng.choice(NOUNS)
    other = rng.choice([n[1] for n in NOUNS if n[1] != right])
    return Exercise(
        prompt=f"What is '{english}' in Italian?",
        right=right,
        misconceived=false,
        wrong=[other, NOTHING],
    )


def _article(rng: random.Random) -> Exercise:
    english, noun, right, false, _ = rng.choice(NOUNS)
    return Exercise(
        prompt=f"How do you say 'the {english}' ({noun})?", right=right, misconceived=false,
        wrong=[f"un {noun}", NOTHING],
    )  # fmt: skip


def _colour(rng: random.Random) -> Exercise:
    english, right, false = rng.choice(COLOURS)
    other = rng.choice([c[1] for c in COLOURS if c[1] != right])
    return Exercise(
        prompt=f"What is '{english}' in Italian?",
        right=right,
        misconceived=false,
        wrong=[other, NOTHING],
    )


def _place(rng: random.Random) -> Exercise:
    english, right, false = rng.choice(PLACES)
    _, noun, _, _, _ = rng.choice([n for n in NOUNS if n[2].startswith("il ")])
    return Exercise(
        prompt=f"How do you say '{english} the ...' before {noun}?", right=f"{right} {noun}",
        misconceived=f"{false} {noun}", wrong=[f"{right.split()[0]} {noun}", NOTHING],
    )  # fmt: skip


def _order(rng: random.Random) -> Exercise:
    english, noun, with_article, _, _ = rng.choice(NOUNS)
    colour, italian, _ = rng.choice([c for c in COLOURS if c[1] in INVARIABLE])
    article = with_article[: len(with_article) - len(noun)]
    return Exercise(
        prompt=f"How do you say 'the {colour} {english}' ({noun}, {italian})?",
        right=f"{with_article} {italian}", misconceived=f"{article}{italian} {noun}",
        wrong=[f"{noun} {with_article}", NOTHING],
    )  # fmt: skip


def _pair(rng: random.Random) -> tuple[Fraction, Fraction]:
    """Two fractions below 1 of different denominators."""
    b, d = rng.sample(range(2, 8), 2)
    return Fraction(rng.randint(1, b - 1), b), Fraction(rng.randint(1, d - 1), d)


def _made(prompt: str, right: object, false: object, *wrong: object) -> Exercise | None:
    """An exercise, unless two of its answers happen to be the same."""
    answers = [str(right), str(false), *map(str, wrong)]
    if len(set(answers)) < len(answers):
        return None
    return Exercise(prompt=prompt, right=answers[0], misconceived=answers[1], wrong=answers[2:])


def _again(draw: Callable[[random.Random], Exercise | None]) -> Make:
    """Draws until there is an exercise."""

    def make(rng: random.Random) -> Exercise:
        while (found := draw(rng)) is None:
            continue
        return found

    return make


def _adding(rng: random.Random) -> Exercise | None:
    a, b = _pair(rng)
    false = Fraction(a.numerator + b.numerator, a.denominator + b.denominator)
    return _made(f"{a} + {b} = ?", a + b, false, a * b, abs(a - b))


def _multiplying(rng: random.Random) -> Exercise | None:
    a, b = _pair(rng)
    common = a.denominator * b.denominator
    false = f"{a.numerator * b.denominator * b.numerator * a.denominator}/{common}"
    return _made(f"{a} x {b} = ?", a * b, false, a + b, a / b)


def _dividing(rng: random.Random) -> Exercise | None:
    a, b = _pair(rng)
    return _made(f"{a} : {b} = ?", a / b, b / a, a * b, a + b)


def _comparing(rng: random.Random) -> Exercise | None:
    a, b = _pair(rng)
    larger, smaller = max(a, b), min(a, b)
    if smaller.denominator <= larger.denominator:
        return None  # the one of the larger denominator must be the smaller one
    return _made(f"Which is larger, {a} or {b}?", larger, smaller, "both the same")


def _decimals(rng: random.Random) -> Exercise | None:
    a = Fraction(rng.randint(1, 9), rng.choice((2, 4, 5, 20)))
    if a >= 1 or a.denominator == 1:
        return None
    false = f"{a.numerator}.{a.denominator}"
    return _made(
        f"{a} as a decimal number?",
        float(a),
        false,
        round(float(a) / 10, 3),
        f"{a.denominator}.{a.numerator}",
    )


SUBJECTS: dict[str, dict[str, Make]] = {
    "Italian": {
        "nouns": _noun, "articles": _article, "colours": _colour, "prepositions": _place,
        "word order": _order,
    },
    "fractions": {
        "adding": _again(_adding), "multiplying": _again(_multiplying),
        "dividing": _again(_dividing), "comparing": _again(_comparing),
        "decimals": _again(_decimals),
    },
}  # fmt: skip


class LessonGenerator(BaseModel):
    """A subject, some of its skills, and a student who knows some, has wrong ideas about others."""

    model_config = STRICT

    subjects: tuple[Literal["Italian", "fractions"], ...] = Field(
        default=("Italian", "fractions"), description="What lessons are about, one of these."
    )
    skills: tuple[int, int] = Field(default=(4, 5), description="Fewest and most skills, 1 to 5.")
    exercises: int = Field(default=2, ge=1, le=3, description="Exercises of each skill.")
    time: tuple[int, int] = Field(
        default=(14, 20), description="Fewest and most minutes before the test."
    )
    minutes: Minutes = Field(default=Minutes(), description="How long each act takes.")
    known: float = Field(default=0.35, ge=0, le=1, description="Share of skills that are known.")
    misconceived: float = Field(
        default=0.3, ge=0, le=1, description="Share of skills about which the student is wrong."
    )
    clear: int = Field(
        default=90, ge=50, le=100,
        description="Percent to which a known skill is known and a wrong idea held.",
    )  # fmt: skip
    rates: Rates = Field(default=Rates(), description="How skills are answered and learned.")
    enough: float = Field(
        default=0.7, gt=0, le=1, description="Share of a perfect tutor's gain that completes it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        most = min(len(SUBJECTS[s]) for s in self.subjects) if self.subjects else 0
        for name, top in (("skills", most), ("time", 60)):
            low, high = getattr(self, name)
            if not 1 <= low <= high <= top:
                raise ValueError(f"{name}: got {low} to {high}, want 1 <= fewest <= most <= {top}")
        if self.known + self.misconceived > 1:
            raise ValueError(
                f"known {self.known:g} and misconceived {self.misconceived:g} are more than 1"
            )
        return self

    def draw(self, rng: random.Random) -> LessonScenario:
        """Raises `MootError` when 100 students had nothing to learn."""
        subject = rng.choice(self.subjects)
        names = rng.sample(sorted(SUBJECTS[subject]), rng.randint(*self.skills))
        prior = Mastery(known=round(100 * self.known), misconceived=round(100 * self.misconceived))
        skills = {
            name: Skill(
                exercises=self._exercises(rng, subject, name), rates=self.rates, prior=prior
            )
            for name in names
        }
        time = rng.randint(*self.time)
        for _ in range(100):
            knows = {name: self._mastery(rng) for name in names}
            shares = tuple(m.shares() for m in knows.values())
            if (
                best(tuple(names), shares, (self.rates,) * len(names), self.minutes, time).gain
                > 0.02
            ):
                break
        else:
            raise MootError(
                "generate: no student had anything to learn; lower known or raise a rate"
            )
        return LessonScenario(
            name="lesson",
            protocol=ProtocolChoice.model_validate({"name": "tutoring", "deadline": 2 * time}),
            subject=subject,
            skills=skills,
            time=time,
            minutes=self.minutes,
            enough=self.enough,
            seed=rng.randrange(2**32),
            roles={"tutor": LessonRole(), "student": LessonRole(knows=knows)},
        )

    def _exercises(self, rng: random.Random, subject: str, name: str) -> dict[str, Exercise]:
        found: dict[str, Exercise] = {}
        while len(found) < self.exercises:
            exercise = SUBJECTS[subject][name](rng)
            if exercise not in found.values():
                found[f"{name} {len(found) + 1}"] = exercise
        return found

    def _mastery(self, rng: random.Random) -> Mastery:
        """Known, misconceived or blank, each a little blurred."""
        kind, blur = rng.random(), rng.randint(0, 100 - self.clear)
        if kind < self.known:
            return Mastery(
                known=self.clear + blur // 2, misconceived=rng.randint(0, 100 - self.clear) // 2
            )
        if kind < self.known + self.misconceived:
            return Mastery(known=blur // 2, misconceived=self.clear)
        return Mastery(known=blur, misconceived=rng.randint(0, 100 - self.clear) // 2)
