"""A person at the terminal: the card once, every new message, a numbered menu of the legal moves.

    moot simulate camp_site --agents ann=human --episodes 1

The content of a move is asked for field by field, as its JSON Schema says, then words. One question is
asked at a time, and `poll` waits for the person: there is one keyboard, and a person plays one game at
a time. Where two seats are people, the screen is cleared before the keyboard changes hands, so that
nobody sees the other's card. Everything goes to standard error; standard output belongs to results.

Left out: taking a move back, and clocks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO, cast

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..protocols import Act, Content, Message, MootError, Observation, Offer, Reply, Ticket
from .fill import Schema, parse
from .shape import shape

HELP = "number or name of the move; ? card, back menu, quit leave"
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""To the top, clear the screen, clear what scrolled off it (xterm's ED 3)."""


class _Back(Exception):
    """The person wants the menu again."""


class _Quit(Exception):
    """The person leaves."""


@dataclass(slots=True)
class _Choice:
    """One line of the menu."""

    act: str
    says: str
    contents: dict[str | None, Schema | None] = field(default_factory=dict[str | None, Any])
    """Receiver to be named (None: none is) -> schema of the content (None: there is none)."""


def human_pool(source: TextIO | None = None, output: TextIO | None = None) -> HumanPool:
    """One pool for all seats that are people here. By default it reads standard input and writes to
    standard error."""
    return HumanPool(source, output)


