"""Run folders: what is written stays, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moot.environments import Environment, Episode, ProtocolChoice
from moot.environments.journal import NEW, write_whole
from moot.environments.records import (
    EPISODES,
    HEADER,
    Run,
    default_path,
    read_episodes,
    versions,
)
from moot.environments.worlds.item_division import ItemGenerator
from moot.protocols import MootError, Reply

ROOT = Path(__file__).parents[1]
WANTED = 40


def episode(number: int) -> Episode:
    """Some offers at random, then an acceptance: a function of the number alone."""
    rng = random.Random(number)
    table = Environment(ItemGenerator().draw(rng), seed=7, episode=number)
    for _ in range(rng.randrange(1, 4)):
        take = {k: rng.randint(0, n) for k, n in table.world.public()["items"].items()}
        table.step(Reply(act="propose", content={"take": take}, text="for me? ✓"))
    table.step(Reply(act="accept-proposal"))
    return table.episode()


def create(path: Path, episodes: int = WANTED) -> Run:
    return Run.create(
        path,
        name="item_division",
        source={"world": "item_division", "generate": {}},
        agents={"*": "scripted:random"},
        seed=7,
        episodes=episodes,
        command="moot simulate item_division",
    )


def finish(path: Path) -> None:
    with Run.resume(path) as run:
        for number in run.missing():
            run.append(episode(number))


def recorded(path: Path) -> set[str]:
    return set((path / EPISODES).read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def whole() -> list[str]:
    """The lines of an uninterrupted run."""
    return [episode(n).line() for n in range(WANTED)]


def test_a_run_reads_back_what_was_written(tmp_path: Path, whole: list[str]) -> None:
    with create(tmp_path / "a") as run:
        assert run.missing() == list(range(WANTED))
        for number in reversed(range(WANTED)):
            run.append(episode(number))
        assert run.missing() == []
    again = Run.open(tmp_path / "a")
    assert (
        repr(again) == f"Run({str(tmp_path / 'a')!r}, item_division, {WANTED} episodes asked for)"
    )
    assert [e.line() for e in again.episodes()] == whole[::-1]
    assert again.done == frozenset(range(WANTED))
    assert again.episode(3).line() == whole[3]
    header = json.loads((tmp_path / "a" / HEADER).read_text())
    assert header["agents"] == {"*": "scripted:random"}
    assert header["seed"] == 7
    assert header["episodes"] == WANTED
    assert header["source"]["generate"] == {}
    assert header["command"] == "moot simulate item_division"
    assert {"python", "platform"} <= header["versions"].keys()
    assert header["created"].endswith("+00:00")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [EPISODES, HEADER]


def test_every_line_is_in_the_file_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with create(tmp_path / "a") as run:
        for number in range(3):
            run.append(episode(number))
            assert len((tmp_path / "a" / EPISODES).read_bytes().splitlines()) == number + 1


def test_append_takes_only_what_is_missing(tmp_path: Path) -> None:
    with create(tmp_path / "a") as run:
        run.append(episode(0))
        with pytest.raises(ValueError, match="holds 0 already"):
            run.append(episode(0))
        with pytest.raises(ValueError, match="no place for episode 40"):
            run.append(episode(WANTED))
    with pytest.raises(ValueError, match="closed"):
        run.append(episode(1))
    run.close()


def test_a_record_keeps_what_is_null_on_purpose_and_what_no_file_can_hold() -> None:
    drawn = ItemGenerator().draw(random.Random(0))
    endless = ProtocolChoice.model_validate({"name": "alternating_offers", "deadline": None})
    table = Environment(drawn.model_copy(update={"protocol": endless}))
    table.step(Reply(act="inform", text="half a pair: \ud83d."))
    table.step(Reply(error="OSError: \udcff"))
    line = table.episode().line()
    back = Episode.model_validate_json(line.encode())
    assert back.scenario.protocol.build().deadline is None
    assert back.messages[0].text == "half a pair: ?."
    assert back.why.endswith("OSError: ?")
    assert back.line() == line


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        ({HEADER: "{}"}, "--resume"),
        ({"notes.txt": "mine"}, "not empty and holds no run"),
        ({EPISODES: "{}\n"}, "not empty and holds no run"),
    ],
)
def test_a_folder_in_use_is_refused_and_left_alone(
    tmp_path: Path, files: dict[str, str], hint: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(MootError, match=hint) as caught:
        create(tmp_path)
    assert "another folder (--out)" in str(caught.value)
    assert caught.value.usage
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(MootError, match="under a file; choose another folder"):
            create(path)


def test_what_a_kill_within_create_leaves_does_not_block_the_next_one(tmp_path: Path) -> None:
    (tmp_path / (HEADER + NEW)).write_text('{"na')
    (tmp_path / EPISODES).touch()
    with create(tmp_path) as run:
        run.append(episode(0))
    assert Run.open(tmp_path).done == {0}


def test_a_run_stopped_before_its_first_episode_resumes(tmp_path: Path, whole: list[str]) -> None:
    create(tmp_path / "a").close()
    (tmp_path / "a" / EPISODES).unlink()
    assert Run.open(tmp_path / "a").missing() == list(range(WANTED))
    finish(tmp_path / "a")
    assert recorded(tmp_path / "a") == set(whole)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_run_cut_at_any_byte_resumes_to_the_same_episodes(
    tmp_path: Path, whole: list[str], cut: float
) -> None:
    path = tmp_path / "a"
    shutil.rmtree(path, ignore_errors=True)
    create(path).close()
    data = "".join(line + "\n" for line in whole).encode()
    kept = data[: int(cut * len(data))]
    (path / EPISODES).write_bytes(kept)
    complete = set(kept.decode(errors="ignore").splitlines()) & set(whole)

    notices: list[str] = []
    assert {e.line() for e in Run.open(path).episodes(notices)} == complete
    torn = bool(kept) and kept.splitlines()[-1].decode(errors="ignore") not in complete
    assert bool(notices) == torn
    with Run.resume(path) as run:
        assert ("torn last line" in run.notice) == torn
        assert len(run.done) == len(complete)
    finish(path)
    assert recorded(path) == set(whole)
    assert (path / EPISODES).read_bytes().count(b"\n") == WANTED


def test_a_whole_last_line_without_its_end_is_kept(tmp_path: Path, whole: list[str]) -> None:
    create(tmp_path / "a").close()
    (tmp_path / "a" / EPISODES).write_text("\n".join(whole[:3]), encoding="utf-8")
    with Run.resume(tmp_path / "a") as run:
        assert (run.notice, run.done) == ("", {0, 1, 2})
    finish(tmp_path / "a")
    assert recorded(tmp_path / "a") == set(whole)


@pytest.mark.parametrize(
    "bad", ['{"id":1,"se', "", "[]", "null", '{"seed": 1}', "\x00\x00", "{" * 9999]
)
def test_damage_before_the_end_names_its_line(tmp_path: Path, whole: list[str], bad: str) -> None:
    create(tmp_path / "a").close()
    text = "".join(f"{line}\n" for line in (whole[0], bad, whole[2]))
    (tmp_path / "a" / EPISODES).write_text(text, encoding="utf-8")
    with pytest.raises(MootError, match=r"line 2 is not a record.*--resume") as caught:
        Run.resume(tmp_path / "a")
    assert "\n" not in str(caught.value)
    with pytest.raises(MootError, match="line 2 is not a record"):
        list(Run.open(tmp_path / "a").episodes())
    assert (tmp_path / "a" / EPISODES).read_text(encoding="utf-8") == text
    (tmp_path / "a" / EPISODES).write_text(text.replace(bad + "\n", "", 1), encoding="utf-8")
    finish(tmp_path / "a")
    assert recorded(tmp_path / "a") == set(whole)


def test_an_episode_told_twice_is_damage(tmp_path: Path, whole: list[str]) -> None:
    create(tmp_path / "a").close()
    (tmp_path / "a" / EPISODES).write_text("\n".join([*whole[:2], whole[0], ""]), encoding="utf-8")
    with pytest.raises(MootError, match=r"line 3 .*0 is there already"):
        Run.resume(tmp_path / "a")
    with pytest.raises(MootError, match=r"line 3 .*0 is there already"):
        list(Run.open(tmp_path / "a").episodes())


def test_a_line_of_another_shape_is_refused_in_one_line(tmp_path: Path, whole: list[str]) -> None:
    create(tmp_path / "a").close()
    for odd, why in (
        ('{"id":5}', "seed: Field required"),
        (whole[5].replace('"world":"item_division"', '"world":"item_divison"'), "did you mean"),
    ):
        (tmp_path / "a" / EPISODES).write_text(f"{whole[0]}\n{odd}\n", encoding="utf-8")
        with pytest.raises(MootError, match="line 2") as caught:
            list(read_episodes(tmp_path / "a" / EPISODES))
        assert why in str(caught.value)
        assert "\n" not in str(caught.value)


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    with create(tmp_path / "a") as run:
        run.append(episode(0))
        with pytest.raises(MootError, match="another process writes") as caught:
            Run.resume(tmp_path / "a")
        assert not caught.value.usage
        assert Run.open(tmp_path / "a").done == {0}, "reading is always possible"
        run.append(episode(1))
    with Run.resume(tmp_path / "a") as run:
        assert run.done == {0, 1}


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, error: int, after: int = 0, part: int = 0
) -> Callable[[], None]:
    """Let `os.NAME` fail with this error after so many calls, the failing write cut to `part` bytes."""
    real: Callable[..., Any] = getattr(os, name)
    calls = 0

    def fake(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= after:
            return real(*args)
        if part and calls == after + 1:
            return real(args[0], args[1][:part])
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, name, fake)
    return lambda: monkeypatch.setattr(os, name, real)


def test_a_full_disk_loses_nothing_that_was_written(
    tmp_path: Path, whole: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with create(tmp_path / "a") as run:
        heal = failing(monkeypatch, "write", errno.ENOSPC, after=5, part=100)
        for number in range(5):
            run.append(episode(number))
        with pytest.raises(MootError, match="disk is full; 5 of 40 episodes kept") as caught:
            run.append(episode(5))
        heal()
        assert not caught.value.usage
        assert f"--out {tmp_path / 'a'} --resume" in str(caught.value)
        assert recorded(tmp_path / "a") == set(whole[:5])
        run.append(episode(5))  # somebody made room
    assert Run.open(tmp_path / "a").done == set(range(6))
    finish(tmp_path / "a")
    assert recorded(tmp_path / "a") == set(whole)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_from_the_start_leaves_no_half_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    heal = failing(monkeypatch, call, errno.ENOSPC)
    with pytest.raises(MootError, match=r"a\b.*: the disk is full"):
        create(tmp_path / "a")
    heal()
    with pytest.raises(MootError, match=r"holds no run\.json"):
        Run.open(tmp_path / "a")
    create(tmp_path / "a").close()


def test_a_disk_that_fills_while_closing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(tmp_path / "a")
    run.append(episode(0))
    failing(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(MootError, match=r"finish writing .*1 of 40 episodes kept"):
        run.close()


def test_an_interrupt_within_a_write_leaves_no_half_line(
    tmp_path: Path, whole: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with create(tmp_path / "a") as run:
        run.append(episode(0))
        real = os.write

        def interrupted(file: int, data: memoryview) -> int:
            real(file, data[:50])
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.append(episode(1))
        monkeypatch.setattr(os, "write", real)
        run.append(episode(2))
    assert recorded(tmp_path / "a") == {whole[0], whole[2]}


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "damaged"), ('{"name": "x"}', "source: Field required"), ("[", "damaged")],
)
def test_a_damaged_header_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / HEADER).write_text(text)
    with pytest.raises(MootError, match=why) as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MootError, match="nowhere does not exist"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(MootError, match=r"is no run \(it holds no run.json\)"):
        Run.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []
    create(tmp_path / "a").close()
    with pytest.raises(MootError, match="has no episode 12: it holds 0 of 0 to 39"):
        Run.open(tmp_path / "a").episode(12)


def test_resume_refuses_another_question(tmp_path: Path) -> None:
    run = create(tmp_path / "a")
    same: dict[str, Any] = {
        "source": {"world": "item_division", "generate": {}},
        "agents": {"*": "scripted:random"},
        "seed": 7,
        "episodes": WANTED,
    }
    run.check_same(**same)
    for name, other, why in (
        ("seed", 8, "seed 7, not 8"),
        ("episodes", 41, "episodes 40, not 41"),
        ("agents", {"*": "nano"}, "scripted:random"),
        ("source", {"world": "item_division", "generate": {"total": 12}}, "another scenario"),
    ):
        with pytest.raises(MootError, match=why):
            run.check_same(**{**same, name: other})
    run.close()


def test_default_names_tell_runs_apart(tmp_path: Path) -> None:
    first = default_path("camp site/é", {"a": 1}, {"*": "nano"}, 0, 10, tmp_path)
    assert first.parent == tmp_path
    assert first.name.startswith("camp-site-é-")
    assert first == default_path("camp site/é", {"a": 1}, {"*": "nano"}, 0, 10, tmp_path)
    others = [
        default_path("camp site/é", {"a": 2}, {"*": "nano"}, 0, 10, tmp_path),
        default_path("camp site/é", {"a": 1}, {"ann": "nano"}, 0, 10, tmp_path),
        default_path("camp site/é", {"a": 1}, {"*": "nano"}, 1, 10, tmp_path),
        default_path("camp site/é", {"a": 1}, {"*": "nano"}, 0, 11, tmp_path),
    ]
    assert len({first, *others}) == 5
    create(first).close()
    second = default_path("camp site/é", {"a": 1}, {"*": "nano"}, 0, 10, tmp_path)
    assert second.name == first.name + "-2"
    second.mkdir()
    third = default_path("camp site/é", {"a": 1}, {"*": "nano"}, 0, 10, tmp_path)
    assert third.name == first.name + "-3"


def test_versions_name_a_library_only_when_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert "torch" not in versions()


CHILD = """
import resource, sys
sys.path[:0] = [{root!r}, {tests!r}]
import test_records as t
limit, path = int(sys.argv[1]), t.Path(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with t.Run.resume(path) as run:
        print("ready", flush=True)
        for number in run.missing():
            run.append(t.episode(number))
            print(number, flush=True)
except t.MootError as e:
    print("error", e, flush=True)
"""


def child(path: Path, limit: int = 0) -> subprocess.Popen[str]:
    code = CHILD.format(root=str(ROOT), tests=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(limit), str(path)], stdout=subprocess.PIPE, text=True
    )


def said_until_killed(process: subprocess.Popen[str], rng: random.Random) -> Iterator[int]:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(rng.uniform(0, 0.15))
    process.send_signal(signal.SIGKILL)
    for line in process.stdout:
        if line.endswith("\n"):
            yield int(line)
    process.stdout.close()
    process.wait()


def test_sigkill_at_any_moment_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    rng, path, wanted = random.Random(11), tmp_path / "a", 3000
    create(path, wanted).close()
    told: set[int] = set()
    for _ in range(4):
        told |= set(said_until_killed(child(path), rng))
        assert told <= Run.open(path).done
    assert told
    finish(path)
    assert [e.id for e in Run.open(path).episodes()] == list(range(wanted))
    sample = rng.sample(range(wanted), 50)
    assert all(Run.open(path).episode(n).line() == episode(n).line() for n in sample[:5])
    assert {episode(n).line() for n in sample} <= recorded(path)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limit here")
def test_a_real_limit_on_the_file_cuts_no_line(tmp_path: Path, whole: list[str]) -> None:
    path = tmp_path / "a"
    create(path).close()
    out, _ = child(path, limit=len("".join(whole[:10])) + 300).communicate(timeout=60)
    assert "the disk is full" in out.splitlines()[-1]
    assert "10 of 40 episodes kept" in out.splitlines()[-1]
    assert recorded(path) == set(whole[:10])
    finish(path)
    assert recorded(path) == set(whole)


def test_a_file_is_written_whole_or_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_whole(path, "before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, step, full)
            with pytest.raises(MootError, match=r"result.json: the disk is full"):
                write_whole(path, "after")
        assert path.read_text() == "before"
    write_whole(path, "after")
    assert path.read_text() == "after"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
