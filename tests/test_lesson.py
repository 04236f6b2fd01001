"""The lesson: its protocol, the student's mind, the exact best lesson, and tutors of several kinds."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.lesson import seen
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, play
from moot.environments.check import check_environment
from moot.environments.datafile import load_scenarios
from moot.environments.load import load_scenario
from moot.environments.worlds.lesson import Lesson
from moot.environments.worlds.lesson_scenario import (
    LessonScenario,
    Minutes,
    Rates,
    Shares,
    best,
    skill_plans,
)
from moot.environments.worlds.lesson_subjects import SUBJECTS, LessonGenerator
from moot.protocols import WORLD, Act, Ended, Reply, check_protocol, tutoring


@cache
def pink() -> LessonScenario:
    scenario = load_scenario("pink_tree")
    assert isinstance(scenario, LessonScenario)
    return scenario


def changed(**fields: Any) -> LessonScenario:
    data = pink().model_dump(exclude_none=True, exclude_unset=True)
    return LessonScenario.model_validate({**data, **fields})


def drawn(count: int, **fields: Any) -> Iterator[LessonScenario]:
    for number in range(count):
        yield LessonGenerator.model_validate(fields).draw(random.Random(number))


def meet(
    scenario: LessonScenario, tutor: str, student: str = "sensible", number: int = 0
) -> Episode:
    sees_all = frozenset({"tutor"} if tutor == "oracle" else ())
    table = Environment(scenario, seed=1, episode=number, sees_all=sees_all)
    seats = {"tutor": ScriptedPool(Scripted(tutor)), "student": ScriptedPool(Scripted(student))}
    (played,) = play([table], seats)
    assert all(turn.error is None for turn in played.turns), played.turns[-1].error
    assert played.ended is not Ended.BROKEN, played.why
    return played


ASK = Reply(act=Act.QUERY_REF, content={"exercise": "pink tree"})
HINT = Reply(act=Act.QUERY_IF, content={"exercise": "pink tree"})
EXPLAIN = Reply(act=Act.INFORM, content={"skill": "word order"})
CORRECT = Reply(act=Act.DISCONFIRM, content={"skill": "word order"})
TALK, END = Reply(act=Act.INFORM, text="Well."), Reply(act=Act.CONFIRM)


def answer(table: Environment) -> str:
    """The student says what comes to its mind."""
    (told,) = table.turns[-1].told or ()
    assert told.content is not None
    assert table.step(Reply(act=Act.INFORM, content=told.content)).message
    return told.content.model_dump()["answer"]


# ---- the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [1, 2, 7, 40])
def test_the_protocol_keeps_its_promises(deadline: int) -> None:
    assert check_protocol(tutoring(deadline=deadline), paths=100).messages >= 100


def test_what_comes_to_mind_is_told_to_the_student_alone_and_must_be_said() -> None:
    table = Environment(pink().model_copy(update={"patience": 99}))
    (told,) = table.step(ASK).told or ()
    assert (told.sender, told.receivers) == (WORLD, ("student",))
    assert told.text == "To pink tree, what comes to your mind is: il rosa albero"
    assert [m.act for m in table.observe("tutor").heard] == [Act.QUERY_REF]
    wrong = table.step(Reply(act=Act.INFORM, content={"exercise": "pink tree", "answer": "?"}))
    assert wrong.error is not None
    assert wrong.error.legal == "the answer that came to your mind"
    assert answer_again(table) == "il rosa albero"
    assert table.speaker == "tutor"


def answer_again(table: Environment) -> str:
    """The answer, after something illegal was said."""
    said = table.observe("student").heard[-1].content
    assert said is not None
    assert table.step(Reply(act=Act.INFORM, content=said)).message
    return said.model_dump()["answer"]


def test_a_hint_needs_an_exercise_and_acts_need_time() -> None:
    table = Environment(changed(time=6, patience=99))
    refused = table.step(HINT)
    assert refused.error is not None
    assert "none yet" in refused.error.legal
    table.step(ASK)
    answer(table)
    assert table.step(HINT).message
    answer(table)
    assert table.step(EXPLAIN).message, "four minutes are left"
    turn = table.step(TALK)
    assert turn.message
    assert table.ended is Ended.DONE, "the test comes when the student has had its say"
    table = Environment(changed(time=6, patience=99))
    table.step(CORRECT)
    table.step(TALK)
    refused = table.step(EXPLAIN)
    assert refused.error is not None
    assert refused.error.legal == "what takes 3 minutes at most"


# ---- the mind ------------------------------------------------------------------------------------


def test_acts_move_the_mind_by_their_rates() -> None:
    mind = Shares(0.1, 0.6, 0.3)
    assert mind.after("explain", 0.5) == pytest.approx((0.25, 0.6, 0.15))
    assert mind.after("correct", 0.5) == pytest.approx((0.1, 0.3, 0.6))
    assert mind.score(slip=0.1, guess=0.2) == pytest.approx(0.1 * 0.9 + 0.3 * 0.2)


def test_answers_come_as_often_as_the_mind_says() -> None:
    knows = {
        **pink().roles["student"].model_dump()["knows"],
        "word order": {"known": 50, "misconceived": 30},
    }
    said: list[str] = []
    scenario = changed(roles={"tutor": {}, "student": {"knows": knows}})
    for seed in range(600):
        table = Environment(scenario.model_copy(update={"seed": seed}))
        table.step(ASK)
        said.append(answer(table))
    right, false = said.count("l'albero rosa") / 600, said.count("il rosa albero") / 600
    assert right == pytest.approx(0.5 * 0.95 + 0.2 * 0.1, abs=0.06)
    assert false == pytest.approx(0.3, abs=0.06)
    assert {"albero l'rosa", "I do not know"} < set(said)


def test_the_gain_is_what_the_acts_moved() -> None:
    table = Environment(pink())
    for tutor in (CORRECT, EXPLAIN, TALK):
        table.step(tutor)
        table.step(TALK)
    table.step(END)
    episode = table.episode()
    mind = Shares(0.04, 0.92, 0.04)
    moved = mind.after("correct", 0.8).after("explain", 0.5)
    gain = (moved.score(0.05, 0.1) - mind.score(0.05, 0.1)) / 4
    assert episode.outcome.utilities == pytest.approx({"tutor": gain, "student": gain})
    assert episode.outcome.results["post"] - episode.outcome.results["pre"] == pytest.approx(gain)
    assert episode.outcome.deal is not None
    assert [a["act"] for a in episode.outcome.deal["acts"]] == ["correct", "explain"]


def test_explaining_to_a_wrong_idea_teaches_little() -> None:
    one, two = (Environment(pink()) for _ in range(2))
    for table, acts in ((one, (EXPLAIN, CORRECT)), (two, (CORRECT, EXPLAIN))):
        for act in acts:
            table.step(act)
            table.step(TALK)
        table.step(END)
    wrong, right = (t.episode().outcome.utilities["tutor"] for t in (one, two))
    assert right > 3 * wrong > 0


def test_talk_teaches_nothing() -> None:
    table = Environment(pink())
    while table.ended is None:
        table.step(TALK)
    outcome = table.episode().outcome
    assert (outcome.deal, set(outcome.utilities.values())) == (None, {0.0})
    assert len(table.turns) == 2 * 16


# ---- the best lesson -----------------------------------------------------------------------------


def by_force(minds: list[Shares], rates: list[Rates], minutes: Minutes, time: int) -> float:
    """The largest sum of scores, over every sequence of acts that fits."""
    acts = ("practice", "hint", "explain", "correct")
    seen_: dict[object, float] = {}

    def value(now: tuple[Shares, ...], posed: tuple[bool, ...], left: int) -> float:
        key = (now, posed, left)
        if key not in seen_:
            found = sum(m.score(r.slip, r.guess) for m, r in zip(now, rates, strict=True))
            for at, act in itertools.product(range(len(now)), acts):
                cost = getattr(minutes, act)
                if cost > left or (act == "hint" and not posed[at]):
                    continue
                after = list(now)
                after[at] = now[at].after(act, getattr(rates[at], act))
                marks = tuple(p or (i == at and act == "practice") for i, p in enumerate(posed))
                found = max(found, value(tuple(after), marks, left - cost))
            seen_[key] = found
        return seen_[key]

    return value(tuple(minds), (False,) * len(minds), time)


share = st.integers(0, 100)
rate = st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.9])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_lessons_are_solved_exactly(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 2))
    minds, rates = list[Shares](), list[Rates]()
    for _ in range(count):
        known = data.draw(share)
        false = data.draw(st.integers(0, 100 - known))
        minds.append(Shares(known / 100, false / 100, (100 - known - false) / 100))
        given = {name: data.draw(rate) for name in ("practice", "hint", "explain", "correct")}
        rates.append(Rates(**given, slip=0.1, guess=data.draw(st.sampled_from([0.0, 0.3]))))
    minutes = Minutes(
        **{n: data.draw(st.integers(1, 3)) for n in ("practice", "hint", "explain", "correct")}
    )
    time = data.draw(st.integers(1, 6))
    names = tuple("ab"[:count])
    found = best(names, tuple(minds), tuple(rates), minutes, time)
    before = sum(m.score(r.slip, r.guess) for m, r in zip(minds, rates, strict=True))
    assert found.gain * count == pytest.approx(by_force(minds, rates, minutes, time) - before)
    # The acts that are named lead there, and fit.
    for act, name in found.acts:
        at = names.index(name)
        minds[at] = minds[at].after(act, getattr(rates[at], act))
    assert sum(getattr(minutes, act) for act, _ in found.acts) <= time
    after = sum(m.score(r.slip, r.guess) for m, r in zip(minds, rates, strict=True))
    assert after - before == pytest.approx(found.gain * count)


def test_a_wrong_idea_is_corrected_first() -> None:
    plans = skill_plans(Shares(0.0, 1.0, 0.0), Rates(), Minutes(), 12)
    assert plans[3][1] == ("correct",), "even that turns some into guesses"
    assert plans[7][1] == ("correct", "explain")
    assert plans[12][1][:1] == ("correct",)
    assert [score for score, _ in plans] == sorted(score for score, _ in plans)


def test_the_fixed_lesson_is_about_word_order_and_articles() -> None:
    solution = Lesson.solve(pink())
    assert solution.best is not None
    assert {a["skill"] for a in solution.best["acts"]} == {"articles", "word order"}
    assert solution.max_joint == pytest.approx(2 * solution.frontier[0][0])
    assert solution.disagreement == (0, 0)


# ---- scenarios -----------------------------------------------------------------------------------


EXERCISE = {"prompt": "?", "right": "a", "misconceived": "b", "wrong": ["c"]}
SKILL = {"exercises": {"x": EXERCISE}}
KNOWS = {"tutor": {}, "student": {"knows": {"s": {"known": 100}}}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"protocol": "service"}, "want tutoring"),
        ({"protocol": {"name": "tutoring", "deadline": 20}}, "want twice the time, 32"),
        ({"roles": {"ann": {}, "bob": {}}}, "one tutor and one student"),
        ({"skills": {"s": SKILL}}, "want every skill: s"),
        ({"skills": {"s": SKILL}, "roles": KNOWS}, "nothing to be learned"),
        ({"skills": {"s": SKILL, "t": SKILL}}, "two exercises are called 'x'"),
        ({"skills": {"s": {**SKILL, "rates": {"slip": 0.6, "guess": 0.5}}}}, "to know must beat to guess"),
        ({"skills": {"s": {"exercises": {"x": {**EXERCISE, "wrong": ["a"]}}}}}, "want different"),
        ({"roles": {"student": {"knows": {"s": {"known": 60, "misconceived": 50}}}}}, "exceed 100"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        changed(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"skills": [4, 6]}, "most <= 5"), ({"time": [9, 8]}, "got 9 to 8"),
     ({"known": 0.8, "misconceived": 0.4}, "more than 1"), ({"subjects": []}, "skills")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LessonGenerator.model_validate(fields)


def test_students_are_as_asked_for() -> None:
    minds = [m for s in drawn(80) for m in s.roles["student"].knows.values()]
    known = sum(m.known >= 90 for m in minds) / len(minds)
    false = sum(m.misconceived >= 90 for m in minds) / len(minds)
    assert known == pytest.approx(0.35, abs=0.1)
    assert false == pytest.approx(0.3, abs=0.1)
    assert {s.subject for s in drawn(20)} == {"Italian", "fractions"}
    assert {s.subject for s in drawn(5, subjects=["fractions"])} == {"fractions"}


@pytest.mark.parametrize("skill", SUBJECTS["fractions"])
def test_fractions_are_right(skill: str) -> None:
    signs = {"+": lambda a, b: a + b, "x": lambda a, b: a * b, ":": lambda a, b: a / b}
    for number in range(100):
        exercise = SUBJECTS["fractions"][skill](random.Random(number))
        words = exercise.prompt.replace(",", "").replace("?", "").split()
        right = Fraction(exercise.right)
        if skill == "comparing":
            assert right == max(Fraction(words[3]), Fraction(words[5]))
            assert Fraction(exercise.misconceived) < right
        elif skill == "decimals":
            assert right == Fraction(words[0])
        else:
            assert right == signs[words[1]](Fraction(words[0]), Fraction(words[2]))
            assert Fraction(exercise.misconceived) != right


@pytest.mark.parametrize("skill", SUBJECTS["Italian"])
def test_italian_has_one_right_answer(skill: str) -> None:
    prompts: dict[str, str] = {}
    for number in range(100):
        exercise = SUBJECTS["Italian"][skill](random.Random(number))
        assert prompts.setdefault(exercise.prompt, exercise.right) == exercise.right


# ---- tutors --------------------------------------------------------------------------------------


def mean_share(tutor: str, count: int = 40) -> float:
    episodes = [meet(s, tutor, number=n) for n, s in enumerate(drawn(count))]
    return sum(e.outcome.results["share_of_best"] for e in episodes) / count


def test_a_perfect_tutor_gains_what_the_solver_says() -> None:
    for number, scenario in enumerate(drawn(40)):
        outcome = meet(scenario, "oracle", number=number).outcome
        assert sum(outcome.utilities.values()) == pytest.approx(Lesson.solve(scenario).max_joint)
        assert outcome.completed


def test_to_find_out_first_is_better_than_to_teach_blindly() -> None:
    silent, drill, blind, sensible = map(mean_share, ("silent", "drill", "blind", "sensible"))
    assert silent == 0
    assert 0.1 < drill < blind - 0.2
    assert blind + 0.05 < sensible < 0.9


def test_knowledge_is_traced_by_bayes_rule() -> None:
    """Corbett and Anderson's update where there is no misconception."""
    rates = {"slip": 0.1, "guess": 0.2}
    known, _, _ = seen((0.3, 0.0, 0.7), rates, right=True, false=False)
    assert known == pytest.approx(0.3 * 0.9 / (0.3 * 0.9 + 0.7 * 0.2))
    known, _, _ = seen((0.3, 0.0, 0.7), rates, right=False, false=False)
    assert known == pytest.approx(0.3 * 0.1 / (0.3 * 0.1 + 0.7 * 0.8))
    assert seen((0.3, 0.2, 0.5), rates, right=False, false=True) == (0, 1, 0)
    assert seen((1.0, 0.0, 0.0), rates, right=False, false=True) == (0, 1, 0), "against the prior"