class HumanPool:
    """Asks a person, one question after the other."""

    def __init__(self, source: TextIO | None = None, output: TextIO | None = None) -> None:
        if source is None and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise MootError("nobody can type here: standard input is closed")
        self._source = source or sys.stdin
        if reconfigure := getattr(self._source, "reconfigure", None):
            reconfigure(errors="replace")  # a stray byte is no reason to crash
        self._console = Console(file=output or sys.stderr, highlight=False)
        self._editing = source is None and output is None and _editable()
        self._asked: list[tuple[Ticket, Observation]] = []
        self._game: tuple[int, int] | None = None
        self._person: str | None = None
        self._shown: dict[tuple[int, int, str], int] = {}
        """Seat in a game -> how many messages its person has seen."""

    def ask(self, ticket: Ticket, observation: Observation) -> None:
        """Queue a question."""
        self._asked.append((ticket, observation))

    def poll(self, wait: float) -> list[tuple[Ticket, Reply]]:
        """Ask the person one question, of the game at the table if it is waiting, and wait for the
        answer however long it takes. Returns at once when no question is queued. Raises `MootError` when
        what is read instead of a person ends."""
        if not self._asked:
            return []
        here = (i for i, (_, o) in enumerate(self._asked) if o.key[:2] == self._game)
        ticket, observation = self._asked.pop(next(here, 0))
        try:
            self._show(observation)
            reply = self._answer(observation)
        except _Quit:
            reply = self._leave(observation)
        except EOFError:
            if self._source.isatty():  # Ctrl-D is how one leaves a terminal
                reply = self._leave(observation)
            else:
                raise MootError(
                    f"the input ended before {observation.agent} had spoken; nobody is there to play",
                    usage=False,
                ) from None
        return [(ticket, reply)]

    # ---- what the person sees ----

    def _show(self, observation: Observation) -> None:
        game, agent = observation.key[:2], observation.agent
        if self._person not in (None, agent):
            self._hand_over(agent)
        self._person = agent
        if game != self._game:
            self._game = game
            world = observation.world.replace("_", " ")
            self._console.rule(f"{world}, episode {observation.key.episode}")
        seat = (*game, agent)
        seen = self._shown.get(seat)
        if seen is None:
            self._card(observation)
        for message in observation.heard[seen or 0 :]:
            if (
                seen is None or message.sender != agent
            ):  # what one just typed is still on the screen
                self._message(message, observation)
        self._shown[seat] = len(observation.heard)
        offer = observation.standing
        if offer is not None and offer.sender != agent and offer != observation.heard[-1]:
            self._console.print(Text("\nStill on the table:", style="dim"))
            self._message(offer, observation)
        if observation.error is not None:
            self._warn(f"That was not legal: {observation.error.legal}.")

    def _hand_over(self, agent: str) -> None:
        """Wipe what the last person saw, and wait until the next one sits down."""
        self._clear()
        self._shown.clear()
        self._game = None
        self._console.print(Text(f"The keyboard goes to {agent}.", style="bold"))
        self._read(f"{agent}, press Enter when only you see the screen: ")
        self._clear()

    def _clear(self) -> None:
        if self._console.is_terminal:
            self._console.file.write(CLEAR)

    def _card(self, observation: Observation) -> None:
        card, rules = Text(), Text(style="dim")
        for line in _clean(observation.card).splitlines():
            if line.startswith('- "'):
                if " content " in line:  # the other moves say no more than the menu does
                    rules.append(f"\n{line}")
            elif not line.startswith("Reply with one JSON"):  # the menu writes it
                card.append(f"\n{line}" if card else line)
        card.append_text(rules)
        title = f"{observation.agent}'s card"
        self._console.print(Panel(card, title=title, title_align="left", expand=False))

    def _message(self, message: Message, observation: Observation) -> None:
        own = message.sender == observation.agent
        line = Text("you" if own else _clean(message.sender), style="green" if own else "bold cyan")
        if len(message.receivers) < len(observation.agents) - 1:
            names = ("you" if r == observation.agent else _clean(r) for r in message.receivers)
            line.append(f" to {', '.join(names)}", style="dim")
        elif message.named is not None:
            name = "you" if message.named == observation.agent else _clean(message.named)
            line.append(f" to all and {name}", style="dim")
        line.append(f"  {message.act}", style="bold")
        if message.content is not None:
            line.append(f"  {_clean(_told(message.content.model_dump()))}")
        if isinstance(message.content, Offer):
            line.append(_worth(message.content, observation, own), style="yellow")
        self._console.print(line)
        if message.text:
            words = _clean(" ".join(message.text.split()))
            self._console.print(Padding(Text(f"“{words}”", style="italic"), (0, 4)))

    def _warn(self, text: str) -> None:
        self._console.print(Text(_clean(text), style="red"))

    # ---- what the person types ----

    def _read(self, prompt: str) -> str:
        """One line without its end. Raises `EOFError` when there will be none."""
        if self._editing:
            line = input(prompt)  # the one way in which line editing knows of the prompt
        else:
            self._console.file.write(prompt)
            self._console.file.flush()
            line = self._source.readline()
            if not line:
                raise EOFError
        return line.encode("utf-8", "replace").decode().strip()

    def _line(self, prompt: str, observation: Observation) -> str:
        """One line, after `?`, `back` and `quit` are dealt with."""
        while True:
            line = self._read(prompt)
            if line == "?":
                self._card(observation)
            elif line == "back":
                raise _Back
            elif line == "quit":
                raise _Quit
            else:
                return line

    def _answer(self, observation: Observation) -> Reply:
        choices = _choices(observation)
        while True:
            try:
                choice = self._choose(choices, observation)
                to = self._receiver(choice, observation)
                schema = choice.contents[to]
                content = None
                if schema is not None:
                    content = self._fill("", schema, observation)
                    self._weigh(content, choice, observation)
                words = self._words(observation) if observation.max_text else ""
                return Reply(act=choice.act, to=to, content=content, text=words)
            except _Back:
                continue

    def _choose(self, choices: Sequence[_Choice], observation: Observation) -> _Choice:
        menu = Table.grid(padding=(0, 2))
        for number, choice in enumerate(choices, 1):
            menu.add_row(Text(f"{number:>3}", style="bold"), choice.act, Text(choice.says))
        self._console.print()
        left = observation.left
        if left is not None:
            count = "last message" if left == 1 else f"{left} messages left, this one included"
            self._console.print(Text(f"Your turn ({count}).", style="dim"))
        self._console.print(menu)
        while True:
            line = self._line("> ", observation).lower()
            if line.isdecimal() and 0 < int(line) <= len(choices):
                return choices[int(line) - 1]
            found = [c for c in choices if line and c.act.startswith(line)]
            if len(found) == 1:
                return found[0]
            same = " or ".join(str(choices.index(c) + 1) for c in found)
            self._warn(f"{same}?" if found else f"Type 1 to {len(choices)} ({HELP}).")

    def _receiver(self, choice: _Choice, observation: Observation) -> str | None:
        names = [n for n in choice.contents if n is not None]
        if len(names) < 2:
            return names[0] if names else None
        return str(self._fill("to", {"enum": names}, observation))

    def _fill(self, name: str, schema: Schema, observation: Observation) -> Any:
        """A value that the schema allows; what it leaves no choice about is not asked for."""
        if "const" in schema:
            return schema["const"]
        if schema.get("type") == "object":
            fields = cast(Mapping[str, Schema], schema["properties"])
            return {k: self._fill(f"{name} {k}".strip(), s, observation) for k, s in fields.items()}
        kinds = _kinds(schema)
        if kinds is not None:
            field, objects = kinds
            only = next(iter(objects)) if len(objects) == 1 else None
            chosen = only or self._fill(field, {"enum": list(objects)}, observation)
            return self._fill(name, objects[chosen], observation)
        while True:
            line = self._line(f"  {_clean(name) or 'content'} ({shape(schema)}): ", observation)
            try:
                return parse(line, schema)
            except (ValueError, RecursionError):
                self._warn(f"  {line!r} is not legal here; legal is {shape(schema)}.")

    def _weigh(self, content: Mapping[str, Any], choice: _Choice, observation: Observation) -> None:
        """What an offer is worth to the one who makes it."""
        if choice.act != Act.PROPOSE or observation.space is None:
            return
        for offer in observation.space.offers:
            if offer.model_dump() == content:
                self._console.print(Text(_worth(offer, observation, True), style="yellow"))
                return

    def _words(self, observation: Observation) -> str:
        most = observation.max_text
        while True:
            line = self._line(f"  words (at most {most} characters, or none): ", observation)
            if len(line) <= most:
                return line
            self._warn(f"  {len(line)} characters; at most {most}.")

    def _leave(self, observation: Observation) -> Reply:
        self._console.print(Text("\nYou left this game; Ctrl-C ends the run.", style="dim"))
        if observation.may(Act.CANCEL, content=False):
            return Reply(act=Act.CANCEL)
        return Reply(error="left the keyboard")


