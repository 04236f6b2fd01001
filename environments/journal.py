"""An append-only file of JSON lines, each with a number of its own (`id`), written by one process.

A line goes to the operating system in one write as soon as it is appended, so a killed process loses no
line that was appended. Only a full disk, a power failure or a kill within a write can cut a line in
two; then it is the last one, and `Journal` cuts it off when it opens the file again. Files that are not
appended to are written whole or not at all (`write_whole`).

Left out: a sync to the disk per line (a power failure may lose the last seconds), and the lock on
Windows, where two writers are the user's own care.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..protocols import MootError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NEW = ".new"
"""After the name of a file that is not whole yet."""
BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class Journal:
    """The file, open for appending by this process alone until `close`.

    Raises `MootError` when another process writes it or when a line before the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: set[int] = set()
        """Numbers of the lines that are there."""
        self.notice = ""
        """What had to be cut off; empty when nothing."""
        self._end = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as e:
            raise failed(e, f"cannot write {path}") from None
        try:
            self._lock()
            self._mend()
        except OSError as e:
            os.close(self._file)
            raise failed(e, f"cannot repair {path}") from None
        except BaseException:
            os.close(self._file)
            raise

    def append(self, number: int, line: str) -> None:
        """Write one line (without its end) whose `id` is `number`. Raises `MootError` when it cannot;
        the lines before it stay."""
        if number in self.ids:
            raise ValueError(f"{self.path} holds {number} already")
        data = memoryview(line.encode() + b"\n")
        at = 0
        try:
            while at < len(data):
                at += os.write(self._file, data[at:])
        except BaseException as e:
            # Half a line must not stay: the next append would make it a torn line in the middle.
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            if isinstance(e, OSError):
                raise failed(e, f"cannot write {self.path}") from None
            raise
        self._end += len(data)
        self.ids.add(number)

    def close(self) -> None:
        """Bring everything to the disk and let others write."""
        file, self._file = self._file, -1
        if file < 0:
            return
        try:
            os.fsync(file)
        except OSError as e:
            raise failed(e, f"cannot finish writing {self.path}") from None
        finally:
            os.close(file)

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            # Some network file systems know no locks: better unlocked than unusable.
            if e.errno in BUSY:
                text = (
                    f"another process writes {self.path}; wait until it ends, or use another folder "
                    "(--out)"
                )
                raise MootError(text, usage=False) from None

    def _mend(self) -> None:
        """Learn which lines are there; cut off a torn last one."""
        for number, line, last in lines(self.path):
            found = number_of(line)
            if found is None and last:
                os.ftruncate(self._file, self._end)
                self.notice = f"{self.path}: cut off a torn last line (line {number})"
                return
            if found is None:
                raise damaged(self.path, number, "no whole JSON object with an id")
            if found in self.ids:
                raise damaged(self.path, number, f"{found} is there already")
            self.ids.add(found)
            self._end += len(line)
            if not line.endswith(b"\n"):
                self._end += os.write(self._file, b"\n")


def write_whole(path: Path, text: str) -> None:
    """The file is there complete or not at all: new file, sync, rename, sync of the folder.

    Raises `MootError`; what was there before stays then.
    """
    new = path.with_name(path.name + NEW)
    try:
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        sync(path.parent)
    except OSError as e:
        raise failed(e, f"cannot write {path}") from None


def sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk, so that a rename never shows what is not there yet."""
    if sys.platform == "win32":
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, line with its end, whether it is the last one) of a file that may be growing."""
    with reading(path) as file:
        number, line = 1, file.readline()
        while line:
            # What has no end yet is the last line, even if its writer has got further meanwhile.
            following = file.readline() if line.endswith(b"\n") else b""
            yield number, line, not following
            number, line = number + 1, following


@contextmanager
def reading(path: Path) -> Generator[gzip.GzipFile | io.BufferedReader, None, None]:
    """The file, unpacked if its name ends in `.gz`. Raises `MootError` when it cannot be read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise MootError(f"{path} does not exist") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as e:
        raise MootError(f"{path} is damaged or no gzip file: {e}", usage=False) from None
    except OSError as e:
        raise failed(e, f"cannot read {path}") from None


def number_of(line: bytes) -> int | None:
    """The `id` of a line that is one whole JSON object with one, else None."""
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number: object = found.get("id") if isinstance(found, dict) else None  # pyright: ignore
    return number if isinstance(number, int) else None


def damaged(path: Path, number: int, why: str) -> MootError:
    """The error for a line that is there and cannot be used."""
    return MootError(
        f"{path}: line {number} is not a record ({why}); delete that line, and resume=True (--resume) makes "
        "it anew",
        usage=False,
    )


def failed(e: OSError, what: str) -> MootError:
    """The error for a file system that refused."""
    why = "the disk is full" if e.errno in FULL else e.strerror or str(e)
    return MootError(f"{what}: {why}", usage=False)
