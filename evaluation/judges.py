"""Judges: any agent spec marks an episode under a rubric, or says which of two episodes was better.

    episode -> question (rubric, everyone's part, the talk) -> any agent -> marks, or unscored

A judge is asked like any agent, once, under the JSON Schema of its answer; what cannot be read, or lies
outside the marks' range, is *unscored* and never a number in between. Of two episodes each is shown first
once (judges favour a place: Zheng et al. 2023, arXiv 2306.05685), and only the same answer both times
counts. How far judges agree is Krippendorff's alpha; below 0.667 he would draw no conclusions (2004).

Left out: judging several episodes in one question, and defence against transcripts that address the judge:
words of agents are shown as JSON strings, which a model may still obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..agents.seats import Spec, seat_all
from ..environments import WORLDS, Episode
from ..protocols import (
    Act,
    Briefing,
    Content,
    Ended,
    MootError,
    Move,
    Observation,
    Option,
    Pool,
    ProtocolError,
    Reply,
    read,
    written,
)
from ..protocols.interrupt import heed
from ..protocols.schemas import closed
from .rubrics import SOCIAL, Rubric

if TYPE_CHECKING:
    from ..agents.adapters import Opener

AT_ONCE = 64
"""Questions that are open at a time."""
PATIENCE = 600.0
"""Seconds without any answer after which those that are open are given up."""
ANSWER = Option(Move("judging", "TURN", Act.INFORM, Content, Ended.DONE, "hand in your marks"), ())
WHY = 240
"""Most characters of a judge's reasons."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge says of one agent in one episode."""

    episode: int
    agent: str
    judge: str
    marks: dict[str, float] | None
    """Dimension -> mark; None: unscored."""
    why: str
    """The judge's reasons, or why there are no marks."""

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "episode": self.episode, "agent": self.agent, "judge": self.judge,
            "marks": self.marks, "why": self.why,
        }  # fmt: skip


class Preference(NamedTuple):
    """Which of two episodes a judge prefers."""

    better: int | None
    """0 or 1; None where the answer went with the place, or could not be read."""
    answers: tuple[int | None, int | None]
    """What it said with the first shown first, and with the second shown first."""


def judged(
    episodes: Iterable[Episode],
    judges: Mapping[str, Spec],
    rubric: Rubric = SOCIAL,
    *,
    seed: int = 0,
    opener: Opener | None = None,
) -> Iterator[Verdict]:
    """Every judge's marks for every agent of every episode, as they come in.

    `judges`: name -> spec; the episodes are held in memory, to be shown to each. Raises `MootError` for a
    spec that names nothing, and for a scripted agent, which judges nothing.
    """
    schema = closed({d.name: _integer(d.low, d.high) for d in rubric.dimensions})
    held = list(episodes)
    for name, pool in _pools(judges, opener).items():

        def questions(judge: str = name) -> Iterator[tuple[tuple[int, str], Observation]]:
            for episode in held:
                for agent in episode.scenario.roles:
                    card = _marking(episode, agent, rubric)
                    yield (
                        (episode.id, agent),
                        _question(card, schema, seed, episode.id, judge, agent),
                    )

        for (number, agent), reply in _asked(pool, questions()):
            content, why = _answered(reply)
            marks = None if content is None else _marks(content, rubric)
            if content is not None and marks is None:
                why = f"not marks of the rubric: {content}"[:WHY]
            yield Verdict(number, agent, name, marks, why)


def preferred(
    pairs: Iterable[tuple[Episode, Episode]],
    judge: Spec,
    asks: str = "In which of the two talks did the agents do better together?",
    *,
    seed: int = 0,
    opener: Opener | None = None,
) -> list[Preference]:
    """Which of two episodes the judge prefers, each pair shown in both orders; in the order of pairs."""
    schema = closed({"better": {"enum": ["first", "second"]}})
    both = list(pairs)

    def questions() -> Iterator[tuple[tuple[int, int], Observation]]:
        for i, (one, two) in enumerate(both):
            for swap, (first, second) in enumerate(((one, two), (two, one))):
                card = "\n".join((
                    'Reply with one JSON object: {"act": "inform", "content": {"better": "first" or '
                    '"second"}, "text": why, in one sentence}.',
                    asks,
                    "The first:", *_shown(first), "The second:", *_shown(second),
                ))  # fmt: skip
                yield (i, swap), _question(card, schema, seed, i, "judge", str(swap))

    said: dict[tuple[int, int], int | None] = {}
    for (i, swap), reply in _asked(_pools({"judge": judge}, opener)["judge"], questions()):
        better = (_answered(reply)[0] or {}).get("better")
        place = {"first": 0, "second": 1}.get(better) if isinstance(better, str) else None
        said[i, swap] = place if place is None else place ^ swap
    found: list[Preference] = []
    for i in range(len(both)):
        answers = said.get((i, 0)), said.get((i, 1))
        found.append(Preference(answers[0] if answers[0] == answers[1] else None, answers))
    return found