def _choices(observation: Observation) -> list[_Choice]:
    """The menu: one line per move, with whom it may go to."""
    says = {(str(m.act), m.content is not None): m.says for m, _ in observation.options}
    menu: dict[tuple[str, bool], _Choice] = {}
    for alternative in observation.schema()["anyOf"]:
        fields = alternative["properties"]
        act, content = fields["act"]["const"], fields.get("content")
        move = (act, content is not None)
        choice = menu.setdefault(move, _Choice(act, says[move]))
        choice.contents[fields["to"]["const"] if "to" in fields else None] = content
    return list(menu.values())


def _kinds(schema: Schema) -> tuple[str, dict[str, Schema]] | None:
    """The field that tells alternative objects apart by a name (a tool call by its tool), and the
    objects by that name; None for any other schema."""
    objects: dict[str, Schema] = {}
    field = ""
    for alternative in schema.get("anyOf", ()):
        fields = cast(Mapping[str, Schema], alternative.get("properties", {"": {}}))
        field = next(iter(fields))
        name = fields[field].get("const")
        if not isinstance(name, str):
            return None
        objects[name] = alternative
    return (field, objects) if objects else None


def _told(content: Mapping[str, Any]) -> str:
    """A content in words: `take: book 1, hat 0`."""
    return "; ".join(
        f"{k}: {_listed(cast(object, v))}" if isinstance(v, (Mapping, list)) else f"{k} {v}"
        for k, v in content.items()
    )


def _listed(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = cast(Mapping[str, object], value)
        return ", ".join(f"{k} {_listed(v)}" for k, v in pairs.items())
    if isinstance(value, list):
        return ", ".join(map(_listed, cast(list[object], value))) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _worth(offer: Content, observation: Observation, mine: bool) -> str:
    space = observation.space
    return "" if space is None else f"  worth {space.utility(offer, mine=mine):.4g} to you"


def _clean(text: str) -> str:
    """Nothing that others say may move the cursor or recolour the screen."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _editable() -> bool:
    """Whether `input` can edit lines here. Loads the editor, and keeps what one person typed out of
    the history that the next one could scroll through."""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return False
    try:
        import readline
    except ImportError:  # not on Windows; its terminal edits lines by itself
        return True
    readline.set_auto_history(False)
    return True