@pytest.mark.parametrize(("tutor", "student"), [("random", "sensible"), ("sensible", "random")])
def test_players_bear_with_anybody(tutor: str, student: str) -> None:
    for number, scenario in enumerate(drawn(15)):
        assert meet(scenario, tutor, student, number).ended is Ended.DONE


# ---- states of CIMA ------------------------------------------------------------------------------

CIMA = Path(__file__).parents[2] / "shared" / "data" / "cima" / "dialogues.jsonl.gz"
STATES: list[tuple[list[str], dict[str, str]]] = [
    ([], {}),
    (["How do you say tree?", "What is pink in Italian?"], {}),
    (["e dietro l'albero"], {"preposition": "known", "noun": "known"}),
    (["e dietro tree rosa"], {"preposition": "known", "noun": "false", "colour": "known"}),
    (["e dietro l'albero roso."], {"preposition": "known", "noun": "known", "colour": "false"}),
    (["Is it e dietro rosa l'albero?"],
     {"preposition": "known", "noun": "known", "colour": "known", "word order": "false"}),
    (["rosa l'albero", "Oh! l'albero rosa?"],
     {"noun": "known", "colour": "known", "word order": "known"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "states"), STATES, ids=str)
def test_what_a_student_said_tells_its_state(
    tmp_path: Path, said: list[str], states: dict[str, str]
) -> None:
    target = {"prep": "e dietro", "engPrep": "is behind the", "obj": "l'albero", "engObj": "tree",
              "color": "rosa", "engColor": "pink"}  # fmt: skip
    line = {
        "id": "cima-0",
        "scenario": {
            "domain": "tutoring_italian",
            "private": {"tutor": {"target": target}, "student": {}},
        },
        "agents": ["tutor", "student"],
        "turns": [
            {"speaker": "tutor", "text": "l'albero rosa e dietro", "act": ["hint"]},
            *({"speaker": "student", "text": text} for text in said),
        ],
        "outcome": {"next_tutor_options": []},
    }
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps(line) + "\n")
    (scenario,) = load_scenarios(path)
    assert isinstance(scenario, LessonScenario)
    knows = scenario.roles["student"].knows
    told = {
        k: "known" if m.known > 80 else "false"
        for k, m in knows.items()
        if max(m.known, m.misconceived) > 80
    }
    assert told == states
    order = scenario.skills["word order"].exercises["word order"]
    assert (order.right, order.misconceived) == ("e dietro l'albero rosa", "e dietro rosa l'albero")
    assert check_environment([scenario], episodes=2).varied > 2


@pytest.mark.skipif(not CIMA.exists(), reason="needs the data folder beside the repository")
def test_every_state_of_cima_is_a_lesson() -> None:
    scenarios = [s for s in load_scenarios(CIMA) if isinstance(s, LessonScenario)]
    assert len(scenarios) == 900
    for name, skill in scenarios[0].skills.items():
        minds = [s.roles["student"].knows[name] for s in scenarios]
        assert sum(m.known for m in minds) / 900 == pytest.approx(skill.prior.known, abs=1)
        assert sum(m.misconceived for m in minds) / 900 == pytest.approx(
            skill.prior.misconceived, abs=1
        )
    assert meet(scenarios[0], "oracle").outcome.completed
