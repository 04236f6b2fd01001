"""What messages tell of secrets: every listener against Bayes by brute force, and the metrics on top."""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot import simulate
from moot.environments import WORLDS, Environment, Episode
from moot.environments.check import legal_reply
from moot.environments.listening import SLIP, bits
from moot.environments.world import Listener
from moot.environments.worlds import friends_listener, item_listener, lesson, price_listener
from moot.environments.worlds.friends_scenario import FriendsScenario
from moot.environments.worlds.hidden_scenario import posterior
from moot.environments.worlds.item_division import ItemScenario
from moot.environments.worlds.price_bargaining import PriceScenario
from moot.evaluation import METRICS, ON_REQUEST, Score, score
from moot.evaluation.dialogue import dialogue
from moot.evaluation.gathered import Gathered
from moot.evaluation.learned import learned
from moot.evaluation.seen import Seen
from moot.protocols import Message, MootError, Reply

LISTENING = [name for name, world in WORLDS.items() if hasattr(world, "listeners")]
BITS = [name for name in ON_REQUEST if "bits" in name]


def drawn(world: str, number: int) -> Episode:
    """A random episode of random legal replies."""
    scenario = WORLDS[world].Generator().draw(random.Random(number))  # type: ignore[attr-defined]
    table = Environment(scenario, seed=1, episode=number)
    while table.ended is None:
        table.step(legal_reply(table.observe(), (2.0, 1.0, 0.2)[number % 3]))
    return table.episode()


def ears(scenario: Any) -> Sequence[Listener]:
    return WORLDS[scenario.world].build(scenario).listeners()  # type: ignore[attr-defined]


def say(sender: str, to: str, act: str = "inform", **content: Any) -> Message:
    fields = {"id": 0, "conversation": "x", "sender": sender, "receivers": (to,), "act": act}
    return Message.model_validate({**fields, "content": content or None})


def shares(weights: Sequence[float]) -> Any:
    """Probabilities in proportion, in float64."""
    return pytest.approx((np.array(weights) / np.sum(weights)).tolist(), abs=1e-12)


def division(items: dict[str, int], ann: dict[str, int], bob: dict[str, int]) -> ItemScenario:
    return ItemScenario.model_validate(
        {
            "name": "x",
            "protocol": {"name": "alternating_offers"},
            "items": items,
            "roles": {"ann": {"values": ann}, "bob": {"values": bob}},
        }
    )


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.integers(1, 3)] * 3), st.tuples(*[st.integers(0, 3)] * 3), st.data())
def test_offers_and_claims_of_values(
    counts: tuple[int, ...], values: tuple[int, ...], data: st.DataObject
) -> None:
    total = sum(n * v for n, v in zip(counts, values, strict=True))
    if not total:
        return
    kinds = ("book", "hat", "ball")
    mine = dict(zip(kinds, values, strict=True))
    scenario = division(dict(zip(kinds, counts, strict=True)), mine, mine)
    bob, _ = ears(scenario)
    assert bob.seat == "bob"
    splits = list(itertools.product(*(range(n + 1) for n in counts)))
    vectors = [
        v
        for v in itertools.product(range(total + 1), repeat=3)
        if sum(n * x for n, x in zip(counts, v, strict=True)) == total
    ]
    mean = [sum(v[k] for v in vectors) / len(vectors) for k in range(3)]

    def weight(v: tuple[int, ...], t: tuple[int, ...]) -> float:
        worth = sum(v[k] * t[k] + mean[k] * (counts[k] - t[k]) for k in range(3)) / total
        return math.exp(item_listener.SHARP * worth)

    weights = [1.0] * len(vectors)
    assert vectors[bob.truth] == values
    takes = data.draw(st.lists(st.sampled_from(splits), max_size=3, unique=True))
    claimed = data.draw(st.sampled_from([v for v in vectors if max(v) <= 100]))
    for take in [*takes, None, *takes]:
        if take is None:
            assert bob.hear(say("ann", "bob", values=dict(zip(kinds, claimed, strict=True))))
            likely = [(1 - SLIP) * (v == claimed) + SLIP / len(vectors) for v in vectors]
        else:
            new = bob.logs
            message = say("ann", "bob", "propose", take=dict(zip(kinds, take, strict=True)))
            assert bob.hear(message)
            if take in takes[: takes.index(take)] or bob.logs is new:
                continue  # said before
            every = [sum(weight(v, t) for t in splits) for v in vectors]
            likely = [
                (1 - SLIP) * weight(v, take) / z + SLIP / len(splits)
                for v, z in zip(vectors, every, strict=True)
            ]
        weights = [w * p for w, p in zip(weights, likely, strict=True)]
        assert np.exp(bob.logs).tolist() == shares(weights)
    assert not bob.hear(say("bob", "ann", "propose", take=dict.fromkeys(kinds, 0)))
    assert not bob.hear(say("ann", "bob"))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.booleans(), st.data())
