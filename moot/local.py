"""A web server for the person at this machine, and for nobody else.

It listens on 127.0.0.1 alone, and answers only who asks for it by that name, so that no page of another
site can read or write through the browser (DNS rebinding, cross-site requests). Left out: other machines,
and other users of this one, who can open the port as well.
"""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .protocols import MootError

HOST = "127.0.0.1"


class Local(ThreadingHTTPServer):
    """A server for this machine alone. Raises `MootError` for a port that is taken."""

    daemon_threads = True

    def __init__(self, port: int, answer: type[LocalAnswer]) -> None:
        try:
            super().__init__((HOST, port), answer)
        except OSError as e:
            raise MootError(
                f"cannot listen on port {port} ({e.strerror}); choose another --port, or 0 for any",
                usage=False,
            ) from None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/"


class LocalAnswer(BaseHTTPRequestHandler):
    """One request to it."""

    server: Local  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "moot", ""

    def invited(self) -> bool:
        """Whether the request came by this server's own name; else it is turned away."""
        names = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in names and (
            origin is None or origin.removeprefix("http://") in names
        ):
            return True
        self.send(HTTPStatus.FORBIDDEN, f"ask for {self.server.address}")
        return False

    def send(self, status: HTTPStatus, body: str, kind: str = "text/plain") -> None:
        """Answer and close."""
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
