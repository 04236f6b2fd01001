"""Ctrl-C that is not lost: an interruption is raised at once, and remembered until the program heeds it.

Python can drop what is raised in the wrong moment: in a destructor, in a callback of native code, in a
method that a serializer calls (it tries another way to write the value). So a command that listens
remembers the signal as well, and whoever loops asks for it:

    for step in ...:
        heed()              # raises what was dropped

    with whole():           # an interruption waits until this is done
        write(record)

A second one, unless it is the same key press sent twice, ends the process on the spot. Outside of
`listening`, as when the library is imported, nothing here does anything: Python's own way holds. Left out:
native code that never returns to Python.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME = 0.3
"""Seconds within which a second signal is the first one, passed on by a parent that had it too."""
SHOW_CURSOR = b"\x1b[?25h"


class _State:
    """Of the command that listens."""

    number: int | None = None
    """The signal that came; None: none yet."""
    since = 0.0
    settled = False
    """Whether the program is ending because of it."""
    whole = 0
    """Open `whole` blocks."""


_state = _State()


@contextmanager
def listening() -> Generator[None]:
    """Hear SIGINT and SIGTERM while open; in a thread that Python tells of no signals, do nothing.

    A signal that the parent process had ignored (`nohup`, a shell's background job) stays ignored.
    """
    global _state
    main = threading.current_thread() is threading.main_thread()
    heard = [s for s in SIGNALS if main and signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, _came) for s in heard}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
        _state = _State()


def _came(number: int, frame: FrameType | None) -> None:
    if _state.number is not None:
        if monotonic() - _state.since > SAME:
            if sys.stderr.isatty():
                os.write(2, SHOW_CURSOR)  # a progress bar hides it
            os._exit(128 + number)
        return
    _state.number, _state.since = number, monotonic()
    if not _state.whole:
        raise KeyboardInterrupt


def came() -> int | None:
    """The signal that asked this program to stop, if any."""
    return _state.number


def settle() -> None:
    """The program is ending: `heed` asks for it no more, so that what is kept can be counted and told."""
    _state.settled = True


def heed() -> None:
    """Raises `KeyboardInterrupt` if this program was asked to stop. Other threads than the main one go on."""
    if _state.number is None or _state.settled:
        return
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


@contextmanager
def whole() -> Generator[None]:
    """An interruption comes before this or after it, never within."""
    heed()
    _state.whole += 1
    try:
        yield
    finally:
        _state.whole -= 1
    heed()
