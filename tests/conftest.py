"""What several test files start from: the command line, typed in an empty folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moot import cli

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job is started so, and would hand it on to the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """Run the command in an empty folder: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moot", *words])
        capsys.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as e:
            status = int(e.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
