"""What a report is made of: runs, fine-tunings, cross-plays, suites, files of dialogues, read as they grow.

`refresh` reads what is new since the last time, so that the same code makes a page of a finished run and
follows one that is being played. A last line without its end is left for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ..environments import Episode
from ..environments.journal import damaged
from ..environments.records import EPISODES, HEADER, Run, first_error
from ..environments.transcripts import episodes_of
from ..protocols import MootError
from .dialogue import Data
from .gathered import Gathered
from .training import RESULT, WAYS, is_finetuning, read, training

CROSSPLAY = "crossplay.json"
"""What a cross-play's folder is known by; its cells are runs."""


class Tail:
    """The episodes of a growing `episodes.jsonl`, each given once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at, self._line = 0, 0

    def new(self) -> list[Episode]:
        """Those whose line is complete and was not given before. Raises `MootError` for damage."""
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._at)
            whole, end, _ = file.read().rpartition(b"\n")
        found: list[Episode] = []
        for line in whole.split(b"\n") if end else ():
            self._line += 1
            try:
                found.append(Episode.model_validate_json(line))
            except ValidationError as e:
                raise damaged(self.path, self._line, first_error(e)) from None
        self._at += len(whole) + len(end)
        return found


class Source:
    """One path: its sets of episodes, and what was learned or rated where that is known."""

    def __init__(self, path: Path, title: str) -> None:
        self.path, self.title = path, title
        self.training: Data | None = None
        """Curves and results of a fine-tuning."""
        self.crossing: Data | None = None
        """Matrix and standings of a cross-play."""
        self.runs: dict[str, Gathered] = {}
        """Title -> episodes: of one run, of each way of learning, of a suite's scenarios and agents."""
        self._tails: dict[Path, Tail] = {}
        self._read = False

    @property
    def single(self) -> bool:
        """Whether this is one run, or one file."""
        return not self.path.is_dir() or (self.path / HEADER).is_file()

    def refresh(self) -> bool:
        """Read what is new; whether there was anything. Raises `MootError`."""
        if not self.path.is_dir():
            return self._file()
        if self.single:
            return self._played(self.path, self.title)
        before = self.training, self.crossing
        if is_finetuning(self.path):
            self.training = training(self.path, self.title)
        elif (self.path / CROSSPLAY).is_file():
            rated = self.path / RESULT
            self.crossing = {"title": self.title, **read(rated)} if rated.is_file() else None
        grown = (self.training, self.crossing) != before
        for run in self._below():
            parts = run.relative_to(self.path).parts
            title, group, way = self.title, "", ""
            if self.training is not None:  # play/VARIANT/CLIENT
                way, group = parts[1], parts[2]
                title = f"{title}/{way}"
            elif (self.path / CROSSPLAY).is_file():  # ROW--COLUMN
                group = "/".join(parts)
            else:  # a suite's SCENARIO/AGENT/SEED, or any folder of runs
                title, group = "/".join(parts[:2]), "/".join(parts[2:])
            grown |= self._played(run, title, group, way)
        return grown

    def _below(self) -> list[Path]:
        """The runs in a folder of runs, in the order of the page."""
        pattern = f"play/*/*/{HEADER}" if self.training is not None else f"**/{HEADER}"
        found = [p.parent for p in self.path.glob(pattern)]
        if not found and self.training is None and not self.runs:
            Run.open(self.path)  # says what it would rather have
        return sorted(found, key=lambda p: ([WAYS.index(x) for x in p.parts if x in WAYS], p))

    def _file(self) -> bool:
        if self._read:
            return False
        self._read = True
        notices: list[str] = []
        gathered = self.runs[self.title] = Gathered(self.title, {})
        for episode in episodes_of(self.path, notices):
            gathered.add(episode)
        gathered.scores.notices.extend(notices)
        return True

    def _played(self, path: Path, title: str, group: str = "", way: str = "") -> bool:
        fresh = path not in self._tails
        if fresh:
            header = Run.open(path).header
            self._tails[path] = Tail(path / EPISODES)
            gathered = self.runs.setdefault(title, Gathered(title, {}, 0, way))
            gathered.wanted = (gathered.wanted or 0) + header.episodes
            if not gathered.agents or gathered.agents == header.agents:
                gathered.agents = header.agents
            else:  # a cross-play's cells have different ones; who sat where is told by each dialogue
                gathered.agents = {"*": "several agents"}
        episodes = self._tails[path].new()
        for episode in episodes:
            self.runs[title].add(episode, group)
        return fresh or bool(episodes)


def sources(paths: Sequence[str | Path]) -> list[Source]:
    """A source for each path, under the shortest titles that still tell them apart. Reads nothing yet
    but raises `MootError` for what does not exist."""
    found = [Path(p) for p in paths]
    for path in found:
        if not path.exists():
            raise MootError(
                f"{path} does not exist; want a folder of a run, as under runs/, or a file of dialogues"
            )
    if len({p.resolve() for p in found}) < len(found):
        raise MootError("the same run is named twice; name each once")
    return [Source(p, title) for p, title in zip(found, _titles(found), strict=True)]


def _titles(paths: Sequence[Path]) -> list[str]:
    full = [p.resolve() for p in paths]
    for parts in range(1, max(len(p.parts) for p in full) + 1):
        names = ["/".join(p.parts[-parts:]) for p in full]
        if len(set(names)) == len(names):
            return names
    return [str(p) for p in full]