def alpha(ratings: Sequence[Mapping[Any, float]], *, nominal: bool = False) -> float | None:
    """Krippendorff's alpha (2004, chapter 11): 1 - D_o / D_e, of raters' unit -> mark.

    D_o is the mean squared difference between the marks of one unit (each unit weighed by its number of
    marks), D_e that between any two marks; `nominal`: different or not. Units marked by one rater alone
    say nothing. None where no unit has two marks or all marks are the same.
    """
    units: dict[Any, list[float]] = {}
    for rater in ratings:
        for unit, mark in rater.items():
            units.setdefault(unit, []).append(mark)
    there = [marks for marks in units.values() if len(marks) > 1]
    everything = [mark for marks in there for mark in marks]
    n = len(everything)

    def apart(marks: Sequence[float]) -> float:
        """Sum over ordered pairs."""
        if nominal:
            return len(marks) ** 2 - sum(marks.count(m) ** 2 for m in set(marks))
        return 2 * (len(marks) * sum(m * m for m in marks) - sum(marks) ** 2)

    expected = apart(everything) / (n * (n - 1)) if n > 1 else 0.0
    if expected <= 0:
        return None
    observed = sum(apart(marks) / (len(marks) - 1) for marks in there) / n
    return 1 - observed / expected


def agreement(verdicts: Iterable[Verdict], rubric: Rubric = SOCIAL) -> dict[str, float | None]:
    """Dimension -> alpha between the judges, over agents of episodes."""
    by_judge: dict[str, list[Verdict]] = {}
    for v in verdicts:
        by_judge.setdefault(v.judge, []).append(v)
    return {
        d.name: alpha(
            [
                {(v.episode, v.agent): v.marks[d.name] for v in vs if v.marks}
                for vs in by_judge.values()
            ]
        )
        for d in rubric.dimensions
    }


def _pools(judges: Mapping[str, Spec], opener: Opener | None) -> dict[str, Pool]:
    for spec in judges.values():
        if isinstance(spec, str) and spec.startswith("scripted:"):
            raise MootError(
                f"{spec} cannot judge: scripted agents know the games only; name a model, such as hf:PATH or "
                "openai:MODEL@URL"
            )
    return {name: seat.pool for name, seat in seat_all(judges, opener).items()}


def _asked(pool: Pool, questions: Iterator[tuple[Any, Observation]]) -> Iterator[tuple[Any, Reply]]:
    """Every question with its reply, as they come."""
    open_: dict[int, Any] = {}
    ticket, since = 0, monotonic()
    while True:
        heed()
        while len(open_) < AT_ONCE and (question := next(questions, None)) is not None:
            ticket += 1
            open_[ticket] = question[0]
            pool.ask(ticket, question[1])
        if not open_:
            return
        ready = pool.poll(0.05)
        if ready:
            since = monotonic()
        elif monotonic() - since > PATIENCE:
            raise MootError(f"a judge gave no answer within {PATIENCE:g} seconds", usage=False)
        for done, reply in ready:
            yield open_.pop(done), reply


def _question(
    card: str, schema: dict[str, Any], seed: int, episode: int, judge: str, about: str
) -> Observation:
    briefing = Briefing(
        seed=seed, episode=episode, agent=f"judge {judge} of {about}", role="judge", agents=("judge",),
        world="judging", public={}, private={}, deadline=None, max_text=WHY, secrets=None,
        write_card=lambda: card, schema_of=lambda move, to: schema, make_space=lambda: None,
    )  # fmt: skip
    return Observation(briefing, 0, (), (ANSWER,), None, None, None)


def _marking(episode: Episode, agent: str, rubric: Rubric) -> str:
    form = ", ".join(f'"{d.name}": {d.low} to {d.high}' for d in rubric.dimensions)
    asks = [f"- {d.name} ({d.low} to {d.high}): {d.asks}" for d in rubric.dimensions]
    return "\n".join((
        f'Reply with one JSON object: {{"act": "inform", "content": {{{form}}}, "text": why}}.',
        f"You judge how {agent} did in the talk below. Give whole marks:",
        *asks,
        *_shown(episode),
        f"Judge {agent} alone.",
    ))  # fmt: skip


def _shown(episode: Episode) -> list[str]:
    """Everyone's part, then the talk, a line a message."""
    scenario = episode.scenario
    world, agents = WORLDS[scenario.world].build(scenario), tuple(scenario.roles)
    private = [
        f"{a} alone knows: {' '.join(filter(None, (scenario.roles[a].brief, world.describe(a)[1])))}"
        for a in agents
    ]
    talk = [f"{m.sender}: {written(m, agents)}" for m in episode.messages]
    parts = [scenario.brief, world.describe(agents[0])[0], *private, "The talk:", *talk]
    return [p for p in parts if p] + [f"It ended: {episode.ended}."]


def _answered(reply: Reply) -> tuple[dict[str, Any] | None, str]:
    """The content and the words of an answer; None and the reason where it cannot be read."""
    if reply.error is not None:
        return None, reply.error
    parsed = read(reply.raw, "judge", "one JSON object") if reply.raw is not None else reply
    if isinstance(parsed, ProtocolError):
        return None, str(parsed)
    content = parsed.content
    if isinstance(content, Content):
        content = content.model_dump()
    if content is None:
        return None, "it has no content"
    return content, parsed.text


def _marks(content: Mapping[str, Any], rubric: Rubric) -> dict[str, float] | None:
    """All marks of the rubric and nothing else, each in its range; else None."""
    if set(content) != {d.name for d in rubric.dimensions}:
        return None
    marks: dict[str, float] = {}
    for d in rubric.dimensions:
        mark = cast(object, content[d.name])
        if (
            not isinstance(mark, int | float)
            or isinstance(mark, bool)
            or not d.low <= mark <= d.high
        ):
            return None
        marks[d.name] = float(mark)
    return marks


def _integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}
