"""The page around its data: one HTML file with its style and its script, under a policy that holds both.

The policy (Content-Security-Policy) names this script and this style by hash, allows pictures within the
page, and refuses everything else: other scripts, connections to anywhere, and text that becomes HTML
(trusted types). Data stand in elements that no browser runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from pathlib import Path

from .written import written

PAGE = Path(__file__).parent / "page"
REPORT = ("dom.js", "store.js", "charts.js", "overview.js", "dialogues.js", "main.js")
"""Scripts of a report, in the order in which they need one another."""
PLAY = ("dom.js", "play.js")
"""Scripts of the page on which a person plays."""
MARK = '<meta name="generator" content="moot report">'
"""Tells a report from any other file, which is never written over."""


def shell(title: str, blocks: str = "", *, live: bool = False) -> str:
    """A report around its data; a `live` one asks its server for them."""
    return assembled("report.html", REPORT, title, blocks, live=live)


def assembled(
    name: str, scripts: Sequence[str], title: str, blocks: str = "", *, live: bool
) -> str:
    """The page `name` with its style, its scripts as one, its policy and its data."""
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    script = "\n".join((PAGE / s).read_text(encoding="utf-8") for s in scripts)
    text = (PAGE / name).read_text(encoding="utf-8")
    parts = {
        "POLICY": policy(style, script, live=live),
        "MARK": MARK,
        "TITLE": html.escape(title),
        "STYLE": f"<style>{style}</style>",
        "LIVE": "live" if live else "still",
        "DATA": blocks,
        "SCRIPT": f"<script>{script}</script>",
    }
    head, *rest = text.split("{{")
    for piece in rest:  # one pass: what is put in is never looked at again
        field, _, tail = piece.partition("}}")
        head += parts[field] + tail
    return head


def policy(style: str, script: str, *, live: bool = False) -> str:
    """The Content-Security-Policy of a page with this style and this script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "connect-src 'self'" if live else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def quoted(value: object) -> str:
    """JSON that may stand within a script element: ASCII, and nothing in it that HTML could read."""
    text = written(value, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