def test_offers_and_claims_of_a_reserve(steps: int, seller: bool, data: st.DataObject) -> None:
    low, tick = 10, 5
    high = low + tick * steps
    prices = range(low, high + 1, tick)
    best, worst = (high, low) if seller else (low, high)
    reserves = [best + (tick if worst > best else -tick) * w for w in range(1, steps + 1)]
    reserve = data.draw(st.sampled_from(reserves))
    scenario = PriceScenario.model_validate(
        {
            "name": "x",
            "protocol": {"name": "alternating_offers"},
            "item": "desk",
            "low": low,
            "high": high,
            "tick": tick,
            "no_zone": True,
            "roles": {
                "seller": {"reserve": reserve if seller else low},
                "buyer": {"reserve": high if seller else reserve},
            },
        }
    )
    speaker, other = ("seller", "buyer") if seller else ("buyer", "seller")
    listener = next(e for e in ears(scenario) if e.seat == other)
    assert reserves[listener.truth] == reserve

    def weight(p: int, r: int) -> float:
        gains = (p - r) / (best - r)
        return math.exp(price_listener.SHARP * gains) if gains >= 0 else 0.0

    weights = [1.0] * steps
    for price in data.draw(st.lists(st.sampled_from(prices), max_size=4, unique=True)):
        assert listener.hear(say(speaker, other, "propose", price=price))
        for i, r in enumerate(reserves):
            every = sum(weight(p, r) for p in prices)
            weights[i] *= (1 - SLIP) * weight(price, r) / every + SLIP / len(prices)
    claimed = data.draw(st.sampled_from(prices))
    assert listener.hear(say(speaker, other, limit=claimed))
    weights = [
        w * ((1 - SLIP) * (r == claimed) + SLIP / steps)
        for w, r in zip(weights, reserves, strict=True)
    ]
    assert np.exp(listener.logs).tolist() == shares(weights)
    assert not listener.hear(say(other, speaker, "propose", price=low))


ROWS = [{"town": t, "pet": p} for t in ("Bath", "Como", "Nice") for p in ("cat", "dog", "hen")]
WHERES = [{"town": t, "pet": p} for t in ("any", "Bath", "Nice") for p in ("any", "cat", "dog")]


