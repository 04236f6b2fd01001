"""Words are true of the content, many, and never longer than allowed."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted import phrases
from moot.agents.scripted.players import PLAYERS
from moot.agents.scripted.strategies import STRATEGIES
from moot.agents.scripted.wording import NUMBERS, plural, words
from moot.environments import WORLDS, Environment, play
from moot.protocols import Act, Content, Message, Observation

QUICK = settings(max_examples=300, deadline=None)


def observed(world: str, role: str = "", seed: int = 1, **about: Any) -> Observation:
    """What an agent (of this role) sees at the start of a random scenario."""
    scenario = WORLDS[world].Generator().draw(random.Random(seed))
    table = Environment(scenario)
    agent = next(a for a in table.agents if table.roles[a] == role or not role)
    observation = table.observe(agent)
    brief = dataclasses.replace(observation.about, **{"max_text": 160, **about})
    return observation._replace(about=brief)


def offered(observation: Observation, content: Content) -> Observation:
    """The same with another's offer on the table."""
    message = Message(
        id=0, conversation="", sender="other", receivers=(), act=Act.PROPOSE, content=content
    )
    return observation._replace(standing=message, heard=(message,))


BOOKS = observed("item_division", public={"items": {"book": 2, "wish": 1, "food": 5, "ruby": 3}})
SELLER, BUYER = observed("price_bargaining", "seller"), observed("price_bargaining", "buyer")
MANAGER, BIDDER = observed("task_allocation", "manager"), observed("task_allocation", "bidder")
TAKE = {"take": {"book": 1, "wish": 0, "food": 5, "ruby": 2}}
VALUES = {"values": {"book": 1, "wish": 0, "food": 5, "ruby": 2}}
BID = {"prices": {"dig": 31, "weld": 7}, "most": 2}
TASKS = {"tasks": ["dig", "weld"]}
SAID: list[tuple[Observation, Act, Any]] = [
    (BOOKS, Act.PROPOSE, TAKE),
    (BOOKS, Act.PROPOSE, {"take": dict.fromkeys(TAKE["take"], 0)}),
    (BOOKS, Act.PROPOSE, {"take": BOOKS.public["items"]}),
    (offered(BOOKS, Content.model_validate(TAKE)), Act.PROPOSE, TAKE),
    (BOOKS, Act.INFORM, VALUES),
    (BOOKS, Act.QUERY_REF, None),
    (offered(BOOKS, Content.model_validate(TAKE)), Act.ACCEPT_PROPOSAL, None),
    (BOOKS, Act.REJECT_PROPOSAL, None),
    (BOOKS, Act.CANCEL, None),
    (BOOKS, Act.INFORM, None),
    *[
        case
        for trader in (SELLER, BUYER)
        for case in (
            (trader, Act.PROPOSE, {"price": 55}),
            (trader, Act.INFORM, {"limit": 55}),
            (trader, Act.QUERY_REF, None),
            (offered(trader, Content.model_validate({"price": 55})), Act.ACCEPT_PROPOSAL, None),
            (trader, Act.CANCEL, None),
        )
    ],
    (MANAGER, Act.CFP, TASKS),
    (BIDDER, Act.PROPOSE, BID),
    (BIDDER, Act.REFUSE, None),
    (MANAGER, Act.ACCEPT_PROPOSAL, TASKS),
    (MANAGER, Act.REJECT_PROPOSAL, None),
    (BIDDER, Act.INFORM, TASKS),
    (BIDDER, Act.FAILURE, None),
]


@pytest.mark.parametrize(("observation", "act", "content"), SAID)
def test_each_act_has_many_short_wordings(observation: Observation, act: Act, content: Any) -> None:
    texts = {words(observation, act, content, chance) for chance in range(1500)}
    assert len(texts) >= 10
    for text in texts:
        assert 0 < len(text) <= 110
        assert text[0].isupper() or text[0].isdigit()
        assert text[-1] in ".?!"
        assert "{" not in text


@QUICK
@given(case=st.sampled_from(SAID), chance=st.integers(0, 2**64), most=st.integers(0, 160))
def test_the_text_fits(case: tuple[Observation, Act, Any], chance: int, most: int) -> None:
    observation, act, content = case
    brief = dataclasses.replace(observation.about, max_text=most)
    text = words(observation._replace(about=brief), act, content, chance)
    assert len(text) <= most
    assert text or most < 60 or act is Act.INFORM


COUNTED = re.compile(
    rf"(?:(?P<all>all the|the|both|all)|(?P<word>{'|'.join(NUMBERS)})|(?P<digits>\d+)) "
    r"(?:(?P<more>\d+) )?(?P<noun>books?|wish(?:es)?|food|rub(?:y|ies))\b"
)
ONE = {"books": "book", "wishes": "wish", "rubies": "ruby"}


