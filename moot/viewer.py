"""The report's page served on this machine, following runs as they are played.

    GET /                 the page
    GET /data?have=X      everything but the dialogues; 204 when nothing is new since version X
    GET /page/RUN/N       a compressed page of dialogues

It answers this machine alone (`local.py`). Left out: writing anything.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .evaluation.markup import shell
from .evaluation.report import document, gathered
from .evaluation.sources import sources
from .evaluation.written import written
from .local import Local, LocalAnswer
from .protocols import MootError
from .protocols.interrupt import heed


class Viewer(Local):
    """The server. Raises `MootError` for runs that cannot be read, and a port that is taken."""

    def __init__(self, paths: Sequence[str | Path], port: int = 0) -> None:
        self.sources = sources(paths)
        for source in self.sources:
            source.refresh()
        self.version = 0
        self._lock = threading.Lock()
        super().__init__(port, Answer)

    def service_actions(self) -> None:
        """Asked between requests, twice a second."""
        heed()

    def page(self) -> str:
        return shell(", ".join(s.title for s in self.sources), live=True)

    def data(self, have: str) -> str | None:
        """Everything but the dialogues, for JSON; None when `have` is the version of now."""
        with self._lock:
            grown = [source.refresh() for source in self.sources]
            self.version += any(grown)
            version = str(self.version)
            if version == have:
                return None
            runs = gathered(self.sources)
            return written(
                {
                    "version": version,
                    "report": document(self.sources, live=True),
                    "indexes": [run.index() for run in runs],
                }
            )

    def dialogues(self, run: int, number: int) -> str | None:
        """A compressed page; None where there is none."""
        with self._lock:
            runs = gathered(self.sources)
            return runs[run].page(number) if run < len(runs) and number < runs[run].pages else None


class Answer(LocalAnswer):
    """One request of the report's page."""

    server: Viewer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if not self.invited():
            return
        url = urlsplit(self.path)
        try:
            if url.path == "/":
                self.send(HTTPStatus.OK, self.server.page(), "text/html")
            elif url.path == "/data":
                have = parse_qs(url.query).get("have", [""])[0]
                self._sent(self.server.data(have), HTTPStatus.NO_CONTENT, "application/json")
            elif found := re.fullmatch(r"/page/(\d{1,6})/(\d{1,9})", url.path):
                self._sent(self.server.dialogues(int(found[1]), int(found[2])))
            else:
                self.send(HTTPStatus.NOT_FOUND, "nothing here")
        except MootError as e:  # a run that was damaged or taken away meanwhile
            self.send(HTTPStatus.INTERNAL_SERVER_ERROR, str(e))

    def _sent(
        self, body: str | None, absent: HTTPStatus = HTTPStatus.NOT_FOUND, kind: str = "text/plain"
    ) -> None:
        self.send(absent if body is None else HTTPStatus.OK, body or "", kind)