@settings(max_examples=25, deadline=None)
@given(st.permutations(ROWS), st.integers(2, 4), st.integers(2, 4), st.data())
def test_counts_and_picks(rows: list[dict[str, str]], n: int, m: int, data: st.DataObject) -> None:
    mine, theirs = rows[:n], [rows[0], *rows[n : n + m - 1]]
    values = {a: {r[a] for r in (*mine, *theirs)} for a in ("town", "pet")}
    universe = [r for r in ROWS if all(r[a] in values[a] for a in values)]
    scenario = FriendsScenario.model_validate(
        {
            "name": "x",
            "protocol": {"name": "exchange"},
            "attributes": ["town", "pet"],
            "roles": {"ann": {"rows": mine}, "bob": {"rows": theirs}},
        }
    )
    ann, _ = ears(scenario)
    assert (ann.seat, mine[ann.truth]) == ("ann", rows[0])

    def fits(where: dict[str, str], row: dict[str, str]) -> bool:
        return all(where[a] in ("any", row[a]) for a in where)

    strange = [r for r in universe if r not in mine]
    tables = [
        [[s, *rest] for rest in itertools.combinations(strange, len(theirs) - 1)] for s in mine
    ]
    told: list[tuple[dict[str, str], int]] = []
    for where in data.draw(st.lists(st.sampled_from(WHERES), min_size=1, max_size=3)):
        true = sum(fits(where, r) for r in theirs)
        count = data.draw(st.sampled_from([true, true, data.draw(st.integers(0, len(theirs)))]))
        if (where, count) not in told:
            told.append((where, count))
        assert ann.hear(say("bob", "ann", where=where, count=count))
        idle = SLIP / (len(theirs) + 1) ** len(told)
        weights = [
            (1 - SLIP)
            * sum(all(sum(fits(w, r) for r in t) == c for w, c in told) for t in some)
            / len(some)
            + idle
            for some in tables
        ]
        assert np.exp(ann.logs).tolist() == shares(weights)
    label = f"{mine[-1]['town']} / {mine[-1]['pet']}"
    assert not ann.hear(say("ann", "bob", "propose", row=label))
    assert ann.hear(say("bob", "ann", "reject-proposal"))
    before = np.exp(ann.logs[n - 1])
    assert before < 1 / n + 1e-9 or len(told) > 0
    assert ann.hear(say("bob", "ann", "propose", row=f"{rows[0]['town']} / {rows[0]['pet']}"))
    assert (bits(ann.logs), ann.logs[ann.truth]) == (0, 0)
    assert ann.hear(say("bob", "ann", where=WHERES[0], count=0))  # too late to change its mind
    assert bits(ann.logs) == 0