def counts(text: str, items: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Kinds with the count that the words give them."""
    for found in COUNTED.finditer(text.lower()):
        kind = ONE.get(found["noun"], found["noun"])
        if found["digits"]:
            count = int(found["digits"])
        elif found["word"]:
            count = NUMBERS.index(found["word"])
        else:
            count = 2 if found["all"] == "both" else int(found["more"] or items[kind])
        assert (found["noun"] == kind) == (count == 1 or kind == "food"), text
        yield kind, count


@st.composite
def splits(draw: Any) -> tuple[dict[str, int], dict[str, int]]:
    items = {k: draw(st.integers(1, 12)) for k in ("book", "wish", "food", "ruby")}
    return items, {k: draw(st.integers(0, n)) for k, n in items.items()}


@QUICK
@given(split=splits(), chance=st.integers(0, 2**64), accepts=st.booleans())
def test_counts_in_words_are_those_of_the_split(
    split: tuple[dict[str, int], dict[str, int]], chance: int, accepts: bool
) -> None:
    items, take = split
    rest = {k: n - take[k] for k, n in items.items()}
    brief = dataclasses.replace(BOOKS.about, public={"items": items})
    seen = BOOKS._replace(about=brief)
    if accepts:
        content = Content.model_validate({"take": rest})
        text = words(offered(seen, content), Act.ACCEPT_PROPOSAL, None, chance)
    else:
        text = words(seen, Act.PROPOSE, {"take": take}, chance)
    told = list(counts(text, items))
    piles = [{k: n for k, n in pile.items() if n} for pile in (take, rest)]
    assert all(n in (take[k], rest[k]) for k, n in told), text
    # Whoever is named first or second: what is told is one pile, or both.
    whole = [sorted(pile.items()) for pile in piles]
    assert sorted(told) in ([], *whole, sorted(whole[0] + whole[1])), text


def test_who_gets_what_is_not_turned_round() -> None:
    mine, rest = "one book, five food and two rubies", "one book, one wish and one ruby"
    digits = "1 book, all the food and 2 rubies", "1 book, the wish and 1 ruby"
    seen: set[str] = set()
    for chance in range(3000):
        text = words(BOOKS, Act.PROPOSE, TAKE, chance)
        for got, left in ((mine, rest), digits):
            seen |= {f for f in (f"I take {got}, you get {left}.",) if text.endswith(f)}
            seen |= {f for f in (f"You can have {left} if I get {got}.",) if text.endswith(f)}
            assert f"I take {left}" not in text
            assert f"you get {got}" not in text.lower()
            assert f"{left} for me" not in text.lower()
    assert len(seen) == 4
    takes = offered(BOOKS, Content.model_validate(TAKE))
    closing = {words(takes, Act.ACCEPT_PROPOSAL, None, chance) for chance in range(3000)}
    assert f"Deal: I get {digits[1]}." in closing
    assert f"Good, you get {mine}." in closing


@QUICK
@given(
    chance=st.integers(0, 2**64), amount=st.sampled_from((7, 1234567, 12.5)), at=st.integers(0, 5)
)
def test_prices_in_words_are_those_of_the_content(chance: int, amount: float, at: int) -> None:
    trader = (SELLER, BUYER)[at % 2]
    act, name = ((Act.PROPOSE, "price"), (Act.INFORM, "limit"), (Act.ACCEPT_PROPOSAL, ""))[at // 2]
    if name:
        text = words(trader, act, {name: amount}, chance)
    else:
        text = words(offered(trader, Content.model_validate({"price": amount})), act, None, chance)
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    assert numbers == [str(amount)] or (not name and not numbers)
    if act is Act.INFORM:
        wrong = (
            "above|over|most|less|highest|budget" if trader is SELLER else "below|under|least|more"
        )
        assert not re.search(wrong, text), text


@QUICK
@given(chance=st.integers(0, 2**64), values=st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_values_in_words_are_those_of_the_content(chance: int, values: list[int]) -> None:
    told = dict(zip(BOOKS.public["items"], values, strict=True))
    text = words(BOOKS, Act.INFORM, {"values": told}, chance)
    pairs = {k: int(v) for k, v in re.findall(r"(\w+) (\d+)\b", text)}
    rates = {k: int(v) for v, k in re.findall(r"(\d+) per (\w+)", text)}
    assert {k.lower(): v for k, v in (pairs or rates).items()} == told or rates == told
    for kind, value in told.items():
        if value < max(values):
            assert not re.search(
                rf"{plural(kind)} (most|best)|(all|about|ostly) {plural(kind)}", text
            )


@QUICK
@given(chance=st.integers(0, 2**64))
def test_bids_and_awards_in_words_are_those_of_the_content(chance: int) -> None:
    text = words(BIDDER, Act.PROPOSE, BID, chance).lower()
    assert {"dig 31", "weld 7", "two"} <= set(re.findall(r"dig \d+|weld \d+|two", text))
    for observation, act in (
        (MANAGER, Act.CFP),
        (MANAGER, Act.ACCEPT_PROPOSAL),
        (BIDDER, Act.INFORM),
    ):
        assert "dig and weld" in words(observation, act, TASKS, chance).lower()


def test_an_unknown_world_gets_words_for_bare_acts_only() -> None:
    about = dataclasses.replace(BOOKS.about, world="chess")
    chess = BOOKS._replace(about=about)
    assert words(chess, Act.ACCEPT_PROPOSAL, None, 3) in phrases.ACCEPT
    assert words(chess, Act.PROPOSE, {"move": "e4"}, 3) == ""


def test_whole_games_stay_short() -> None:
    for world in (w for w in WORLDS if w not in PLAYERS):
        tables = [
            Environment(WORLDS[world].Generator().draw(random.Random(i)), episode=i)
            for i in range(40)
        ]
        lengths = [
            len(m.text)
            for e in play(tables, {"*": ScriptedPool(STRATEGIES["open"]())})
            for m in e.messages
        ]
        assert min(lengths) > 0
        assert max(lengths) <= 110
        assert sum(lengths) / len(lengths) < 60
