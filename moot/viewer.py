"""The report's page served on this machine, following runs as they are played.

    GET /                 the page
    GET /data?have=X      everything but the dialogues; 204 when nothing is new since version X
    GET /page/RUN/N       a compressed page of dialogues

It listens on 127.0.0.1 alone, and answers only who asks for it by that name, so that no page of another
site can read a run through the browser (DNS rebinding). Left out: writing anything, and other machines.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .evaluation.report import document, gathered, shell
from .evaluation.sources import sources
from .protocols import MootError

HOST = "127.0.0.1"


class Viewer(ThreadingHTTPServer):
    """The server. Raises `MootError` for runs that cannot be read, and a port that is taken."""

    daemon_threads = True

    def __init__(self, paths: Sequence[str | Path], port: int = 0) -> None:
        self.sources = sources(paths)
        for source in self.sources:
            source.refresh()
        self.version = 0
        self._lock = threading.Lock()
        try:
            super().__init__((HOST, port), Answer)
        except OSError as e:
            raise MootError(
                f"cannot listen on port {port} ({e.strerror}); choose another --port, or 0 for any",
                usage=False,
            ) from None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

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
            return json.dumps(
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


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Viewer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "moot", ""

    def do_GET(self) -> None:
        names = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        if self.headers.get("Host") not in names:
            self._send(HTTPStatus.FORBIDDEN, f"ask for {self.server.address}")
            return
        url = urlsplit(self.path)
        try:
            if url.path == "/":
                self._send(HTTPStatus.OK, self.server.page(), "text/html")
            elif url.path == "/data":
                have = parse_qs(url.query).get("have", [""])[0]
                self._sent(self.server.data(have), HTTPStatus.NO_CONTENT, "application/json")
            elif found := re.fullmatch(r"/page/(\d{1,6})/(\d{1,9})", url.path):
                self._sent(self.server.dialogues(int(found[1]), int(found[2])))
            else:
                self._send(HTTPStatus.NOT_FOUND, "nothing here")
        except MootError as e:  # a run that was damaged or taken away meanwhile
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, str(e))

    def _sent(
        self, body: str | None, absent: HTTPStatus = HTTPStatus.NOT_FOUND, kind: str = "text/plain"
    ) -> None:
        self._send(absent if body is None else HTTPStatus.OK, body or "", kind)

    def _send(self, status: HTTPStatus, body: str, kind: str = "text/plain") -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(data))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to whoever started it."""
