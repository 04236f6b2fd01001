"""A run is a folder: `run.json` says what was asked for, `episodes.jsonl` holds what was played.

`episodes.jsonl` is a `Journal`: it only grows, a line an episode, and a process killed at any moment
loses at most the episodes in flight. Episodes are keyed by their number, so a resumed run plays exactly
those that are missing and gives the same set; they stand in the order in which they ended.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ..protocols import MootError
from ..protocols.counted import counted
from ..protocols.interrupt import heed, whole
from .episode import Episode
from .journal import NEW, Journal, damaged, failed, lines, number_of, write_whole

HEADER, EPISODES = "run.json", "episodes.jsonl"


class Header(BaseModel):
    """What `run.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the scenario or of the data file."""
    source: dict[str, Any]
    """The scenario or template as data, or where scenarios were read from."""
    agents: dict[str, str]
    """Seat or `*` -> agent spec."""
    seed: int
    episodes: int
    """How many are wanted: their numbers are 0 to this minus 1."""
    versions: dict[str, str]
    """Of moot, Python, the platform, and of the model libraries that were in use."""
    command: str = ""
    """The command line that started the run; empty when it was started from Python."""
    created: str
    """UTC, ISO 8601."""


class Run:
    """One run folder, open for reading (`open`) or for writing (`create`, `resume`).

    While it is open for writing no other process may write it: `close` it, or use `with`.
    """

    def __init__(self, path: Path, header: Header, journal: Journal | None = None) -> None:
        self.path, self.header = path, header
        self.notice = journal.notice if journal else ""
        """What `resume` had to cut off, for the user to read; empty when nothing."""
        self._journal = journal

    def __repr__(self) -> str:
        asked = counted(self.header.episodes, "episode")
        return f"Run({str(self.path)!r}, {self.header.name}, {asked} asked for)"

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        name: str,
        source: Mapping[str, Any],
        agents: Mapping[str, str],
        seed: int,
        episodes: int,
        command: str = "",
    ) -> Self:
        """A new run, open for writing. Raises `MootError` when the folder holds anything already."""
        path = Path(path)
        header = Header(
            name=name,
            source=dict(source),
            agents=dict(agents),
            seed=seed,
            episodes=episodes,
            versions=versions(),
            command=command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_full(path)
            journal = Journal(path / EPISODES)
        except (FileExistsError, NotADirectoryError):
            raise MootError(
                f"{path} is or lies under a file; choose another folder (--out)"
            ) from None
        except OSError as e:
            raise failed(e, f"cannot start a run in {path}") from None
        try:
            _refuse_full(path)  # again, now that nobody else can start one here
            write_whole(path / HEADER, header.model_dump_json(indent=2) + "\n")
        except OSError as e:
            journal.close()
            raise failed(e, f"cannot start a run in {path}") from None
        except MootError:
            journal.close()
            raise
        return cls(path, header, journal)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """An existing run for reading; it may still be growing. Raises `MootError` for any other."""
        path = Path(path)
        return cls(path, _header(path))

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """An existing run, open for writing what is missing; `notice` tells of a torn last line.

        Raises `MootError` when another process writes it or a line before the last is damaged.
        """
        path = Path(path)
        return cls(path, _header(path), Journal(path / EPISODES))

    def append(self, episode: Episode) -> None:
        """Record one episode. Raises `MootError` when it cannot be written; what was written stays."""
        if self._journal is None:
            raise ValueError(f"{self.path} is closed, or open for reading only")
        if not 0 <= episode.id < self.header.episodes:
            raise ValueError(f"{self.path} has no place for episode {episode.id}")
        with whole():  # a serializer that is interrupted writes something else
            try:
                self._journal.append(episode.id, episode.line())
            except MootError as e:
                raise self._kept(e) from None

    def episodes(self, notices: list[str] | None = None) -> Iterator[Episode]:
        """Recorded episodes in the order in which they ended, each validated as it is read.

        A torn last line is left out and told to `notices`.
        """
        if (self.path / EPISODES).exists():  # not yet, when it was stopped within `create`
            yield from read_episodes(self.path / EPISODES, notices)

    def episode(self, number: int) -> Episode:
        """The recorded episode of this number. Raises `MootError` when there is none."""
        for at, line, _ in lines(self.path / EPISODES):
            if number_of(line) == number:
                return _read(self.path / EPISODES, at, line)
        wanted, done = self.header.episodes, len(self.done)
        raise MootError(
            f"{self.path} has no episode {number}: it holds {done} of 0 to {wanted - 1}"
        )

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the recorded episodes."""
        if self._journal is not None:
            return frozenset(self._journal.ids)
        return frozenset(episode.id for episode in self.episodes())

    def missing(self) -> list[int]:
        """Numbers of the episodes that are still to be played, ascending."""
        done = self.done
        return [i for i in range(self.header.episodes) if i not in done]

    def check_same(
        self, *, source: Mapping[str, Any], agents: Mapping[str, str], seed: int, episodes: int
    ) -> None:
        """Raises `MootError` naming the first thing that is not what the run was started with."""
        h = self.header
        asked = {"agents": agents, "seed": seed, "episodes": episodes, "scenario": source}
        stood = {"agents": h.agents, "seed": h.seed, "episodes": h.episodes, "scenario": h.source}
        for what, new in asked.items():
            if _canonical(new) != _canonical(stood[what]):
                how = (
                    "another scenario" if what == "scenario" else f"{what} {stood[what]}, not {new}"
                )
                raise MootError(
                    f"{self.path} was started with {how}; resume it with the same, or choose "
                    "another folder (--out)"
                )

    def close(self) -> None:
        """Bring everything to the disk and let other processes write. Safe to call twice."""
        journal, self._journal = self._journal, None
        if journal is not None:
            try:
                journal.close()
            except MootError as e:
                raise self._kept(e) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _kept(self, e: MootError) -> MootError:
        done = len(self._journal.ids) if self._journal else len(self.done)
        return MootError(
            f"{e}; {done} of {counted(self.header.episodes, 'episode')} kept: mend that, then go on "
            f"with out={str(self.path)!r}, resume=True (--out {self.path} --resume)",
            usage=False,
        )


def read_episodes(path: Path, notices: list[str] | None = None) -> Iterator[Episode]:
    """The episodes of an `episodes.jsonl`, validated. A torn last line is left out, with a notice.

    Raises `MootError` with the line number for a line that is damaged, or an episode told twice.
    """
    seen: set[int] = set()
    for number, line, last in lines(path):
        heed()
        if last and number_of(line) is None:
            if notices is not None:
                notices.append(f"{path}: left out a torn last line (line {number})")
            return
        episode = _read(path, number, line)
        if episode.id in seen:
            raise damaged(path, number, f"episode {episode.id} is there already")
        seen.add(episode.id)
        yield episode


def _read(path: Path, number: int, line: bytes) -> Episode:
    try:
        return Episode.model_validate_json(line)
    except ValidationError as e:
        raise damaged(path, number, first_error(e)) from None
    except MootError as e:
        raise damaged(path, number, str(e)) from None


def default_path(
    name: str,
    source: Mapping[str, Any],
    agents: Mapping[str, str],
    seed: int,
    episodes: int,
    root: str | Path = "runs",
) -> Path:
    """`runs/NAME-XXXX`, four hex digits of what is played; a number follows while that is taken."""
    what = _canonical([source, agents, seed, episodes])
    digest = hashlib.blake2b(what.encode()).hexdigest()[:4]
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    stem = f"{plain}-{digest}"
    path, number = Path(root) / stem, 2
    while path.exists():
        path, number = Path(root) / f"{stem}-{number}", number + 1
    return path


def versions() -> dict[str, str]:
    """Of Python and moot, of the platform, and of the model libraries if they are imported."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("moot", "torch", "transformers"):
        if package == "moot" or package in sys.modules:
            with suppress(importlib.metadata.PackageNotFoundError):
                found[package] = importlib.metadata.version(package)
    return found


def first_error(e: ValidationError) -> str:
    """Where and why, on one line."""
    first = e.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(p) for p in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


def _header(path: Path) -> Header:
    try:
        return Header.model_validate_json((path / HEADER).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        what = "is no run (it holds no run.json)" if path.exists() else "does not exist"
        below = next(path.glob("*/**/run.json"), None)  # a fine-tuning holds its games in runs
        hint = (
            "want the folder of a run, as under runs/" if below is None else f"try {below.parent}"
        )
        raise MootError(f"{path} {what}; {hint}") from None
    except OSError as e:
        raise failed(e, f"cannot read {path / HEADER}") from None
    except ValidationError as e:
        raise MootError(
            f"{path / HEADER} is damaged ({first_error(e)}); start anew in another folder (--out)",
            usage=False,
        ) from None


def _refuse_full(path: Path) -> None:
    """A crash before `run.json` was whole leaves two files behind; the folder still counts as empty."""
    names = {p.name for p in path.iterdir()}
    if HEADER in names:
        raise MootError(
            f"{path} holds a run; add resume=True (--resume) to finish it, or choose another folder (--out)"
        )
    strange = names - {HEADER + NEW, EPISODES}
    if strange or (EPISODES in names and (path / EPISODES).stat().st_size):
        raise MootError(f"{path} is not empty and holds no run; choose another folder (--out)")
