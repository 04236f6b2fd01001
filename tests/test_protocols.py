"""Protocols: the shipped ones keep every promise, and a broken promise of any kind is found."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from moot.protocols import (
    ANY,
    BACK,
    OTHER,
    SAME,
    TURN,
    Act,
    Content,
    ContractError,
    Conversation,
    Ended,
    Message,
    Move,
    Offer,
    One,
    Protocol,
    ProtocolError,
    State,
    alternating_offers,
    check_protocol,
    check_transcript,
    contract_net,
    read,
    rules,
    walk,
    written,
)

PAIR = ("ann", "bob")
NONE = {"ann": "", "bob": ""}
NET = ("boss", "ann", "bob", "cleo")
ROLES = {"boss": "manager", "ann": "bidder", "bob": "bidder", "cleo": "bidder"}
OFFERS = alternating_offers()


def say(
    talk: Conversation, agent: str, act: Act, to: str | None = None, content: bool = False
) -> None:
    """Judge and say, as the environment does."""
    fits = talk.judge(agent, act, to, content)
    assert not isinstance(fits, ProtocolError), fits
    move, receivers = fits
    talk.say(
        Message(
            id=len(talk.messages),
            conversation=talk.id,
            sender=agent,
            receivers=receivers,
            act=act,
            content=Content() if content else None,
            in_reply_to=talk.answers(move, agent, receivers),
        ),
        move,
    )


def kind(
    talk: Conversation, agent: str, act: str, to: str | None = None, content: bool = False
) -> str:
    fits = talk.judge(agent, act, to, content)
    return fits.kind if isinstance(fits, ProtocolError) else "legal"


@pytest.mark.parametrize(
    "protocol",
    [
        OFFERS,
        alternating_offers(deadline=1),
        alternating_offers(deadline=5, talk=False),
        contract_net(),
    ],
    ids=lambda p: f"{p.name}-{p.deadline}",
)
def test_shipped_protocols_keep_their_promises(protocol: Protocol) -> None:
    notes = check_protocol(protocol, paths=400)
    assert notes.messages >= 400
    assert notes.refused > 10 * notes.messages


def test_a_thousand_paths_of_the_same_seed_are_the_same() -> None:
    one, two = check_protocol(OFFERS, paths=50, seed=3), check_protocol(OFFERS, paths=50, seed=3)
    other = check_protocol(OFFERS, paths=50, seed=4)
    assert (one.messages, one.refused) == (two.messages, two.refused)
    assert (one.messages, one.refused) != (other.messages, other.refused)


def changed(protocol: Protocol, act: Act, **fields: object) -> Protocol:
    """The protocol with the rows of an act changed."""
    moves = tuple(replace(m, **fields) if m.act == act else m for m in protocol.moves)  # type: ignore[arg-type]
    return replace(protocol, moves=moves)


def with_state(state: State) -> Protocol:
    return replace(OFFERS, states=(*OFFERS.states, state))


BROKEN = {
    "its own offer": changed(OFFERS, Act.ACCEPT_PROPOSAL, who=TURN),
    "not on the table": changed(OFFERS, Act.ACCEPT_PROPOSAL, state="open"),
    "its own offer, one": changed(OFFERS, Act.REJECT_PROPOSAL, then=SAME),
    "there is nowhere to go back to": changed(OFFERS, Act.CANCEL, then=BACK),
    "silence is cfp": replace(OFFERS, states=(State("open"), State("offered", silence=Act.CFP))),
    "shifts 'king'": changed(OFFERS, Act.CANCEL, shifts=(("king", ""),)),
    "which is no state": changed(OFFERS, Act.PROPOSE, then="offred"),
    "there is no state": changed(OFFERS, Act.ACCEPT_PROPOSAL, state="offred"),
    "nobody ever is": changed(OFFERS, Act.CANCEL, to="king"),
    "want TURN or OTHER": changed(OFFERS, Act.CANCEL, who="ann"),
    "never reached": replace(
        OFFERS,
        states=(*OFFERS.states, State("island")),
    ),
    "the floor is 'king''s": with_state(State("court", floor="king")),
    "declared twice": with_state(State("open")),
    "two moves are inform without content": replace(
        OFFERS, moves=(*OFFERS.moves, Move(ANY, TURN, Act.INFORM, None, SAME, "talk again"))
    ),
    "give it a deadline": alternating_offers(deadline=None),
    "nobody can say anything": replace(
        OFFERS, states=(State("open"), State("offered")), moves=OFFERS.moves[:1]
    ),
    "no way out": replace(
        OFFERS,
        states=(State("open"),),
        moves=(Move("open", TURN, Act.INFORM, None, SAME, "talk"),),
        deadline=None,
    ),
    "nothing follows": replace(
        contract_net(),
        states=(*contract_net().states[:3], State("performing", "contractor", "contractor")),
    ),
    "for None, which always holds": replace(
        contract_net(),
        states=(
            *contract_net().states[:3],
            State("performing", "contractor", "contractor", (("done", Ended.AGREED),)),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_broken_promise_is_named(sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence) as caught:
        check_protocol(BROKEN[sentence], paths=100)
    assert str(caught.value).startswith(f"protocol {BROKEN[sentence].name}: ")


def test_a_rejected_offer_stays_rejected() -> None:
    # Rejection that leaves the state `offered` would let the next speaker accept what was turned down.
    with pytest.raises(ContractError, match="not on the table"):
        check_protocol(changed(OFFERS, Act.REJECT_PROPOSAL, then="offered"), paths=100)


def test_a_judge_that_disagrees_with_the_schema_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Conversation.judge

    def lax(self: Conversation, agent: str, act: str, to: str | None, has_content: bool) -> object:
        # Takes a proposal without content for one with content.
        return honest(self, agent, act, to, has_content or act == Act.PROPOSE)

    monkeypatch.setattr(Conversation, "judge", lax)
    with pytest.raises(ContractError, match="the judge allows propose without content"):
        check_protocol(OFFERS, paths=5)


def test_a_schema_that_allows_too_much_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Conversation.judge

    def strict(self: Conversation, agent: str, act: str, to: str | None, has: bool) -> object:
        return honest(self, agent, "no such act" if act == Act.CANCEL else act, to, has)

    monkeypatch.setattr(Conversation, "judge", strict)
    with pytest.raises(ContractError, match="the schema allows what the judge refuses"):
        check_protocol(OFFERS, paths=5)


@pytest.mark.parametrize(
    ("off", "sentence"), [(-1, "cut off after 11"), (1, "still open after 12")]
)
def test_a_deadline_off_by_one_is_caught(
    monkeypatch: pytest.MonkeyPatch, off: int, sentence: str
) -> None:
    honest = Conversation.say

    def early_or_late(self: Conversation, message: Message, move: Move) -> None:
        self.limit = 12 + off
        honest(self, message, move)
        self.limit = 12

    monkeypatch.setattr(Conversation, "say", early_or_late)
    with pytest.raises(ContractError, match=sentence):
        check_protocol(OFFERS, paths=100)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('- "cancel"', '- "stop"', "silent about cancel"),
        ('- "query-ref"', '- "refuse": x\n- "query-ref"', "name what no path allows: refuse"),
        ("At most 12", "Few", "do not tell the deadline"),
    ],
)
def test_rules_that_lie_are_caught(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, sentence: str
) -> None:
    monkeypatch.setattr(
        "moot.protocols.check.rules", lambda *a, **k: rules(*a, **k).replace(old, new)
    )
    with pytest.raises(ContractError, match=sentence):
        check_protocol(OFFERS, paths=100)


def test_nobody_answers_their_own_offer() -> None:
    talk = Conversation(OFFERS, PAIR, NONE)
    assert kind(talk, "ann", "accept-proposal") == "illegal-act"
    say(talk, "ann", Act.PROPOSE, content=True)
    say(talk, "bob", Act.INFORM)
    for act in ("accept-proposal", "reject-proposal"):
        assert kind(talk, "ann", act) == "illegal-act"
    say(talk, "ann", Act.INFORM)
    say(talk, "bob", Act.REJECT_PROPOSAL)
    say(talk, "ann", Act.INFORM)
    assert kind(talk, "bob", "accept-proposal") == "illegal-act", "it was rejected"
    say(talk, "bob", Act.PROPOSE, content=True)
    say(talk, "ann", Act.ACCEPT_PROPOSAL)
    assert talk.ended is Ended.AGREED
    assert talk.messages[-1].in_reply_to == 5
    assert kind(talk, "bob", "inform") == "not-your-turn"


def test_exactly_the_deadline_may_be_said() -> None:
    talk = Conversation(alternating_offers(deadline=3), PAIR, NONE)
    for number, agent in enumerate(("ann", "bob", "ann")):
        assert talk.left == 3 - number
        assert talk.ended is None
        say(talk, agent, Act.INFORM)
    assert talk.ended is Ended.LIMIT
    assert talk.left == 0


def test_the_last_message_may_still_accept() -> None:
    talk = Conversation(alternating_offers(deadline=2), PAIR, NONE)
    say(talk, "ann", Act.PROPOSE, content=True)
    say(talk, "bob", Act.ACCEPT_PROPOSAL)
    assert talk.ended is Ended.AGREED


def net(*bidders: bool) -> Conversation:
    """A contract net in which each bidder bids (True) or refuses."""
    talk = Conversation(contract_net(), NET[: len(bidders) + 1], ROLES)
    say(talk, "boss", Act.CFP, content=True)
    for agent, bids in zip(NET[1:], bidders, strict=False):
        say(talk, agent, Act.PROPOSE if bids else Act.REFUSE, content=bids)
    return talk


def test_contract_net_follows_its_document() -> None:
    talk = net(True, False, True)
    assert (talk.state, talk.speaker) == ("awarding", "boss")
    assert kind(talk, "boss", "accept-proposal", None, True) == "bad-receiver", (
        "of two, one is named"
    )
    assert kind(talk, "boss", "accept-proposal", "bob", True) == "bad-receiver", "bob refused"
    say(talk, "boss", Act.ACCEPT_PROPOSAL, "cleo", True)
    assert talk.messages[-1].in_reply_to == 3, "the number of cleo's bid"
    assert kind(talk, "boss", "accept-proposal", "cleo", True) == "bad-receiver", "already awarded"
    say(talk, "boss", Act.REJECT_PROPOSAL, "ann")
    assert (talk.state, talk.speaker) == ("performing", "cleo")
    say(talk, "cleo", Act.INFORM, content=True)
    assert talk.ended is Ended.AGREED
    assert [m.receivers for m in talk.messages] == [
        ("ann", "bob", "cleo"), ("boss",), ("boss",), ("boss",), ("cleo",), ("ann",), ("boss",),
    ]  # fmt: skip


def test_contract_net_ends_for_every_reason() -> None:
    assert net(False, False).ended is Ended.REFUSED
    talk = net(True)
    say(talk, "boss", Act.REJECT_PROPOSAL)
    assert talk.ended is Ended.REFUSED
    talk = net(True, True)
    say(talk, "boss", Act.ACCEPT_PROPOSAL, "ann", True)
    say(talk, "boss", Act.ACCEPT_PROPOSAL, "bob", True)
    say(talk, "ann", Act.INFORM, content=True)
    say(talk, "bob", Act.FAILURE)
    assert talk.ended is Ended.FAILED


def test_nothing_is_said_to_nobody() -> None:
    # An auctioneer may congratulate winners; until there is one, there is nobody to hear it.
    protocol = Protocol(
        name="auction",
        source="a test",
        states=(State("open", floor="auctioneer"),),
        moves=(
            Move("open", TURN, Act.INFORM, None, SAME, "congratulate the winners", to="winner"),
            Move("open", TURN, Act.CONFIRM, None, SAME, "congratulate one", to=One("winner")),
            Move("open", TURN, Act.AGREE, None, SAME, "name one", to=One("guest"),
                 receiver_becomes="winner"),
            Move("open", TURN, Act.CANCEL, None, Ended.WALKED_AWAY, "close"),
        ),
        roles={"auctioneer": 1, "guest": None},
        deadline=9,
    )  # fmt: skip
    check_protocol(protocol, paths=100)
    talk = Conversation(
        protocol, ("mo", "ann", "bob"), {"mo": "auctioneer", "ann": "guest", "bob": "guest"}
    )
    assert [o.move.act for o in talk.options()] == [Act.AGREE, Act.CANCEL]
    assert kind(talk, "mo", "inform") == "bad-receiver"
    say(talk, "mo", Act.AGREE, "ann")
    assert [o.to for o in talk.options()] == [("ann",), ("ann",), ("bob",), ()]


def test_seats() -> None:
    assert OFFERS.seats(PAIR, NONE) is None
    assert "seats 2 agents, got 3" in (OFFERS.seats(("a", "b", "c"), {}) or "")
    assert contract_net().seats(NET, ROLES) is None
    assert "needs 1 manager, got 0" in (contract_net().seats(("ann",), ROLES) or "")
    assert "needs one or more bidder" in (contract_net().seats(("boss",), ROLES) or "")
    assert "no role 'judge'" in (contract_net().seats((*NET, "x"), {**ROLES, "x": "judge"}) or "")


def test_a_sound_transcript_has_no_errors() -> None:
    for protocol, agents, roles in ((OFFERS, PAIR, NONE), (contract_net(), NET, ROLES)):
        for path in range(30):
            talk = walk(protocol, random.Random(path), agents, roles)
            assert check_transcript(protocol, agents, roles, talk.messages) == []


def test_every_fault_of_a_transcript_is_listed() -> None:
    talk = net(True, True)
    say(talk, "boss", Act.ACCEPT_PROPOSAL, "ann", True)
    say(talk, "boss", Act.REJECT_PROPOSAL, "bob")
    say(talk, "ann", Act.INFORM, content=True)

    def faults(number: int, **fields: object) -> list[str]:
        messages = list(talk.messages)
        messages[number] = messages[number].model_copy(update=fields)
        return [e.kind for e in check_transcript(contract_net(), talk.agents, ROLES, messages)]

    assert faults(0) == []
    assert faults(0, receivers=("ann",))[0] == "bad-receiver"
    assert faults(1, sender="bob")[0] == "not-your-turn"
    assert faults(1, content=None)[0] == "bad-content"
    assert faults(3, receivers=("boss",))[0] == "bad-receiver"
    assert faults(3, act=Act.AGREE)[0] == "illegal-act"
    assert faults(4, in_reply_to=1) == ["out-of-order"]
    assert faults(2, id=7)[0] == "out-of-order"
    assert "not-your-turn" in [
        e.kind for e in check_transcript(contract_net(), talk.agents, ROLES, [*talk.messages] * 2)
    ], "nothing is said after the end"


def test_the_written_form_reads_back() -> None:
    talk = net(True, True)
    say(talk, "boss", Act.ACCEPT_PROPOSAL, "ann", True)
    text = written(talk.messages[-1], talk.agents)
    assert text == '{"act":"accept-proposal","to":"ann","content":{},"text":""}'
    for wrapped in (text, f"Sure!\n```json\n{text}\n```", text + " and so on"):
        reply = read(wrapped, "boss", "")
        assert not isinstance(reply, ProtocolError)
        assert (reply.act, reply.to, reply.content) == ("accept-proposal", "ann", {})
    two = Conversation(OFFERS, PAIR, NONE)
    say(two, "ann", Act.INFORM)
    assert '"to"' not in written(two.messages[0], PAIR), "between two, no receiver is named"


@pytest.mark.parametrize(
    "raw",
    [
        "", "I would rather not.", "{", '{"act": 3}', '{"text": "hi"}', '["propose"]',
        '{"act": "inform", "txt": "hi"}', '{"act": "inform", "to": 3}',
        '{"act": "inform", "text": 3}', '{"act": "propose", "content": [1]}',
        '{"act": "inform", "a": ' + "[" * 100_000,
    ],
    ids=lambda raw: raw[:20],
)  # fmt: skip
def test_garbage_is_unreadable_and_not_an_exception(raw: str) -> None:
    error = read(raw, "ann", "something legal")
    assert isinstance(error, ProtocolError)
    assert error.kind == "unreadable"
    assert len(error.arrived) <= 200


def test_who_is_another_is_never_offered_what_is_not_theirs() -> None:
    mine = {(m.act, m.content) for m in contract_net().mine("bidder")}
    assert mine == {(m.act, m.content) for m in contract_net().moves if m.act in (
        Act.PROPOSE, Act.REFUSE, Act.INFORM, Act.FAILURE)}  # fmt: skip
    assert {m.act for m in OFFERS.mine("") if m.who == OTHER} == {
        Act.ACCEPT_PROPOSAL, Act.REJECT_PROPOSAL
    }  # fmt: skip
    assert [m.content for m in OFFERS.mine("") if m.act == Act.PROPOSE] == [Offer]
