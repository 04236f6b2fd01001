"""An episode as pictures: one PNG for each message, and an animation, with the talk beside the world.

For worlds that draw themselves (`Drawing`). The record is replayed; every frame is one SVG with the
world's picture on the left and the last things said on the right. resvg makes it into pixels; it brings
no system library with it, but takes the system's fonts. Both it and Pillow, which joins the animation,
come with the extra `hybrid`. Left out: video files, smooth motion, and what the world tells single
agents, since the picture shows it.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from ..protocols import Act, Message, MootError, Reply
from .environment import Environment
from .episode import Episode
from .play import said
from .world import Drawing

TALK, LEAST, MARGIN = 400, 420, 12
"""Width of the talk, least height of a frame, and the space around; pixels."""
LETTERS = 52
"""Of one line of talk."""
LINE, SIZE = 18, 13
"""Height of a line and of its letters, pixels."""
COLOURS = ("#b03a48", "#24577a", "#2f6b37", "#9a6510", "#6a4c93", "#5c5c5c", "#0f766e")
PAUSE, LAST = 900, 2500
"""How long the animation shows a frame, and its last one; milliseconds."""


class Scene(NamedTuple):
    """One moment of an episode."""

    picture: str
    """The world's own SVG."""
    messages: tuple[Message, ...]
    """What has been said until then."""


def scenes(episode: Episode) -> Iterator[Scene]:
    """The start, and the moment after every message. Raises `MootError` in worlds without pictures."""
    table = Environment(
        episode.scenario, seed=episode.seed, episode=episode.id, seats=episode.seats
    )
    if not hasattr(table.world, "picture"):
        raise MootError(f"the world {episode.scenario.world} does not draw itself: no frames")
    world, messages = cast(Drawing, table.world), list[Message]()
    yield Scene(world.picture(), ())
    for turn in episode.turns:
        message = turn.message
        table.step(turn.reply or (Reply() if message is None else said(message)), turn.agent)
        if message is not None:
            messages.append(message)
            yield Scene(world.picture(), tuple(messages))


def frame(scene: Scene, agents: Sequence[str], title: str = "", end: str = "") -> str:
    """One scene as an SVG document: the picture, and beside it as much of the talk as fits, newest last;
    `end` stands below it."""
    width, height = size(scene.picture)
    tall = max(height + 2 * MARGIN, LEAST)
    wide = width + TALK + 3 * MARGIN
    rows = (tall - 2 * MARGIN) // LINE - 2 - bool(end)
    lines = [line for message in scene.messages for line in _lines(message)][-rows:]
    colour = {agent: COLOURS[i % len(COLOURS)] for i, agent in enumerate(agents)}
    left = width + 2 * MARGIN
    parts = [
        f'<rect width="{wide}" height="{tall}" fill="#fff"/>',
        _placed(scene.picture, MARGIN, MARGIN + max((tall - 2 * MARGIN - height) // 2, 0)),
        _text(left, MARGIN + SIZE, title, "#666", bold=False),
    ]
    for i, (agent, words) in enumerate(lines):
        y = MARGIN + SIZE + (i + 1.5) * LINE
        parts.append(_text(left, y, words, colour.get(agent, "#333"), bold=False))
    if end:
        parts.append(_text(left, tall - MARGIN, end, "#000", bold=True))
    head = f'xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}"'
    return f"<svg {head}>{''.join(parts)}</svg>"


def save_frames(episode: Episode, folder: Path) -> list[Path]:
    """Write `NAME-000.png`, ... and `NAME.gif` into the folder; NAME is the scenario's name and the
    episode's number. Returns the files, the animation last. Raises `MootError` when nothing can be drawn."""
    image: Any = _module("PIL.Image", "Pillow")
    name = re.sub(r"\W+", "_", f"{episode.scenario.name}-{episode.id}")
    agents = tuple(episode.scenario.roles)
    points = ", ".join(f"{a} {u:.3g}" for a, u in episode.outcome.utilities.items())
    moments = list(scenes(episode))
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    pages: list[Any] = []
    for i, scene in enumerate(moments):
        title = f"{episode.scenario.name}, episode {episode.id}, message {i} of {len(moments) - 1}"
        over = f"{episode.ended}: {points}" if i == len(moments) - 1 else ""
        files.append(folder / f"{name}-{i:03}.png")
        files[-1].write_bytes(pixels(frame(scene, agents, title, over)))
        with image.open(io.BytesIO(files[-1].read_bytes())) as opened:
            pages.append(opened.convert("RGB"))
    # A world's picture may change its size; the animation has one.
    room = tuple(max(page.size[k] for page in pages) for k in (0, 1))
    for i, page in enumerate(pages):
        if page.size != room:
            pages[i] = image.new("RGB", room, "white")
            pages[i].paste(page, (0, 0))
    pauses = [PAUSE] * (len(pages) - 1) + [LAST]
    files.append(folder / f"{name}.gif")
    pages[0].save(files[-1], save_all=True, append_images=pages[1:], duration=pauses, loop=0)
    return files


def pixels(svg: str) -> bytes:
    """An SVG document as PNG. Raises `MootError` where resvg is missing or refuses it."""
    resvg: Any = _module("resvg_py", "resvg_py")
    try:
        return bytes(resvg.svg_to_bytes(svg_string=svg, background="#ffffff"))
    except ValueError as error:
        raise MootError(f"a picture is no sound SVG: {error}", usage=False) from None


def size(svg: str) -> tuple[int, int]:
    """Width and height of an SVG document, pixels; from its own, else from its view box."""
    head = svg[: svg.find(">")]
    found = dict(re.findall(r'\b(width|height)="([\d.]+)(?:px)?"', head))
    if len(found) == 2:
        return round(float(found["width"])), round(float(found["height"]))
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', head)
    return (round(float(box[1])), round(float(box[2]))) if box else (LEAST, LEAST)


def _placed(svg: str, x: int, y: int) -> str:
    """An SVG document as an element of another one, at a place."""
    start = svg.index("<svg") + 4
    width, height = size(svg)
    head = re.sub(r'\s(width|height)="[^"]*"', "", svg[start : svg.index(">", start)])
    box = "" if "viewBox" in head else f' viewBox="0 0 {width} {height}"'
    place = f' x="{x}" y="{y}" width="{width}" height="{height}"'
    return f"<svg{place}{box}{head}{svg[svg.index('>', start) :]}"


def _lines(message: Message) -> Iterator[tuple[str, str]]:
    """(Who, words) of a message, broken into lines: `ann proposes ...` and what it says."""
    content = "" if message.content is None else f" {_plain(message.content.model_dump())}"
    sealed = "" if message.receivers else " (sealed)"
    whole = f"{message.sender}{sealed}:{content}"
    text = " ".join(message.text.split())
    if text:
        whole += f" “{text}”"
    elif not content:
        whole += " ..." if message.act is Act.INFORM else f" {message.act}"
    first, *rest = textwrap.wrap(whole, LETTERS) or [whole]
    yield message.sender, first
    for line in rest:
        yield message.sender, f"   {line}"


def _plain(data: Mapping[str, Any]) -> str:
    """Typed content without the marks of JSON."""
    text = json.dumps(data, ensure_ascii=False, separators=(", ", " "))
    return re.sub(r'["{}]', "", text)


def _text(x: float, y: float, words: str, colour: str, *, bold: bool) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:g}" y="{y:g}" font-size="{SIZE}" fill="{colour}" xml:space="preserve"'
    return f'<text {place} font-family="sans-serif"{weight}>{escape(words)}</text>'


def _module(name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MootError(f"frames need {package}: pip install 'moot[hybrid]'", usage=False) from None
