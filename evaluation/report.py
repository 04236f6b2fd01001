"""One page to look at: what was played, what it came to, and every dialogue. It opens without a network.

The page is one HTML file. Its charts are plain SVG drawn by some 280 lines of its own, and not by a
bundled library: plotly.js weighs 4.5 MB in every report and writes inline styles, uPlot draws lines alone.
So a page without dialogues has about 75 KB, prints, follows the reader's colours, and can be held to a
policy under which no script but its own runs, by hash, and no text is ever read as HTML (trusted types).
Dialogues lie beside the charts in compressed pages that a browser opens one by one.

Left out: a legend that can be dragged, zoom, pictures of charts (print the page).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..environments.journal import failed
from ..protocols import MootError
from .compare import compare
from .gathered import Gathered
from .markup import MARK, quoted, shell
from .sources import Source, sources
from .words import summary


def document(found: Sequence[Source], *, live: bool = False) -> dict[str, Any]:
    """Everything but the dialogues, for JSON; `live`: without what has to read all episodes again."""
    runs = gathered(found)
    return {
        "title": ", ".join(s.title for s in found),
        "runs": [{**g.data(), "words": summary(g)} for g in runs],
        "trainings": [s.training for s in found if s.training is not None],
        "crossings": [s.crossing for s in found if s.crossing is not None],
        "comparisons": [] if live else comparisons(found),
    }


def comparisons(found: Sequence[Source]) -> list[dict[str, Any]]:
    """Every single run against the first of them."""
    runs = [s for s in found if s.single and any(map(len, s.runs.values()))]
    return [
        compare(runs[0].path, other.path, names=(runs[0].title, other.title)).data()
        for other in runs[1:]
    ]


def gathered(found: Sequence[Source]) -> list[Gathered]:
    """All sets of episodes, in the order of the page."""
    return [g for s in found for g in s.runs.values()]


def report(paths: Sequence[str | Path], out: str | Path) -> Path:
    """Write the page of these runs and return where it lies.

    `paths`: folders of runs or fine-tunings, files of dialogues. Raises `MootError` for what is none of
    these, and where `out` is a file that no report wrote.
    """
    out = Path(out)
    _refuse(out)
    found = sources(paths)
    for source in found:
        source.refresh()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(found), encoding="utf-8")
    except OSError as e:
        raise failed(e, f"cannot write {out}") from None
    return out


def page(found: Sequence[Source]) -> str:
    """The whole page with all dialogues in it."""
    blocks = [f'<script type="application/json" id="report">{quoted(document(found))}</script>']
    for number, run in enumerate(gathered(found)):
        blocks.append(_packed(f"index-{number}", run.index()))
        blocks += [_packed(f"page-{number}-{i}", run.page(i)) for i in range(run.pages)]
    return shell(", ".join(s.title for s in found), "\n".join(blocks))


def _packed(name: str, data: str) -> str:
    return f'<script type="text/plain" id="{name}">{data}</script>'


def _refuse(out: Path) -> None:
    if out.is_dir():
        raise MootError(f"{out} is a folder; name a file, such as {out / 'report.html'}")
    if out.exists():
        with open(out, encoding="utf-8", errors="replace") as file:
            if MARK not in file.read(4000):
                raise MootError(f"{out} is there and is no report; choose another file (--out)")
