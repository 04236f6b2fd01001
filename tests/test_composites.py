"""Protocols made of others, in automata, in scenarios and in play; and how any protocol is drawn."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from moot.agents.prompt import ChatTurn, chat
from moot.cli import commands
from moot.environments import Environment, Episode, Scenario, replay
from moot.environments.check import check_environment
from moot.environments.load import load_scenario
from moot.environments.scenario import ProtocolChoice
from moot.protocols import (
    EVERYONE,
    PROTOCOLS,
    Act,
    Content,
    Conversation,
    Ended,
    Message,
    MootError,
    One,
    Protocol,
    ProtocolError,
    Reply,
    alternating_offers,
    check_protocol,
    check_transcript,
    contract_net,
    english_auction,
    group_chat,
    inside,
    mediated_text,
    propose,
    query,
    rules,
    then,
    voting,
    walk,
)
from moot.protocols.diagram import mermaid

NET = {"boss": "manager", "ann": "bidder", "bob": "bidder"}
ASKING = inside(contract_net(), "bidding", query(cancel=False, typed=False), "manager")
TALK_FIRST = then(group_chat("free", rounds=1, side_channels=True), ASKING, voting(rounds=1))
COMPOSITES = [
    then(alternating_offers(deadline=6), voting(rounds=1)),
    then(voting(), voting(), voting()),
    TALK_FIRST,
    ASKING,
    inside(english_auction(deadline=30), "bidding", query(), "auctioneer"),
    inside(english_auction(deadline=30), "settling", alternating_offers(deadline=4), One("holder")),
    inside(group_chat(rounds=1), "talking", propose(), One(EVERYONE)),
    inside(ASKING, "awarding", query(), One("proposer")),
]


@pytest.mark.parametrize("protocol", COMPOSITES, ids=lambda p: p.summary[:50])
def test_composites_keep_every_promise_of_a_protocol(protocol: Protocol) -> None:
    check_protocol(protocol, paths=40)
    assert len(protocol.part_of) == len(protocol.states)


def say(
    talk: Conversation, agent: str, act: str, to: str | None = None, content: bool = False
) -> Message:
    fits = talk.judge(agent, act, to, content)
    assert not isinstance(fits, ProtocolError), fits
    move, receivers = fits
    message = Message(
        id=len(talk.messages),
        conversation=talk.thread(move),
        sender=agent,
        receivers=receivers,
        act=move.act,
        content=Content() if content else None,
        in_reply_to=talk.answers(move, agent, receivers),
    )
    talk.say(message, move)
    return message


def acts(talk: Conversation) -> set[str]:
    return {str(o.move.act) for o in talk.options()}


def test_an_agreement_leads_on_and_a_refusal_ends_all() -> None:
    both = then(alternating_offers(), voting(rounds=1))
    for last, state in (("accept-proposal", "voting/deliberating"), ("cancel", None)):
        talk = Conversation(both, ("ann", "bob"), {})
        say(talk, "ann", "inform")
        say(talk, "bob", "propose", content=True)
        say(talk, "ann", last)
        assert talk.ended is (None if state else Ended.WALKED_AWAY)
        assert talk.state == (state or "alternating_offers/offered")


def test_each_part_begins_with_the_first_seat_and_an_empty_table() -> None:
    talk = Conversation(then(group_chat(rounds=1), alternating_offers()), ("ann", "bob"), {})
    say(talk, "ann", "inform")
    say(talk, "bob", "inform")
    talk = Conversation(then(alternating_offers(), alternating_offers()), ("ann", "bob"), {})
    say(talk, "ann", "propose", content=True)
    say(talk, "bob", "accept-proposal")
    assert (talk.state, talk.speaker) == ("alternating_offers 2/open", "ann")
    assert (talk.offer, acts(talk)) == (None, {"propose", "query-ref", "inform", "cancel"})
    say(talk, "ann", "inform")
    assert talk.messages[-1].in_reply_to is None


def test_each_part_has_its_own_deadline() -> None:
    both = then(group_chat(rounds=2), alternating_offers(deadline=3))
    assert both.deadline == 63
    talk = Conversation(both, ("ann", "bob"), {})
    for i in range(4):
        say(talk, talk.agents[i % 2], "inform")
    assert talk.left == 3
    for i in range(3):
        say(talk, talk.agents[i % 2], "inform")
    assert (talk.ended, len(talk.messages)) == (Ended.LIMIT, 7)
    told = rules(both, "", str, many=False)
    assert "In this order: group_chat, alternating_offers." in told
    assert "At most 3 messages are said in alternating_offers." in told


def test_standings_begin_anew_as_roles() -> None:
    talk = Conversation(then(contract_net(), contract_net()), tuple(NET), NET)
    for _ in range(2):
        say(talk, "boss", "cfp", content=True)
        say(talk, "ann", "refuse")
        say(talk, "bob", "propose", content=True)
        say(talk, "boss", "accept-proposal", "bob", content=True)
        say(talk, "bob", "inform", content=True)
    assert talk.ended is Ended.AGREED


def test_a_nested_talk_is_between_two_and_goes_back_to_where_it_was_opened() -> None:
    talk = Conversation(ASKING, tuple(NET), NET, id="net/0")
    say(talk, "boss", "cfp", content=True)
    say(talk, "ann", "propose", content=True)
    before = dict(talk.standing)
    asked = say(talk, "bob", "query-if")
    assert (asked.receivers, asked.conversation) == (("boss",), "net/0/query")
    assert (talk.state, talk.speaker) == ("query/deciding", "boss")
    assert acts(talk) == {"refuse", "agree", "inform", "failure", "not-understood"}
    told = say(talk, "boss", "inform")
    assert (told.receivers, told.conversation) == (("bob",), "net/0/query"), (
        "ann hears nothing of it"
    )
    assert (talk.state, talk.speaker, talk.standing) == ("bidding", "bob", before)
    say(talk, "bob", "query-ref")
    say(talk, "boss", "not-understood")
    assert talk.ended is None, "only the nested talk is over"
    bid = say(talk, "bob", "propose", content=True)
    assert (bid.conversation, bid.in_reply_to, bid.id) == ("net/0", 0, 6)
    assert (talk.state, talk.speaker) == ("awarding", "boss")


def test_nested_messages_take_nobodys_turn() -> None:
    chat = inside(group_chat(rounds=2), "talking", propose(), One(EVERYONE))
    talk = Conversation(chat, ("ann", "bob", "cy"), {})
    say(talk, "ann", "inform")
    say(talk, "bob", "propose", "ann", content=True)
    assert talk.speaker == "ann"
    say(talk, "ann", "reject-proposal")
    for agent in ("bob", "cy", "ann", "bob", "cy"):
        assert talk.speaker == agent
        say(talk, agent, "inform")
    assert talk.ended is Ended.DONE


def test_a_nested_talk_has_its_own_turns_and_is_cut_off_alone() -> None:
    haggle = inside(
        english_auction(deadline=30), "settling", alternating_offers(deadline=4), One("holder")
    )
    talk = Conversation(haggle, ("mo", "ann", "bob"),
                        {"mo": "auctioneer", "ann": "bidder", "bob": "bidder"})  # fmt: skip
    say(talk, "mo", "inform")
    say(talk, "mo", "cfp", content=True)
    say(talk, "ann", "refuse")
    say(talk, "bob", "propose", content=True)
    say(talk, "mo", "accept-proposal", "bob")
    say(talk, "mo", "inform")
    for agent in ("mo", "bob", "mo", "bob"):
        assert talk.speaker == agent
        say(talk, agent, "query-ref")
    assert (talk.state, talk.speaker, talk.ended) == ("settling", "mo", None)
    assert talk.left == 20, "they count for the auction's deadline"
    say(talk, "mo", "request", "bob")
    assert talk.ended is Ended.AGREED


def test_the_outer_deadline_ends_a_nested_talk_too() -> None:
    short = inside(group_chat(rounds=9, deadline=4), "talking", query(), One(EVERYONE))
    talk = Conversation(short, ("ann", "bob"), {})
    say(talk, "ann", "inform")
    say(talk, "bob", "query-if", "ann", content=True)
    say(talk, "ann", "agree")
    assert talk.left == 1
    say(talk, "bob", "inform")
    assert talk.ended is Ended.LIMIT


def test_a_nested_transcript_replays() -> None:
    for seed in range(10):
        talk = walk(TALK_FIRST, random.Random(seed), tuple(NET), NET)
        assert check_transcript(TALK_FIRST, tuple(NET), NET, talk.messages) == []


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: then(contract_net(), english_auction()), "only with the same roles: english"),
        (lambda: inside(contract_net(), "biding", query()), "did you mean 'bidding'"),
        (lambda: inside(contract_net(), "bidding", ASKING), "only a plain protocol"),
        (lambda: inside(contract_net(), "bidding", query()), "open it with One"),
        (lambda: inside(contract_net(), "bidding", propose(), "manager"), "propose means something"),
        (lambda: inside(contract_net(), "call", mediated_text(), "bidder"), "more than two sides"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said(make: Any, sentence: str) -> None:
    with pytest.raises(MootError, match=sentence):
        make()


TASKS: dict[str, Any] = {
    "name": "asking",
    "world": "task_allocation",
    "tasks": ["paint", "roof"],
    "roles": {
        "boss": {"role": "manager", "values": {"paint": 50, "roof": 60}},
        "ann": {"role": "bidder", "costs": {"paint": 10, "roof": 20}, "capacity": 2},
        "bob": {"role": "bidder", "costs": {"paint": 12, "roof": 10}, "capacity": 1},
    },
}
NESTED = """
name: nested
outer: contract_net
state: bidding
inner: {name: query, cancel: false, typed: false}
to: manager
"""


def tasks(protocol: Any) -> Scenario:
    scenario = load_scenario({**TASKS, "protocol": protocol})
    assert isinstance(scenario, Scenario)
    return scenario


def test_a_scenario_names_what_its_protocol_is_made_of() -> None:
    scenario = tasks([{"name": "group_chat", "rounds": 1}, yaml.safe_load(NESTED)])
    protocol = scenario.protocol.build()
    assert [s.name for s in protocol.states][:3] == [
        "group_chat/talking", "nested/call", "nested/bidding"
    ]  # fmt: skip
    again = type(scenario).model_validate_json(scenario.model_dump_json())
    assert again == scenario
    assert again.protocol.build() == protocol


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        (["group_chat", "vote"], "unknown protocol 'vote'; did you mean 'voting'"),
        ({"name": "sequence", "of": []}, "of is a list of protocols"),
        ({"name": "sequence", "of": [3]}, "of holds 3; write a protocol's name"),
        ({"name": "sequence", "of": ["voting", {"name": "voting", "rounds": -1}]}, ">= 0"),
        ({"name": "nested", "state": 3}, "state is a word, got 3"),
        ({"name": "nested", "inner": "query"}, "task_allocation has no form for"),
    ],
)
def test_mistakes_in_a_made_protocol_are_said(protocol: Any, sentence: str) -> None:
    with pytest.raises(MootError, match=sentence):
        Environment(tasks(protocol))


@pytest.mark.parametrize(
    "protocol",
    [yaml.safe_load(NESTED), [{"name": "group_chat", "order": "free", "rounds": 1}, "contract_net"]],
    ids=["nested", "sequence"],
)  # fmt: skip
def test_a_world_keeps_its_contract_under_a_made_protocol(protocol: Any) -> None:
    assert check_environment([tasks(protocol)] * 3, episodes=3).messages > 10


def test_prompts_of_a_made_protocol_keep_their_beginning() -> None:
    """Each part counts its own messages, so none are counted in turns that must not change."""
    table = Environment(tasks([{"name": "group_chat", "rounds": 2, "deadline": 6}, "contract_net"]))
    before: dict[str, list[ChatTurn]] = {}
    while (agent := table.speaker) and len(table.turns) < 6:
        seen = table.observe()
        assert seen.left == 6 - len(table.turns)
        turns = chat(seen)
        assert turns[: len(before.get(agent, []))] == before.get(agent, [])
        before[agent] = turns
        table.step(Reply(act="inform", text="Hello."))
    assert table.observe().left is None


def test_where_the_protocol_says_so_an_agent_without_a_legal_reply_is_silent() -> None:
    table = Environment(tasks({"name": "iterated_contract_net", "iterations": 1}))
    call = {"tasks": ["paint", "roof"]}
    table.step(Reply(act="cfp", content=call))
    for _ in range(3):
        assert table.speaker == "ann"
        last = table.step(Reply(raw="Well, let me think."))
    assert (last.error and last.error.kind, last.message and last.message.act) == (
        "unreadable", Act.REFUSE
    )  # fmt: skip
    assert (table.speaker, table.observe().error, table.ended) == ("bob", None, None)
    table.step(Reply(act="propose", content={"prices": {"paint": 12, "roof": 10}, "most": 1}))
    table.step(Reply(act="accept-proposal", content={"tasks": ["roof"]}))
    table.step(Reply(act="inform", content={"tasks": ["roof"]}))
    record = table.episode()
    assert (record.ended, len(record.messages)) == (Ended.AGREED, 5)
    assert Episode.model_validate_json(record.line()).line() == record.line()
    assert replay(record).episode().line() == record.line()
    table = Environment(tasks({"name": "iterated_contract_net"}))
    for _ in range(3):
        table.step(Reply(raw="?"))
    assert table.ended is Ended.FORFEITED, "a manager without a call has none to be silent about"


def test_only_those_in_a_nested_talk_hear_it_and_the_record_tells_it_apart() -> None:
    table = Environment(tasks(yaml.safe_load(NESTED)))
    table.step(Reply(act="cfp", content={"tasks": ["paint", "roof"]}))
    table.step(Reply(act="query-if", text="Is there a ladder?"))
    table.step(Reply(act="inform", text="Yes."))
    assert [m.conversation for m in table.conversation.messages] == [
        "asking/0", "asking/0/query", "asking/0/query"
    ]  # fmt: skip
    assert [m.text for m in table.observe("ann").heard] == ["", "Is there a ladder?", "Yes."]
    assert [m.text for m in table.observe("bob").heard] == [""]
    assert table.speaker == "ann"


DRAWN = [*(make() for make in PROTOCOLS.values()), *COMPOSITES,
         group_chat("free", side_channels=True), group_chat("moderated", silence=True)]  # fmt: skip


@pytest.mark.parametrize("protocol", DRAWN, ids=lambda p: p.name)
def test_diagrams_are_well_formed_and_whole(protocol: Protocol) -> None:
    """The grammar of `stateDiagram-v2`, as far as it is used: Mermaid 11 draws all that passes here."""
    head, *lines = mermaid(protocol).splitlines()
    assert head == "stateDiagram-v2"
    declared: dict[str, str] = {}
    arrows: list[tuple[str, str, str]] = []
    for line in lines:
        if match := re.fullmatch(r'    state "([^"<>:;#]+(?:<br/>[^"<>:;#]+)?)" as (\w+)', line):
            assert match[2] not in declared, "two states of one name"
            declared[match[2]] = match[1]
            continue
        match = re.fullmatch(
            r"    (\[\*\]|\w+) --> (\[\*\]|\w+)(?: : ((?:[^<>:;#\"]|<br/>)+))?", line
        )
        assert match, line
        arrows.append((match[1], match[2], match[3] or ""))
    assert {a for arrow in arrows for a in arrow[:2]} - {"[*]"} == set(declared)
    assert len(declared) == len(protocol.states) + sum(a[1] == "[*]" for a in arrows)
    assert arrows[0][:2] == ("[*]", next(iter(declared)))
    words = " ".join(label for *_, label in arrows)
    assert all(str(m.act) in words for m in protocol.moves)
    assert len({a[:2] for a in arrows}) == len(arrows), "what leads the same way shares an arrow"


def shown(*words: str) -> str:
    result = CliRunner().invoke(commands(), ["show", "protocol", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_protocol_is_shown_in_words_and_drawn() -> None:
    assert shown("contract_net", "--mermaid") == contract_net().mermaid()
    assert (
        shown("group_chat", "order=free", "rounds=2", "--mermaid")
        == group_chat("free", 2).mermaid()
    )
    text = shown("contract_net")
    assert "1 manager, one or more bidders" in text
    assert re.search(r"cfp \(Task\) to bidder +-> bidding +call for proposals", text)
    assert re.search(r"\[nobody is proposer now\] +-> performing", text)
    assert "alternating_offers" in shown("camp_site")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["contract_nett"], "did you mean 'contract_net'"),
        (["query", "cancel"], "write KEY=VALUE"),
        (["query", "cancl=true"], "did you mean 'cancel'"),
        ([], "which one"),
    ],
)
def test_a_protocol_that_is_not_there_is_said(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(commands(), ["show", "protocol", *words])
    assert isinstance(result.exception, MootError)
    assert re.search(sentence, str(result.exception))
    wrong = CliRunner().invoke(commands(), ["show", "runs/x", "contract_net"])
    assert "moot show protocol NAME" in str(wrong.exception)


def test_a_choice_of_a_sequence_may_be_a_list() -> None:
    assert ProtocolChoice(name="sequence", of=["voting"]).build().name == "sequence"
    assert {m.act for m in voting().moves} == {Act.INFORM}
