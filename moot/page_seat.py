"""A person on a page: the card, what was said, and a form of the legal moves.

    moot play used_bicycle --seat buyer --page

    GET  /                the page
    GET  /state?have=X    what the person sees; 204 when nothing is new since version X
    POST /reply           {"version", "act", "to", "content", "text"}: what the person says

The page makes its form from the JSON Schema of the legal replies, so it knows no world. What is posted is
a reply as any other: the environment judges it. Left out: two people on one page, and clocks.
"""

from __future__ import annotations

import json
import queue
import threading
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from .environments import Episode
from .evaluation.markup import PLAY, assembled
from .evaluation.written import written
from .local import Local, LocalAnswer
from .protocols import Message, Observation, Offer, Reply, Ticket

MOST = 65536
"""Bytes of a posted reply."""
MOST_OFFERS = 5000
"""Offers whose worth is sent along, so that the form can tell it while it is filled in."""
PATIENCE = 5.0
"""Seconds that the last state waits for a page to fetch it."""

Data = dict[str, Any]


class PageSeat(Local):
    """The server and the pool in one: `ask` shows a question, `poll` hands on what was posted."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port, SeatAnswer)
        self._lock = threading.Condition()
        self._version, self._fetched = 0, 0
        self._state: Data = {"waiting": True}
        self._last: Data | None = None
        """How the game before came out."""
        self._asked: dict[int, Ticket] = {}
        """Version of the state that put the question -> its ticket."""
        self._replies: queue.Queue[tuple[Ticket, Reply]] = queue.Queue()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    # ---- what the game asks of a pool ----

    def ask(self, ticket: Ticket, observation: Observation) -> None:
        """Show a question; the one before is no longer open."""
        with self._lock:
            self._put({**seen(observation), "last": self._last})
            self._asked = {self._version: ticket}

    def poll(self, wait: float) -> list[tuple[Ticket, Reply]]:
        """What the person said, if anything within `wait` seconds."""
        try:
            return [self._replies.get(timeout=max(wait, 0.001))]
        except queue.Empty:
            return []

    def ended(self, episode: Episode, best: float | None) -> None:
        """Show how the game came out."""
        outcome = episode.outcome
        points = [{"name": a, "points": outcome.utilities.get(a)} for a in episode.scenario.roles]
        with self._lock:
            self._last = {
                "over": str(episode.ended),
                "completed": outcome.completed,
                "why": episode.why,
                "points": points,
                "you": [a for a, spec in episode.seats.items() if spec == "human"],
                "best": best,
            }
            self._put(self._last)

    def linger(self) -> None:
        """Wait until a page has seen the last state, or nobody looks."""
        with self._lock:
            self._lock.wait_for(lambda: self._fetched == self._version, PATIENCE)

    def close(self) -> None:
        """End."""
        self.shutdown()
        self.server_close()

    # ---- what the page asks ----

    def state(self, have: str) -> str | None:
        """What the person sees, for JSON; None when `have` is the version of now."""
        with self._lock:
            if have == str(self._version):
                return None
            self._fetched = self._version
            self._lock.notify_all()
            return written({"version": self._version, **self._state})

    def reply(self, posted: object) -> bool:
        """Take a reply; whether it answers the question that is open. Raises `ValueError` for no reply."""
        if not isinstance(posted, dict):
            raise ValueError("want a JSON object")
        fields = cast(Data, posted)
        try:
            reply = Reply.model_validate(
                {k: fields[k] for k in ("act", "to", "content", "text") if k in fields}
            )
        except ValidationError as e:
            raise ValueError(str(e)) from None
        with self._lock:
            ticket = self._asked.pop(fields.get("version", -1), None)
            if ticket is None:
                return False
            self._put({"waiting": True})
        self._replies.put((ticket, reply))
        return True

    def _put(self, state: Data) -> None:
        self._version += 1
        self._state = state


def seen(observation: Observation) -> Data:
    """All that the person at this seat may see, for JSON."""
    space, agent = observation.space, observation.agent
    card = [
        line
        for line in observation.card.splitlines()
        if not line.startswith(("- ", "Reply with one JSON"))  # the form knows these
    ]
    worth: dict[str, float] = {}
    if space is not None and len(space.offers) <= MOST_OFFERS:
        pairs = zip(space.offers, space.utilities, strict=True)
        worth = {canonical(offer.model_dump(mode="json")): u for offer, u in pairs}

    def told(message: Message) -> Data:
        data: Data = {"agent": message.sender, "act": str(message.act), "text": message.text}
        data["to"] = [r for r in message.receivers if len(message.receivers) + 1 < len(agents)]
        if message.content is not None:
            data["content"] = message.content.model_dump(mode="json")
            if space is not None and isinstance(message.content, Offer):
                data["worth"] = space.utility(message.content, mine=message.sender == agent)
        return data

    agents = observation.agents
    says = {f"{m.act} {m.content is not None}": m.says for m, _ in observation.options}
    error = observation.error
    return {
        "agent": agent,
        "agents": list(agents),
        "world": observation.world,
        "episode": observation.key.episode,
        "card": "\n".join(card),
        "heard": [told(m) for m in observation.heard],
        "schema": observation.schema(),
        "says": says,
        "left": observation.left,
        "most": observation.max_text,
        "error": None if error is None else error.legal,
        "worth": worth,
    }


def canonical(content: object) -> str:
    """A content as the page writes it: keys in order, whole numbers without a point."""
    if isinstance(content, dict):
        fields = sorted(cast(Data, content).items())
        return "{" + ",".join(f"{json.dumps(k)}:{canonical(v)}" for k, v in fields) + "}"
    if isinstance(content, list):
        return "[" + ",".join(map(canonical, cast(list[object], content))) + "]"
    if isinstance(content, float) and content.is_integer():
        return str(int(content))
    return json.dumps(content)


class SeatAnswer(LocalAnswer):
    """One request of the page."""

    server: PageSeat  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if not self.invited():
            return
        url = urlsplit(self.path)
        if url.path == "/":
            page = assembled("play.html", PLAY, "A seat for you", live=True)
            self.send(HTTPStatus.OK, page, "text/html")
        elif url.path == "/state":
            body = self.server.state(parse_qs(url.query).get("have", [""])[0])
            status = HTTPStatus.NO_CONTENT if body is None else HTTPStatus.OK
            self.send(status, body or "", "application/json")
        else:
            self.send(HTTPStatus.NOT_FOUND, "nothing here")

    def do_POST(self) -> None:
        if not self.invited():
            return
        length = int(self.headers.get("Content-Length") or 0)
        # A form of another site cannot post JSON without asking first, which nobody answers here.
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        if self.path != "/reply" or kind != "application/json" or not 0 < length <= MOST:
            self.send(HTTPStatus.BAD_REQUEST, "want a reply as JSON")
            return
        try:
            taken = self.server.reply(json.loads(self.rfile.read(length)))
        except (ValueError, RecursionError) as e:
            self.send(HTTPStatus.BAD_REQUEST, str(e).splitlines()[0])
            return
        status = HTTPStatus.NO_CONTENT if taken else HTTPStatus.CONFLICT
        self.send(status, "" if taken else "that was not asked any more")