def test_a_listener_that_would_take_too_long_takes_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = drawn("mutual_friends", 1).scenario
    ann, bob = (r.rows for r in scenario.roles.values())  # type: ignore[attr-defined]
    first, _ = ears(scenario)
    where = dict.fromkeys(ann[0], "any") | {next(iter(ann[0])): next(iter(bob[0].values()))}
    before = first.logs
    for name in ("MOST_WAYS", "MOST_TOLD"):
        with monkeypatch.context() as context:
            context.setattr(friends_listener, name, 0)
            assert not first.hear(say("bob", "ann", where=where, count=1))
    assert first.logs is before
    assert first.hear(say("bob", "ann", where=where, count=1))
    monkeypatch.setattr(friends_listener, "MOST_ROWS", 1)
    assert not ears(scenario)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_claims_of_features(number: int) -> None:
    episode = drawn("hidden_role", number)
    scenario: Any = episode.scenario
    (outsider,) = ears(scenario)
    claims: dict[str, list[tuple[str, bool]]] = {a: [] for a in scenario.debaters()}
    for m in episode.messages:
        if outsider.hear(m):
            claims[m.sender].append((m.content.feature, m.content.holds))  # type: ignore[union-attr]
            want = posterior(scenario.things, claims, scenario.slip)
            assert np.exp(outsider.logs).tolist() == pytest.approx(list(want.values()), abs=1e-12)
    assert scenario.debaters()[outsider.truth] == scenario.liar


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_answers_of_a_student(number: int) -> None:
    """Each hypothesis is a student of its own, taught the same by the world; its chances are looked at."""
    episode = drawn("lesson", number)
    scenario: Any = episode.scenario
    tutor, student = scenario.seat("tutor"), scenario.seat("student")
    for at, (name, skill) in enumerate(scenario.skills.items()):
        who = ears(scenario)[at]
        held = scenario.roles[student].knows[name].shares()
        assert held[who.truth] == max(held)
        weights = [max(share, 1e-6) for share in skill.prior.shares()]
        minds = []
        for known, misconceived in ((100, 0), (0, 100), (0, 0)):
            knows = {name: {"known": known, "misconceived": misconceived}}
            role = {
                **scenario.roles[student].model_dump(),
                "knows": {**scenario.roles[student].knows, **knows},
            }
            roles = {**scenario.roles, student: type(scenario.roles[student]).model_validate(role)}
            minds.append(lesson.Lesson(scenario.model_copy(update={"roles": roles})))
        before = [world._mind[name] for world in minds]
        for m in episode.messages:
            answer = getattr(m.content, "answer", None)
            if answer is not None and m.content.exercise in skill.exercises:  # type: ignore[union-attr]
                x, rates = skill.exercises[m.content.exercise], skill.rates  # type: ignore[union-attr]
                for i, mind in enumerate(before):
                    right = mind.known * (1 - rates.slip) + mind.blank * rates.guess
                    odd = {x.right: right, x.misconceived: mind.misconceived}
                    p = odd.get(answer, 1 - right - mind.misconceived)
                    weights[i] *= (1 - SLIP) * p + SLIP / 3
            elif m.sender == tutor and m.content is not None:
                practice = m.act == "query-ref"
                then = [world._mind[name] for world in minds]
                for world in minds:
                    world.hear(m)
                before = then if practice else [world._mind[name] for world in minds]
            who.hear(m)
            assert np.exp(who.logs).tolist() == shares(weights)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(LISTENING), st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_beliefs_keep_to_their_bounds_and_add_up(
    world: str, number: int, shuffle: random.Random
) -> None:
    episode = drawn(world, number)
    seats, scenario = tuple(episode.scenario.roles), episode.scenario
    found = learned(WORLDS[world].build(scenario), episode.messages, seats)
    listeners = ears(scenario)
    start = [bits(e.logs) for e in listeners]
    messages = list(episode.messages)
    for m in messages:
        for e in listeners:
            if e.seat in (m.sender, *m.receivers) or (
                not e.seat and {m.sender, *m.receivers} >= set(seats)
            ):
                e.hear(m)
                assert np.exp(e.logs).sum() == pytest.approx(1)
                assert -1e-9 <= bits(e.logs) <= math.log2(len(e.logs)) + 1e-9
                assert e.logs[e.truth] > -math.inf
    gained = sum(b - bits(e.logs) for b, e in zip(start, listeners, strict=True))
    assert sum(f.gained for f in found if f) == pytest.approx(gained, abs=1e-9)
    true = sum(e.logs[e.truth] for e in listeners) - sum(e.logs[e.truth] for e in ears(scenario))
    assert sum(f.true for f in found if f) == pytest.approx(true / math.log(2), abs=1e-9)
    if world in ("item_division", "price_bargaining", "hidden_role"):
        shuffle.shuffle(messages)  # what is said tells the same in any order
        others = ears(scenario)
        for m in messages:
            for e in others:
                if e.seat in (m.sender, *m.receivers) or not e.seat:
                    e.hear(m)
        for one, two in zip(listeners, others, strict=True):
            assert two.logs.tolist() == pytest.approx(one.logs.tolist(), abs=1e-9)


def near(one: Score, two: Score) -> None:
    assert (one.name, one.n, one.unscored) == (two.name, two.n, two.unscored)
    assert one.value == (None if two.value is None else pytest.approx(two.value, abs=1e-9))


def test_parts_merge_into_the_whole_and_records_score_the_same() -> None:
    episodes = [drawn(w, n) for w in (*LISTENING, "matrix_game", "commons") for n in range(4)]
    whole = score(episodes, metrics=ON_REQUEST)
    parts = score(episodes[:11], metrics=ON_REQUEST).merge(score(episodes[11:], metrics=ON_REQUEST))
    read = [Episode.model_validate_json(e.line()) for e in episodes]
    for other in (parts, score(read[::-1], metrics=list(ON_REQUEST))):
        for name in ON_REQUEST:
            near(whole[name], other[name])
    assert 0 < whole["bits_per_message"].unscored < len(episodes)


