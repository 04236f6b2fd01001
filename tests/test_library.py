"""The library of protocols: each keeps every promise, goes as its document says, and has its closed laws."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.protocols import (
    PROTOCOLS,
    Act,
    Content,
    Conversation,
    Ended,
    Message,
    Protocol,
    ProtocolError,
    brokering,
    check_protocol,
    dutch_auction,
    english_auction,
    group_chat,
    iterated_contract_net,
    mediated_text,
    propose,
    query,
    request,
    rules,
    subscribe,
    voting,
    walk,
    written,
)

EVERY = [
    request(), request(cancel=False), query(), query(cancel=False, typed=False), propose(),
    subscribe(deadline=14), brokering(), brokering(embedded="query", cancel=False),
    iterated_contract_net(), iterated_contract_net(iterations=1),
    english_auction(deadline=30), english_auction(deadline=20, reentry=False),
    dutch_auction(deadline=16), voting(), voting(rounds=0),
    mediated_text(deadline=24), mediated_text(deadline=9, hearing=False),
    group_chat(rounds=2), group_chat(rounds=1, side_channels=True, silence=True),
    group_chat(order="free", rounds=2, side_channels=True),
    group_chat(order="moderated", side_channels=True, silence=True, deadline=12),
]  # fmt: skip
FEW = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.mark.parametrize("protocol", EVERY, ids=lambda p: f"{p.name}-{p.deadline}")
def test_every_protocol_keeps_its_promises(protocol: Protocol) -> None:
    notes = check_protocol(protocol, paths=60)
    assert notes.refused > 5 * notes.messages


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_keeps_them_by_default(name: str) -> None:
    check_protocol(PROTOCOLS[name](), paths=8)
    assert PROTOCOLS[name]().source


def say(
    talk: Conversation, agent: str, act: str, to: str | None = None, content: Content | None = None
) -> Message:
    """Judge and say, as the environment does."""
    fits = talk.judge(agent, act, to, content is not None)
    assert not isinstance(fits, ProtocolError), fits
    move, receivers = fits
    message = Message(
        id=len(talk.messages),
        conversation=talk.thread(move),
        sender=agent,
        receivers=receivers,
        named=to if len(receivers) > 1 else None,
        act=move.act,
        content=content,
        in_reply_to=talk.answers(move, agent, receivers),
    )
    talk.say(message, move)
    return message


def seat(protocol: Protocol, **roles: str) -> Conversation:
    assert protocol.seats(tuple(roles), roles) is None
    return Conversation(protocol, tuple(roles), roles, id="talk")


def played(talk: Conversation, script: str) -> Conversation:
    """One line a message: `agent act`, then `@name` whom it names, `+` where it has a content."""
    for line in script.strip().splitlines():
        agent, act, *more = line.split()
        to = next((m[1:] for m in more if m.startswith("@")), None)
        say(talk, agent, act, to, Content() if "+" in more else None)
    return talk


def refused(talk: Conversation, agent: str, act: str, to: str | None = None) -> str:
    """The kind of error that the act is, with content or without; "" where it is legal."""
    fits = [talk.judge(agent, act, to, has) for has in (False, True)]
    errors = [f.kind for f in fits if isinstance(f, ProtocolError)]
    other = [kind for kind in errors if kind != "bad-content"]
    return (other or errors)[0] if len(errors) == 2 else ""


PAIR = {"ann": "initiator", "bob": "participant"}
SCRIPTS = [
    (request(), "ann request +; bob agree; ann inform; bob inform +", Ended.AGREED),
    (request(), "ann request +; bob inform", Ended.AGREED),
    (request(), "ann request +; bob refuse", Ended.REFUSED),
    (request(), "ann request +; bob not-understood", Ended.FAILED),
    (request(), "ann request +; bob agree; ann cancel; bob inform", Ended.WALKED_AWAY),
    (request(), "ann request +; bob agree; ann cancel; bob failure", Ended.FAILED),
    (request(cancel=False), "ann request +; bob agree; bob failure", Ended.FAILED),
    (query(), "ann query-if +; bob inform +", Ended.AGREED),
    (query(), "ann query-ref +; bob agree; ann inform; bob inform +", Ended.AGREED),
    (query(), "ann query-ref +; bob agree; ann cancel; bob inform", Ended.WALKED_AWAY),
    (query(typed=False), "ann query-ref; bob inform", Ended.AGREED),
    (propose(), "ann propose +; bob accept-proposal", Ended.AGREED),
    (propose(), "ann propose +; bob reject-proposal", Ended.REFUSED),
    (subscribe(), "ann subscribe +; bob refuse", Ended.REFUSED),
    (
        subscribe(),
        "ann subscribe +; bob agree; bob inform +; ann inform; bob inform +; ann cancel; bob inform",
        Ended.DONE,
    ),
    (
        subscribe(),
        "ann subscribe +; bob agree; bob inform +; ann inform; bob failure",
        Ended.FAILED,
    ),
    (subscribe(deadline=3), "ann subscribe +; bob agree; bob inform +", Ended.LIMIT),
]


@pytest.mark.parametrize(("protocol", "script", "ended"), SCRIPTS, ids=lambda v: str(v)[:60])
def test_two_party_talks_go_as_their_documents_say(
    protocol: Protocol, script: str, ended: Ended
) -> None:
    talk = played(seat(protocol, **PAIR), script.replace(";", "\n"))
    assert talk.ended is ended


def test_to_say_nothing_is_heard_by_nobody_and_cancels_nothing() -> None:
    talk = played(seat(request(), **PAIR), "ann request +\nbob agree\nann inform")
    assert talk.messages[-1].receivers == ()
    assert talk.speaker == "bob"
    assert refused(talk, "bob", "refuse") == "illegal-act", "it has agreed"


def test_a_proposal_is_what_its_answer_replies_to() -> None:
    talk = played(seat(propose(), **PAIR), "ann propose +\nbob accept-proposal")
    assert talk.messages[-1].in_reply_to == 0


def test_a_broker_keeps_both_sides_apart() -> None:
    talk = seat(brokering(), ann="initiator", bo="broker", cy="participant", di="participant")
    played(talk, "ann proxy +\nbo agree\nbo request @cy +\nbo request @di +\nbo inform\nann inform")
    assert talk.speaker == "cy"
    played(talk, "cy refuse\ndi inform +\nbo inform +")
    assert talk.ended is Ended.AGREED
    ears = {m.sender: {r for n in talk.messages if n.sender == m.sender for r in n.receivers}
            for m in talk.messages}  # fmt: skip
    assert ears == {"ann": {"bo"}, "bo": {"ann", "cy", "di"}, "cy": {"bo"}, "di": {"bo"}}


def test_a_broker_asks_only_those_who_suit_and_none_twice() -> None:
    talk = seat(brokering(cancel=False), ann="initiator", bo="broker", cy="participant",
                di="participant")  # fmt: skip
    played(talk, "ann proxy +\nbo agree\nbo request @cy +")
    assert refused(talk, "bo", "request", "cy") == "bad-receiver"
    assert refused(talk, "bo", "failure") == "illegal-act", "somebody did suit"
    played(talk, "bo inform\ncy failure\nbo failure")
    assert talk.ended is Ended.FAILED


NET = {"boss": "manager", "ann": "bidder", "bob": "bidder", "cy": "bidder"}


def test_a_revised_call_reaches_those_whose_bids_are_left() -> None:
    talk = seat(iterated_contract_net(iterations=2), **NET)
    played(talk, "boss cfp +\nann propose +\nbob propose +\ncy refuse\nboss reject-proposal @bob")
    assert say(talk, "boss", "cfp", content=Content()).receivers == ("ann",)
    played(talk, "ann propose +")
    assert refused(talk, "boss", "cfp") == "illegal-act", "it was the last call"
    played(talk, "boss accept-proposal +\nann inform +")
    assert talk.ended is Ended.AGREED
    assert talk.messages[-2].in_reply_to == 6, "the better bid"


def test_no_call_follows_an_award() -> None:
    talk = played(
        seat(iterated_contract_net(), **NET),
        "boss cfp +\nann propose +\nbob propose +\ncy propose +\nboss accept-proposal @ann +",
    )
    assert refused(talk, "boss", "cfp") == "illegal-act"


def test_iterations_are_calls() -> None:
    talk = seat(iterated_contract_net(iterations=4), boss="manager", ann="bidder")
    while "cfp" in {o.move.act for o in talk.options()}:
        played(talk, "boss cfp +\nann propose +")
    assert sum(m.act == Act.CFP for m in talk.messages) == 4


ROOM = {"mo": "auctioneer", "ann": "bidder", "bob": "bidder", "cy": "bidder"}


class Price(Content):
    price: int


def sold_english(values: list[int], reentry: bool) -> Conversation:
    """Truthful bidders; the call rises by one."""
    bidders = [f"b{i}" for i in range(len(values))]
    talk = seat(english_auction(None, reentry), mo="auctioneer", **dict.fromkeys(bidders, "bidder"))
    say(talk, "mo", "inform")
    price = 0
    while talk.ended is None:
        who = talk.speaker or ""
        acts = {o.move.act for o in talk.options()}
        if Act.CFP in acts:
            price += 1
            say(talk, who, "cfp", content=Price(price=price))
        elif Act.PROPOSE in acts:
            keen = values[bidders.index(who)] >= price
            say(talk, who, "propose" if keen else "refuse", None,
                Price(price=price) if keen else None)  # fmt: skip
        else:
            say(talk, who, next(a for a in ("accept-proposal", "request", "inform") if a in acts))
    return talk


@FEW
@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=4), reentry=st.booleans())
def test_an_english_auction_sells_to_the_highest_value_at_about_the_second(
    values: list[int], reentry: bool
) -> None:
    talk = sold_english(values, reentry)
    bids = [m for m in talk.messages if m.act == Act.PROPOSE]
    if max(values) == 0:
        assert (talk.ended, bids) == (Ended.REFUSED, [])
        return
    assert talk.ended is Ended.AGREED
    assert talk.messages[-1].receivers == (bids[-1].sender,), "the last who proposed has it"
    paid, ranked = bids[-1].content.price, sorted([0, *values])  # type: ignore[union-attr]
    assert max(values) == values[int(bids[-1].sender[1:])]
    assert ranked[-2] <= paid <= ranked[-2] + 1


@FEW
@given(seed=st.integers(0, 10**6), bidders=st.integers(1, 4), reentry=st.booleans())
def test_nobody_bids_twice_at_one_price_nor_against_themselves(
    seed: int, bidders: int, reentry: bool
) -> None:
    agents = ("mo", *(f"b{i}" for i in range(bidders)))
    roles = {a: "auctioneer" if a == "mo" else "bidder" for a in agents}
    talk = walk(english_auction(40, reentry), random.Random(seed), agents, roles, stubborn=True)
    holder, answered, passed = None, set[str](), set[str]()
    for m in talk.messages:
        if m.act == Act.CFP:
            answered = set()
        elif m.act == Act.ACCEPT_PROPOSAL:
            holder = m.receivers[0]
        elif m.sender != "mo":
            assert m.sender not in answered
            assert m.sender != holder
            assert reentry or m.sender not in passed
            answered.add(m.sender)
            passed |= {m.sender} if m.act == Act.REFUSE else set()
    if talk.ended is Ended.AGREED:
        assert talk.messages[-1].receivers == (holder,)


def test_the_auctioneer_may_keep_the_good_and_without_a_bid_it_must() -> None:
    opened = "mo inform\nmo cfp +\nann propose +\nmo accept-proposal\nmo inform"
    talk = played(seat(english_auction(), **ROOM), opened + "\nmo reject-proposal")
    assert talk.ended is Ended.REFUSED
    talk = played(seat(english_auction(), **ROOM), opened + "\nmo request")
    assert talk.ended is Ended.AGREED
    talk = played(
        seat(english_auction(), **ROOM),
        "mo inform\nmo cfp +\nann refuse\nbob not-understood\ncy refuse\nmo inform",
    )
    assert talk.ended is Ended.REFUSED


def test_who_does_not_understand_is_asked_no_more() -> None:
    talk = played(
        seat(english_auction(), **ROOM),
        "mo inform\nmo cfp +\nann not-understood\nbob propose +\nmo accept-proposal\nmo cfp +",
    )
    assert talk.speaker == "cy"
    talk = played(seat(dutch_auction(), **ROOM),
                  "mo inform\nmo cfp +\nann not-understood\nbob refuse\ncy refuse\nmo cfp +")  # fmt: skip
    assert talk.speaker == "bob"


@FEW
@given(values=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_in_a_dutch_auction_the_first_taker_wins(values: list[int]) -> None:
    bidders = [f"b{i}" for i in range(len(values))]
    talk = seat(dutch_auction(None), mo="auctioneer", **dict.fromkeys(bidders, "bidder"))
    say(talk, "mo", "inform")
    price = 11
    while talk.ended is None:
        who = talk.speaker or ""
        if talk.state == "calling":
            price -= 1
            say(talk, who, "cfp", content=Price(price=price))
        elif talk.state == "accepting":
            say(talk, who, "accept-proposal")
        elif values[bidders.index(who)] >= price:
            say(talk, who, "propose", content=Price(price=price))
        else:
            say(talk, who, "refuse")
    takers = [m.sender for m in talk.messages if m.act == Act.PROPOSE]
    assert (talk.ended, takers) == (Ended.AGREED, [bidders[values.index(max(values))]])
    assert (talk.messages[-1].receivers, price) == ((takers[0],), max(values))


def test_a_dutch_auction_may_end_without_a_sale() -> None:
    talk = played(
        seat(dutch_auction(), **ROOM),
        "mo inform\nmo cfp +\nann refuse\nbob refuse\ncy refuse\nmo inform",
    )
    assert talk.ended is Ended.REFUSED


@FEW
@given(agents=st.integers(2, 5), rounds=st.integers(0, 3), seed=st.integers(0, 99))
def test_all_deliberate_and_then_each_votes_once_unseen(
    agents: int, rounds: int, seed: int
) -> None:
    names = tuple("abcde"[:agents])
    talk = walk(voting(rounds), random.Random(seed), names, {})
    assert talk.ended is Ended.DONE
    assert [m.sender for m in talk.messages] == list(names) * (rounds + 1)
    ballots = [m for m in talk.messages if m.content is not None]
    assert [m.sender for m in ballots] == list(names)
    assert not any(m.receivers for m in ballots)


@FEW
@given(agents=st.integers(2, 5), rounds=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_chat_lasts_its_rounds_in_either_order(agents: int, rounds: int, seed: int) -> None:
    names = tuple("abcde"[:agents])
    talk = walk(
        group_chat("round_robin", rounds, side_channels=True), random.Random(seed), names, {}
    )
    assert [m.sender for m in talk.messages] == list(names) * rounds
    talk = walk(group_chat("free", rounds, side_channels=True), random.Random(seed), names, {})
    assert (talk.ended, len(talk.messages)) == (Ended.DONE, agents * rounds)
    for before, after in zip(talk.messages, talk.messages[1:], strict=False):
        assert after.sender == before.receivers[0], "whoever was addressed"


def test_in_a_free_chat_all_hear_and_one_is_named() -> None:
    talk = seat(group_chat("free"), ann="", bob="", cy="")
    assert refused(talk, "ann", "inform") == "bad-receiver", "it names nobody"
    message = say(talk, "ann", "inform", "cy")
    assert (message.receivers, message.named) == (("cy", "bob"), "cy")
    assert '"to":"cy"' in written(message, talk.agents)
    assert talk.speaker == "cy"
    assert "whom you name speaks next" in rules(talk.protocol, "", lambda m: "", many=True)


def test_side_channels_and_silence() -> None:
    talk = seat(group_chat(side_channels=True, silence=True), ann="", bob="", cy="")
    played(talk, "ann inform-ref @cy\nbob refuse\ncy inform")
    assert [m.receivers for m in talk.messages] == [("cy",), (), ("ann", "bob")]
    plain = seat(group_chat(), ann="", bob="", cy="")
    assert refused(plain, "ann", "inform-ref", "cy") == "illegal-act"
    assert refused(plain, "ann", "refuse") == "illegal-act"


def test_a_moderator_gives_the_floor_and_closes() -> None:
    talk = seat(group_chat("moderated"), mo="moderator", ann="member", bob="member")
    assert talk.messages == []
    given = say(talk, "mo", "request", "bob")
    assert given.receivers == ("bob", "ann"), "all hear who is called"
    assert refused(talk, "ann", "inform") == "not-your-turn"
    played(talk, "bob inform\nmo request @bob\nbob inform\nmo cancel")
    assert talk.ended is Ended.DONE


def test_a_mediated_text_stands_once_all_have_accepted_it() -> None:
    talk = seat(mediated_text(hearing=False), mo="mediator", ann="party", bob="party")
    played(talk, "mo propose +\nann accept-proposal\nbob reject-proposal")
    assert (talk.state, refused(talk, "mo", "inform")) == ("drafting", "illegal-act")
    played(talk, "mo propose +\nann accept-proposal\nbob accept-proposal")
    assert talk.messages[-1].in_reply_to == 3
    played(talk, "mo propose +\nann reject-proposal\nbob accept-proposal\nmo inform")
    assert talk.ended is Ended.AGREED
    assert all(m.receivers == ("mo",) for m in talk.messages if m.sender != "mo")


def test_a_mediator_hears_every_party_first_and_may_give_up() -> None:
    talk = seat(mediated_text(), mo="mediator", ann="party", bob="party")
    played(talk, "ann inform +\nbob inform\nmo cancel")
    assert talk.ended is Ended.REFUSED
