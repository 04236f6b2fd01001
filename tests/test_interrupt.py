"""Ctrl-C and SIGTERM: never lost, never within a record, and a second one ends the process at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from moot.agents.seats import seat
from moot.environments.records import Run
from moot.protocols.interrupt import came, heed, listening, whole
from moot.simulation import Simulation

Typed = Callable[..., tuple[int, str, str]]


def dropped(number: signal.Signals = signal.SIGINT) -> None:
    """A signal that comes where its exception is lost, as in a destructor or a serializer."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_was_dropped_is_raised_by_whoever_asks() -> None:
    with listening():
        heed()
        dropped()
        assert came() == signal.SIGINT
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                heed()
    with listening():
        heed()


def test_an_interruption_comes_before_or_after_what_is_whole() -> None:
    done: list[str] = []

    def write() -> None:
        with whole():
            signal.raise_signal(signal.SIGINT)
            done.append("written")
        done.append("more")

    with listening():
        with pytest.raises(KeyboardInterrupt):
            write()
        assert done == ["written"]
        with pytest.raises(KeyboardInterrupt):
            write()
    assert done == ["written"]


def test_handlers_are_put_back_and_what_is_ignored_stays_ignored() -> None:
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with listening():
            signal.raise_signal(signal.SIGTERM)
            heed()
            assert signal.getsignal(signal.SIGINT) != before[signal.SIGINT]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == before[signal.SIGINT]
    finally:
        signal.signal(signal.SIGTERM, before[signal.SIGTERM])


def test_a_second_one_ends_the_process_and_the_same_one_twice_does_not() -> None:
    code = """
import signal, time
from contextlib import suppress
from moot.protocols.interrupt import listening
with listening():
    for wait in (0, 0, 0.4):
        time.sleep(wait)
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        print("on", flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "on\non\n", "")


class Late:
    """A pool in which the signal comes at the 30th question and is lost."""

    def __init__(self) -> None:
        self.inner, self.asked = seat("scripted:linear").pool, 0

    def ask(self, ticket: int, observation: Any) -> None:
        self.inner.ask(ticket, observation)
        self.asked += 1
        if self.asked == 30:
            dropped()

    def poll(self, wait: float) -> Any:
        return self.inner.poll(wait)


def test_play_stops_though_the_exception_was_lost(tmp_path: Path) -> None:
    pool = Late()
    simulation = Simulation(
        "deal_or_no_deal", agents={"*": pool}, episodes=99, out=tmp_path / "run", concurrent=4
    )
    with listening(), pytest.raises(KeyboardInterrupt):
        for _ in simulation:
            pass
    assert 30 <= pool.asked < 40


COMMAND = ("simulate", "deal_or_no_deal", "*=scripted:linear", "--episodes", "20", "--out", "run")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_says_what_is_kept_and_how_to_go_on(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    append = Run.append

    def seven(run: Run, episode: Any) -> None:
        append(run, episode)
        if len(run.done) == 7:
            dropped(number)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "append", seven)
        found, _, err = typed(*COMMAND)
    assert found == status
    assert "stopped; 7 of 20 episodes kept in run: repeat the command with" in err
    assert "--out run --resume" in err
    assert len(list(Run.open("run").episodes())) == 7
    assert typed(*COMMAND, "--resume")[0] == 0
    assert not Run.open("run").missing()


def test_what_an_interruption_became_is_no_error_of_its_own(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def import_error(*_: Any) -> None:
        dropped()
        raise ImportError("numpy.core.multiarray failed to import")

    monkeypatch.setattr("moot.simulation.seat_all", import_error)
    status, out, err = typed(*COMMAND)
    assert (status, out, err) == (130, "", "moot: stopped\n")


def test_commands_that_keep_nothing_stop_with_the_same_status(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(*COMMAND)
    monkeypatch.setattr(
        "moot.evaluation.score_paths", lambda *_: signal.raise_signal(signal.SIGINT)
    )
    assert typed("score", "run") == (130, "", "moot: stopped\n")


def test_an_interrupt_keeps_what_was_played(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "moot", "simulate", "deal_or_no_deal", "*=scripted:linear",
               "--episodes", "200000", "--out", "run"]  # fmt: skip
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A parent in the background of a shell hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    file = tmp_path / "run" / "episodes.jsonl"
    for _ in range(600):
        if process.poll() is not None or (file.exists() and file.stat().st_size > 100_000):
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    assert len(list(Run.open(tmp_path / "run").episodes())) > 10
