"""A person at the terminal, played by scripted input, and once at a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from moot.agents.fill import parse
from moot.agents.human import CLEAR, HumanPool, human_pool
from moot.agents.pools import ScriptedPool
from moot.environments import WORLDS, Environment, play
from moot.protocols import Act, Ended, MootError, Observation, Reply


def table(episode: int = 0, **more: Any) -> Environment:
    scenario = WORLDS["item_division"].Scenario.model_validate(
        {
            "world": "item_division",
            "protocol": {"name": "alternating_offers", "deadline": 6},
            "items": {"book": 2, "hat": 3},
            "roles": {
                "ann": {"values": {"book": 41, "hat": 5}, "brief": "Ann's secret."},
                "bob": {"values": {"book": 6, "hat": 43}, "brief": "Bob's secret."},
            },
            **more,
        }
    )
    return Environment(scenario, seed=3, episode=episode)


def auction(capacity: int = 2) -> Environment:
    costs = {"cook": 2, "clean": 3, "carry": 4}
    scenario = WORLDS["task_allocation"].Scenario.model_validate(
        {
            "world": "task_allocation",
            "protocol": "contract_net",
            "tasks": list(costs),
            "roles": {
                "mia": {"role": "manager", "values": dict.fromkeys(costs, 9)},
                "ben": {"role": "bidder", "costs": costs, "capacity": capacity},
                "bea": {"role": "bidder", "costs": costs, "capacity": capacity},
            },
        }
    )
    return Environment(scenario)


class Says:
    """An agent that gives these replies, one after the other."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = iter(replies)

    def reply(self, observation: Observation) -> Reply:
        return next(self.replies)