def haggle(*replies: Reply) -> Episode:
    scenario = division({"book": 1, "hat": 1}, {"book": 10, "hat": 2}, {"book": 4, "hat": 8})
    table = Environment(scenario)
    for reply in (*replies, Reply(act="cancel")):
        table.step(reply)
    return table.episode()


def test_a_lie_makes_sure_and_misleads() -> None:
    honest, lie = (
        haggle(Reply(act="inform", content={"values": {"book": b, "hat": 12 - b}})) for b in (10, 2)
    )
    for episode, true in ((honest, True), (lie, False)):
        found = score([episode], metrics=BITS)
        gained, value = found["bits_per_episode"].value, found["true_bits_per_episode"].value
        assert gained is not None
        assert value is not None
        assert gained > 0
        assert value == pytest.approx(
            math.log2(((1 - SLIP) * true + SLIP / 13) * 13)  # 13 hypotheses, 13 p(claim) = 1
        )
        assert found["bits_per_message"].value == pytest.approx(gained / 2)
        assert found["true_bits_per_message"].value == pytest.approx(value / 2)


def test_words_alone_are_unscored() -> None:
    talk = haggle(Reply(act="inform", text="I want the book."))
    found = score([talk], metrics=BITS)
    assert all(found[name].value is None for name in BITS)
    assert Seen(talk).learned == [None, None]
    silent = division({"book": 1}, {"book": 3}, {"book": 3})
    scenario = silent.model_copy(
        update={
            "roles": {
                a: r.model_copy(update={"values": {"book": 2.5}}) for a, r in silent.roles.items()
            }
        }
    )
    assert not ears(scenario)  # no whole points


def test_they_are_scored_only_where_they_are_asked_for() -> None:
    talk = haggle(Reply(act="propose", content={"take": {"book": 1, "hat": 0}}))
    assert not METRICS.keys() & ON_REQUEST.keys()
    assert not {s.name for s in score([talk])} & ON_REQUEST.keys()
    assert (
        score([talk], metrics=["bits_per_episode", "utility"])["bits_per_episode"].value is not None
    )
    with pytest.raises(MootError, match="did you mean 'bits_per_episode'"):
        score([talk], metrics=["bits_per_episod"])


def test_reports_and_the_command_line_tell_of_it(tmp_path: Path, typed: Any) -> None:
    lie = haggle(Reply(act="inform", content={"values": {"book": 2, "hat": 10}}))
    first, last = dialogue(lie, None, learned=Seen(lie).learned)["turns"]
    assert "bits" not in last
    gained, true = first["bits"]
    assert (gained > 0) is (true < 0) is True
    assert "bits" not in dialogue(lie, None)["turns"][0]
    report = Gathered("x", {})
    report.add(lie)
    page = json.loads(zlib.decompress(base64.b64decode(report.page(0))))
    assert page[0]["turns"][0]["bits"] == [gained, true]
    path = str(tmp_path / "run")
    simulate("camp_site", agents={"*": "scripted:open"}, episodes=2, out=path)
    status, out, _ = typed("score", path, "--metric", "bits_per_episode", "--json")
    found = json.loads(out)["metrics"]
    assert (status, "bits_per_episode" in found, "utility" in found) == (0, True, False)
    assert "bits_per_episode" in typed("list", "metrics")[1]


def test_too_many_hypotheses_have_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_listener, "MOST", 3)
    item_listener.table.cache_clear()
    assert not ears(division({"book": 1, "hat": 1}, {"book": 10, "hat": 2}, {"book": 4, "hat": 8}))
    item_listener.table.cache_clear()