class Terminal(io.StringIO):
    """What takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def typed(*lines: str, output: io.StringIO | None = None) -> tuple[HumanPool, io.StringIO]:
    """A pool that reads these lines and then the end of input, and the screen that it writes to."""
    screen = output or io.StringIO()
    return human_pool(io.StringIO("".join(f"{line}\n" for line in lines)), screen), screen


def answer(at: Environment, *lines: str) -> tuple[Reply, str]:
    """The reply to one question, and what the screen showed."""
    pool, screen = typed(*lines)
    pool.ask(5, at.observe())
    ((ticket, reply),) = pool.poll(0)
    assert ticket == 5
    assert pool.poll(0) == []
    return reply, screen.getvalue()


def test_a_game() -> None:
    pool, screen = typed("1", "1", "2", "Fair?", "2", "")
    bob = ScriptedPool(
        Says(Reply(act=Act.PROPOSE, content={"take": {"book": 0, "hat": 3}}, text="Hats!"))
    )
    (episode,) = play([table()], {"ann": pool, "bob": bob})
    assert episode.ended is Ended.AGREED
    assert episode.outcome.utilities == {"ann": 82.0, "bob": 129.0}
    first, _, last = episode.messages
    assert (first.act, first.text) == (Act.PROPOSE, "Fair?")
    assert first.content is not None
    assert first.content.model_dump() == {"take": {"book": 1, "hat": 2}}
    assert (last.act, last.text) == (Act.ACCEPT_PROPOSAL, "")
    seen = screen.getvalue()
    assert seen.count("ann's card") == 1
    assert "Points per item for you: book 41, hat 5" in seen
    assert "JSON" not in seen  # the menu writes it
    assert "  worth 51 to you" in seen  # what is typed is weighed
    assert "bob  propose  take: book 0, hat 3  worth 82 to you" in seen
    assert "“Hats!”" in seen
    assert seen.index("6 messages left") < seen.index("4 messages left")


def test_what_is_asked_again() -> None:
    reply, seen = answer(
        table(), "9", "", "prop", "3", "two", "2", "-1", "0.5", "0", "x" * 161, "ok"
    )
    assert reply == Reply(act=Act.PROPOSE, content={"take": {"book": 2, "hat": 0}}, text="ok")
    for shown in (
        "Type 1 to 5",
        "'3' is not legal here; legal is 0 to 2.",
        "'two' is not legal here; legal is 0 to 2.",
        "'-1' is not legal here; legal is 0 to 3.",
        "161 characters; at most 160.",
    ):
        assert shown in seen
    assert seen.count("take book (0 to 2): ") == 3


def test_moves_by_name() -> None:
    reply, seen = answer(table(), "inform", "4", "Hello.")
    assert "3 or 4?" in seen
    assert (reply.act, reply.content, reply.text) == (Act.INFORM, None, "Hello.")
    assert answer(table(), "QUERY", "")[0].act == Act.QUERY_REF


def test_card_again_and_back_to_the_menu() -> None:
    reply, seen = answer(table(), "?", "propose", "?", "1", "back", "query", "?", "back", "4", "Hi")
    assert (reply.act, reply.text) == (Act.INFORM, "Hi")
    assert seen.count("ann's card") == 4
    assert seen.count("Your turn") == 3


@pytest.mark.parametrize("lines", [("quit",), ("1", "quit"), ("4", "quit")])
def test_leaving_cancels(lines: tuple[str, ...]) -> None:
    assert answer(table(), *lines)[0] == Reply(act=Act.CANCEL)


@pytest.mark.parametrize("lines", [(), ("1", "1")])
def test_an_input_that_ends_is_nobody_who_leaves(
    lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MootError, match="the input ended before ann had spoken"):
        answer(table(), *lines)
    at_terminal = Terminal("1\n")
    pool = human_pool(at_terminal, io.StringIO())
    pool.ask(0, table().observe())
    assert pool.poll(0) == [(0, Reply(act=Act.CANCEL))], "Ctrl-D at a terminal"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(MootError, match="standard input is closed"):
        human_pool()


def test_leaving_where_nobody_may() -> None:
    pool, _ = typed("1", "", "quit")
    refuse = ScriptedPool(Says(Reply(act=Act.PROPOSE, content=BID), Reply(act=Act.REFUSE)))
    (episode,) = play([auction()], {"mia": pool, "*": refuse})
    assert episode.ended is Ended.BROKEN
    assert episode.why == "mia: left the keyboard"


BID = {"prices": {"cook": 3, "clean": 5, "carry": 6}, "most": 2}


def test_receivers_and_lists() -> None:
    at = auction()
    assert answer(at, "1", "all of it")[0].content == at_content(["cook", "clean", "carry"])
    at.step(Reply(act=Act.CFP, content={"tasks": ["cook", "clean", "carry"]}))
    reply, _ = answer(at, "propose", "3", "5", "6", "4", "2", "")
    assert reply == Reply(act=Act.PROPOSE, to="mia", content=BID)
    assert at.step(reply).message
    at.step(Reply(act=Act.PROPOSE, content=BID))
    reply, seen = answer(at, "accept", "carl", "Bea", "cook, clean, carry", "carry,COOK", "")
    assert "ben to you  propose  prices: cook 3, clean 5, carry 6; most 2" in seen
    assert "tasks (1 to 2 of cook, clean, carry): " in seen
    assert (reply.to, reply.content) == ("bea", at_content(["cook", "carry"]))
    assert at.step(reply).message
    reply, _ = answer(at, "accept", "clean", "")  # only ben is left to be named
    assert reply.to == "ben"
    assert at.step(reply).message


def at_content(tasks: list[str]) -> Any:
    return Reply(content={"tasks": tasks}).content


def test_a_reply_that_was_not_legal_is_shown() -> None:
    at = table()
    at.step(Reply(act=Act.ACCEPT_PROPOSAL))
    _, seen = answer(at, "4", "")
    assert "That was not legal: propose, query-ref, inform, cancel." in seen


def test_an_offer_under_later_talk_is_recalled() -> None:
    at = table()
    at.step(Reply(act=Act.INFORM, text="Hm."))
    at.step(Reply(act=Act.PROPOSE, content={"take": {"book": 2, "hat": 0}}))
    pool, screen = typed("5", "Mine.", "1", "0", "0", "", "quit")
    bob = ScriptedPool(Says(Reply(act=Act.INFORM, text="Well?"), Reply(act=Act.CANCEL)))
    (episode,) = play([at], {"ann": pool, "bob": bob})
    assert [m.act for m in episode.messages[2:4]] == [Act.INFORM, Act.INFORM]
    last = screen.getvalue().split("“Well?”")[1]
    assert "Still on the table:" in last
    assert "take: book 2, hat 0  worth 15 to you" in last


def test_nothing_said_can_move_the_cursor() -> None:
    at = table()
    at.step(Reply(act=Act.INFORM, text="\x1b[2J\x1b]0;x\x07[bold]\u202eboo\r\n"))
    pool, screen = typed("6", "", "quit", output=Terminal())
    pool.ask(0, at.observe())
    pool.poll(0)
    seen = screen.getvalue()
    for code in ("\x1b[2J", "\x1b]0;", "\x07", "\u202e", "\r"):
        assert code not in seen
    assert "“\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}]0;x" in seen
    assert "[bold]" in seen  # no markup either


def test_two_people_at_one_terminal() -> None:
    pool, screen = typed("1", "1", "1", "", "", "5", "6", "43", "I am Bob.", "", "2", "",
                         "", "quit", output=Terminal())  # fmt: skip
    (episode,) = play([table()], {"*": pool})
    acts = [Act.PROPOSE, Act.INFORM, Act.QUERY_REF, Act.CANCEL]
    assert [m.act for m in episode.messages] == acts
    assert episode.ended is Ended.WALKED_AWAY
    screens = re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue()).split(CLEAR)
    secrets = {"ann": "Ann's secret.", "bob": "Bob's secret."}
    shown = [[n for n, secret in secrets.items() if secret in one] for one in screens]
    # ann, handing over, bob, handing over, ann, handing over, bob, who leaves
    assert shown == [["ann"], [], ["bob"], [], ["ann"], [], ["bob"]]
    assert all("keyboard goes to" in one for one in screens[1::2])
    assert "ann  propose" in screens[2]
    assert "you  propose" in screens[4]  # all of the talk again, since the screen was wiped
    assert "“I am Bob.”" in screens[4]


def test_games_are_not_mixed() -> None:
    pool, screen = typed("4", "one", "4", "two", "4", "three")
    games = [table(0), table(1)]
    for ticket, game in enumerate(games):
        pool.ask(ticket, game.observe())
    ((first, reply),) = pool.poll(0)
    games[0].step(reply)
    games[0].step(Reply(act=Act.INFORM))
    pool.ask(7, games[0].observe())
    assert [first, pool.poll(0)[0][0], pool.poll(0)[0][0]] == [0, 7, 1]
    assert screen.getvalue().count("episode 0") == screen.getvalue().count("episode 1") == 1


def test_no_words_where_there_is_no_room() -> None:
    reply, seen = answer(table(max_text=0), "query")
    assert (reply.act, reply.text) == (Act.QUERY_REF, "")
    assert "words" not in seen


def test_half_a_surrogate_is_recordable() -> None:
    reply, _ = answer(table(), "4", "a\udcffb")
    assert reply.text == "a?b"


def test_the_front_door_has_no_second_pool_for_people() -> None:
    seats = pytest.importorskip("moot.agents.seats")
    made = seats.seat_all({"ann": "human", "bob": "human"})
    assert made["ann"].pool is made["bob"].pool
    with pytest.raises(MootError):
        seats.seat("human:ann")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_at_a_real_terminal() -> None:
    """Line editing, the prompt and the two streams as a shell gives them."""
    import pty

    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_human import table
from moot.agents.human import human_pool
from moot.environments import play
(episode,) = play([table()], {{"*": human_pool()}})
print("ENDED", episode.ended, [m.text for m in episode.messages])
"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "90"},
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def until(word: str) -> None:
        nonlocal seen
        while word not in seen:
            try:
                seen += os.read(ours, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                pytest.fail(f"no {word!r} in {seen}")

    def type_(keys: str) -> None:
        nonlocal seen
        seen = ""
        os.write(ours, keys.encode())

    try:
        until("> ")
        type_("5\x7f4\r")  # a digit, rubbed out, another
        until("words")
        type_("Hell\x1b[Do\x05!\r")  # cursor left, an o, to the end, a mark
        until("only you see the screen")
        type_("\r")
        until("> ")
        assert "Bob's secret." in seen
        assert "Ann's secret." not in seen
        type_("\x04")
        until("]")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "ENDED walked-away" in seen
    assert "Helol!" in seen


# ---- from a line to a value ----

SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer", "minimum": -2, "maximum": 40},
    {"type": "number", "minimum": 0.5, "maximum": 20, "multipleOf": 0.5},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "string", "minLength": 1, "maxLength": 4},
    {"enum": ["a", "b", 7, None]},
    {"enum": [["a"], ["b"], ["a", "b"]]},
    {"const": "a"},
    {"anyOf": [{"type": "integer"}, {"const": "none"}]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SCHEMAS),
    st.one_of(
        st.text(max_size=6),
        st.text("ab7,. -+e_infaNyesno", max_size=6),
        st.floats().map(str),
        st.integers(-5, 50).map(str),
    ),
)
def test_parse_gives_only_legal_values(schema: dict[str, Any], line: str) -> None:
    try:
        value = parse(line, schema)
    except ValueError:
        return
    assert Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("line", "schema", "value"),
    [
        ("40", SCHEMAS[0], 40),
        ("3.5", SCHEMAS[1], 3.5),
        ("Y", SCHEMAS[3], True),
        ("no", SCHEMAS[3], False),
        ("B", SCHEMAS[5], "b"),
        ("b , A", SCHEMAS[6], ["a", "b"]),
        ("none", SCHEMAS[8], "none"),
        ("12", SCHEMAS[8], 12),
        ("1, 2", SCHEMAS[9], [1, 2]),
        ('{"x": 1}', {"$ref": "#/y"}, {"x": 1}),
    ],
)
def test_parse(line: str, schema: dict[str, Any], value: object) -> None:
    assert parse(line, schema) == value


def test_every_move_can_be_typed() -> None:
    """Random typing through random games: all that the menu offers is legal, none is out of reach."""
    rng = random.Random(5)
    acts: set[str] = set()
    for episode in range(30):
        at = auction() if episode % 2 else table(episode)
        while at.ended is None:
            words = ["1", "2", "3", "4", "5", "6", "0", "cook", "clean", "cook,clean", "ben", "bea"]
            lines = [rng.choice(words) for _ in range(200)]
            reply, _ = answer(at, *lines, "quit")
            if reply.error is not None:
                continue  # two hundred lines of nonsense: it is asked again
            turn = at.step(reply)
            assert turn.error is None, turn.error
            acts.add(f"{reply.act}{' with' if reply.content else ''}")
    assert {"propose with", "accept-proposal", "reject-proposal", "query-ref", "inform with", "inform",
            "cfp with", "accept-proposal with", "refuse", "cancel"} <= acts  # fmt: skip
