"""What a report is made of, without a browser: data, curves, the page's policy, the server, the commands."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import math
import re
import sys
import threading
import tomllib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot import simulate
from moot.environments import WORLDS, Environment, Episode, Solution
from moot.environments.records import EPISODES, Run
from moot.evaluation import gathered as gathering
from moot.evaluation.dialogue import dialogue, frontier, nash_point
from moot.evaluation.gathered import Gathered, curve, packed
from moot.evaluation.markup import MARK, PAGE, PLAY, REPORT, policy, quoted
from moot.evaluation.report import document, page, report
from moot.evaluation.sources import Source, sources
from moot.evaluation.training import training
from moot.evaluation.words import summary
from moot.evaluation.written import known, written
from moot.page_seat import PageSeat, canonical
from moot.protocols import MootError, Reply
from moot.terminal import tell
from moot.tournament import crossplay
from moot.viewer import Viewer

ROOT = Path(__file__).parents[1]


def unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def solved(episode: Episode) -> Solution:
    return WORLDS[episode.scenario.world].solve(episode.scenario)


def haggle(*replies: Reply | dict[str, int], episode: int = 0) -> Episode:
    """Two balls: each is worth 1 to ann and 3 to bob. A mapping is an offer: what its sender takes."""
    scenario = WORLDS["item_division"].Scenario.model_validate(
        {
            "world": "item_division",
            "protocol": {"name": "alternating_offers", "deadline": 6},
            "items": {"ball": 4},
            "roles": {"ann": {"values": {"ball": 1}}, "bob": {"values": {"ball": 3}}},
        }
    )
    table = Environment(scenario, episode=episode)
    for reply in replies:
        offer = reply if isinstance(reply, Reply) else Reply(act="propose", content={"take": reply})
        table.step(offer)
    return table.episode()


ACCEPT, LEAVE = Reply(act="accept-proposal"), Reply(act="cancel")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "linear"
    return simulate("deal_or_no_deal", agents={"*": "scripted:linear"}, episodes=70, out=path).path


def test_what_was_won_and_lost_is_told_at_the_right_turn() -> None:
    # To bob: 3, then 9; he leaves. To ann: 0 (nothing won), then 1.
    talk = haggle({"ball": 3}, {"ball": 4}, {"ball": 1}, {"ball": 3}, LEAVE)
    data = dialogue(talk, solved(talk))
    turns = data["turns"]
    assert turns[0]["worth"] == {"ann": 3, "bob": 3}
    assert turns[0]["won"] == {"seat": "bob", "points": 3}
    assert "won" not in turns[1]
    assert turns[2]["won"] == {"seat": "bob", "points": 6}
    assert turns[3]["won"] == {"seat": "ann", "points": 1}
    assert turns[3]["lost"] == {"seat": "bob", "points": 9}  # bob's answer to the offer of 9
    assert turns[4]["lost"] == {"seat": "ann", "points": 1}
    assert (data["swing"], data["swung"]) == (3, 9)


def test_who_takes_the_best_offer_loses_nothing() -> None:
    talk = haggle({"ball": 3}, {"ball": 1}, ACCEPT)
    data = dialogue(talk, solved(talk))
    assert not any("lost" in t for t in data["turns"])
    assert data["swing"] == 0  # both offers were worth 3 more to who got them: the first of them


def test_a_dialogue_holds_what_was_said_and_the_secrets_of_each_seat() -> None:
    bad = Reply(raw='{"act": "propose", "content": {"take": {"ball": 9}}, "text": "all"}')
    talk = haggle(bad, Reply(act="inform", text="hello"), {"ball": 4}, ACCEPT)
    data = dialogue(talk, solved(talk))
    json.dumps(data)
    illegal, hello, offer, _ = data["turns"]
    assert illegal["error"]["kind"] == "bad-content"
    assert illegal["raw"] == bad.raw
    assert hello["text"] == "hello"
    assert offer["content"] == {"take": {"ball": 4}}
    assert [s["private"]["values"] for s in data["seats"]] == [{"ball": 1}, {"ball": 3}]
    assert [s["points"] for s in data["seats"]] == [0, 12]
    assert data["nash"] == [2, 6]
    assert data["frontier"][0] == [0, 12]
    assert data["best"] == 12


def test_the_frontier_of_payments_is_a_line_with_the_even_split_on_it() -> None:
    paid = Solution(disagreement=(1, 0), frontier=(), transfer=True, max_joint=7, max_nash=9)
    assert frontier(paid) == [[1, 6], [7, 0]]
    assert nash_point(paid) == [4, 3]
    nothing = paid.model_copy(update={"max_joint": 1})
    assert frontier(nothing) == []
    assert nash_point(nothing) is None


def test_what_nobody_knows_is_null_and_never_a_bare_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    talk = haggle({"ball": 3}, ACCEPT)
    for paid in (True, False):
        unknown = Solution(
            disagreement=(0, 0), frontier=(), transfer=paid, max_joint=math.inf, max_nash=math.inf
        )
        data = dialogue(talk, unknown)
        assert (data["best"], data["frontier"], data["nash"]) == (None, [], None)
    value = {"a": [math.inf, (1.5, math.nan)], "b": {"c": -math.inf}, "d": "NaN"}
    want = {"a": [None, [1.5, None]], "b": {"c": None}, "d": "NaN"}
    assert known(value) == want
    for text in (written(value), written(value, indent=1, ensure_ascii=False), quoted(value)):
        assert json.loads(text, parse_constant=pytest.fail) == want
    assert unpacked(packed(value)) == want
    tell(value)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == want


def test_a_coach_is_told_apart_from_the_seats() -> None:
    scenario = haggle(LEAVE).scenario
    coach = {"coach": {"of": "bob", "brief": "Be brief."}}
    table = Environment(type(scenario).model_validate({**scenario.model_dump(), **coach}))
    for reply in (Reply(act="inform"), Reply(act="inform", text="Ask for all."), LEAVE):
        table.step(reply)
    data = dialogue(table.episode(), None)
    assert [s["name"] for s in data["seats"]] == ["ann", "bob"]
    assert data["coach"] == {"name": "coach", "of": "bob", "brief": "Be brief.", "spec": ""}
    assert [t["agent"] for t in data["turns"]] == ["ann", "coach", "bob"]
    assert "coach" not in dialogue(haggle(LEAVE), None)


def test_a_long_frontier_is_thinned_and_keeps_its_ends() -> None:
    points = tuple((float(i), float(500 - i)) for i in range(501))
    long = Solution(disagreement=(0, 0), frontier=points, max_joint=500, max_nash=62500)
    thin = frontier(long)
    assert len(thin) == 41
    assert (thin[0], thin[-1]) == ([0, 500], [500, 0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(-5, 5)), max_size=300))
def test_groups_of_a_curve_hold_every_episode_once(pairs: list[tuple[float, float]]) -> None:
    groups = curve(pairs)
    assert sum(n for *_, n in groups) == len(pairs)
    assert len(groups) <= gathering.GROUPS
    xs = [x for x, *_ in groups]
    assert xs == sorted(xs)
    for _, y, low, high, _ in groups:
        assert low <= y <= high


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_embedded_data_cannot_end_its_element_and_come_back_whole(value: Any) -> None:
    text = quoted(value)
    assert text.isascii()
    assert not set(text) & set("<>&")
    assert json.loads(text) == value
    assert unpacked(packed(value)) == value


def test_half_a_surrogate_pair_and_line_separators_survive() -> None:
    value = "a\ud800b\u2028c</script>"
    assert json.loads(quoted(value)) == value
    assert unpacked(packed(value)) == value


def test_pages_hold_every_dialogue_in_the_order_of_the_index(run: Path) -> None:
    (source,) = sources([run])
    assert source.refresh()
    (found,) = source.runs.values()
    data, index = found.data(), unpacked(found.index())
    told = [d for i in range(found.pages) for d in unpacked(found.page(i))]
    assert (data["episodes"], data["pages"], len(told)) == (70, 2, 70)
    assert [d["id"] for d in told] == [row[0] for row in index]
    for row, d in zip(index, told, strict=True):
        assert row[2] == d["ended"]
        assert row[4] == [s["points"] for s in d["seats"]]
        assert row[5] == sum("act" in t for t in d["turns"])
    assert sum(n for *_, n in data["points"]) == 70
    assert sum(n for _, n in data["messages"]) == 70
    assert data["seats"] == ["ann", "bob"]
    scores = {s["name"]: s for s in data["scores"]}
    assert scores["completion_rate"]["n"] == 70


def test_a_scatter_of_too_many_points_is_told_in_cells(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MOST_POINTS", 5)
    found = Gathered("x", {})
    for episode in Run.open(run).episodes():
        found.add(episode)
    data = found.data()
    assert sum(n for *_, n in data["points"]) == 70
    width = data["cell"]
    assert all(w > 0 for w in width)
    for row in unpacked(found.index()):
        assert any(
            all(abs(u - c) <= w + 1e-9 for u, c, w in zip(row[4], cell, width, strict=False))
            for cell in data["points"]
        )


def test_the_summary_in_words(run: Path) -> None:
    (source,) = sources([run])
    source.refresh()
    said = " ".join(summary(source.runs["linear"]))
    assert said.startswith(
        "70 dialogues of deal_or_no_deal (item division), played by scripted:linear."
    )
    assert "completed the task" in said
    assert "No reply broke the rules." in said
    talk = haggle(Reply(error="its server is gone"))
    one = Gathered("one", {"ann": "nano", "bob": "human"}, wanted=3)
    one.add(talk)
    said = " ".join(summary(one))
    assert said.startswith(
        "1 of 3 dialogues so far of scenario (item division), played by nano as ann"
    )
    assert "1 were ended by an agent's own program" in said


def test_the_policy_lets_this_script_run_and_no_other(run: Path) -> None:
    (source,) = sources([run])
    source.refresh()
    text = page([source])
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(script) == len(style) == 1
    for part, kind in ((script[0], "script-src"), (style[0], "style-src")):
        sha = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{kind} 'sha256-{sha}'" in text
    assert "default-src 'none'" in text
    assert "connect-src 'none'" in text
    assert "connect-src 'self'" in policy("", "", live=True)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert not re.search(r"\sstyle\s*=|\son\w+\s*=", text.split("<script", 1)[0])


def test_the_page_never_reads_text_as_html() -> None:
    for name in {*REPORT, *PLAY}:
        code = (PAGE / name).read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                    "new Function", "srcdoc", "DOMParser", "createContextualFragment"):  # fmt: skip
            assert way not in code, f"{name}: {way}"
        assert "</script" not in code


def test_a_wheel_carries_the_page() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    carried = {p.name for pattern in data["moot"] for p in (ROOT / "moot").glob(pattern)}
    assert {p.name for p in PAGE.iterdir()} <= carried
    used = {*REPORT, *PLAY, "report.html", "play.html", "report.css"}
    assert used == {p.name for p in PAGE.iterdir()}


def test_a_report_writes_over_a_report_and_nothing_else(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "page.html"
    assert report([run], out) == out
    first = out.read_bytes()
    report([run], out)
    assert out.read_bytes() == first
    assert MARK.encode() in first
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>")
    for bad, part in ((mine, "no report"), (tmp_path, "folder")):
        with pytest.raises(MootError, match=part):
            report([run], bad)
    with pytest.raises(MootError, match="does not exist"):
        report([tmp_path / "nowhere"], out)
    with pytest.raises(MootError, match="twice"):
        report([run, f"{run}/../{run.name}"], out)
    with pytest.raises(MootError, match=r"no run"):
        report([tmp_path], out)


def test_two_runs_are_compared_and_told_apart_by_name(run: Path, tmp_path: Path) -> None:
    other = simulate("deal_or_no_deal", agents={"*": "scripted:random"}, episodes=70,
                     out=tmp_path / "linear").path  # fmt: skip
    found = sources([run, other])
    titles = [s.title for s in found]
    assert titles == [f"{run.parent.name}/linear", f"{tmp_path.name}/linear"]
    for source in found:
        source.refresh()
    (comparison,) = document(found)["comparisons"]
    assert (comparison["one"], comparison["two"]) == tuple(titles)
    assert comparison["paired"]
    assert comparison["metrics"]["utility"]["told_apart"]


def test_a_growing_run_is_read_line_by_line(run: Path, tmp_path: Path) -> None:
    lines = (run / EPISODES).read_bytes().splitlines(keepends=True)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "run.json").write_bytes((run / "run.json").read_bytes())
    source = Source(copy, "copy")
    assert source.refresh()  # nothing played yet, but the run is there
    with open(copy / EPISODES, "ab") as file:
        file.write(b"".join(lines[:3]) + lines[3][:50])
        file.flush()
        assert source.refresh()
        assert len(source.runs["copy"]) == 3
        assert not source.refresh()
        file.write(lines[3][50:] + lines[4])
        file.flush()
        assert source.refresh()
    assert [row[0] for row in unpacked(source.runs["copy"].index())] == [
        json.loads(line)["id"] for line in lines[:5]
    ]
    with open(copy / EPISODES, "ab") as file:
        file.write(b"{}\n")
    with pytest.raises(MootError, match="line 6"):
        source.refresh()


def fine_tuning(path: Path, run: Path) -> Path:
    """The files of a fine-tuning of two rounds, with the games of one client."""
    for way in ("local", "federated", "centralised"):
        (path / way).mkdir(parents=True)
        names = ["all"] if way == "centralised" else ["ada", "ben"]
        rows = [
            {
                "number": i,
                "before": dict.fromkeys(names, 3.0 - i),
                "after": {n: 2.0 - i + 0.5 * (n == "ben") for n in names},
                "error": 0.5 / (i + 1),
                "size": 2.0,
                "rank": 3.0,
                "bytes_up": 10,
                "bytes_down": 20,
                "tokens": 7,
                "seconds": {"train": 1.0},
                "aside": [],
                "dropped": ["ben"] if i else [],
            }
            for i in range(2)
        ]
        (path / way / "rounds.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tuning = {"base": "nano", "adapter": {"method": "lora"}, "clients": {"ada": {}, "ben": {}},
              "federation": {"rule": "fedavg", "rounds": 2}, "partition": None}  # fmt: skip
    (path / "tuning.json").write_text(json.dumps({"tuning": tuning}))
    for way in ("federated", "base"):
        target = path / "play" / way / "ada"
        target.mkdir(parents=True)
        for name in ("run.json", EPISODES):
            (target / name).write_bytes((run / name).read_bytes())
    return path


def test_a_fine_tuning_has_curves_and_its_games(run: Path, tmp_path: Path) -> None:
    folder = fine_tuning(tmp_path / "tuned", run)
    told = training(folder, "tuned")
    assert told["loss"]["federated"]["mean"] == [3.0, 2.25, 1.25]
    assert told["loss"]["federated"]["high"] == [3.0, 2.5, 1.5]
    assert told["loss"]["centralised"]["clients"] == {"all": [3.0, 2.0, 1.0]}
    assert [r["relative"] for r in told["federated"]] == [0.25, 0.125]
    assert told["federated"][1]["dropped"] == ["ben"]
    assert told["base_loss"] == 3.0
    (source,) = sources([folder])
    source.refresh()
    assert list(source.runs) == ["tuned/base", "tuned/federated"]
    data = source.runs["tuned/federated"].data()
    assert (data["way"], data["names"], data["episodes"]) == ("federated", ["ada"], 70)
    (folder / "local" / "rounds.jsonl").write_text("{")
    with pytest.raises(MootError, match="damaged"):
        source.refresh()


def test_a_cross_play_is_one_set_of_dialogues_with_its_matrix(tmp_path: Path) -> None:
    agents = {"a": "scripted:open", "b": "scripted:random"}
    crossplay("deal_or_no_deal", agents, episodes=4, out=tmp_path / "cross")
    (source,) = sources([tmp_path / "cross"])
    source.refresh()
    (found,) = source.runs.values()
    assert found.data()["names"] == ["a--a", "a--b", "b--a", "b--b"]
    assert source.crossing is not None
    assert len(source.crossing["cells"]) == 4


def test_a_folder_of_runs_is_told_apart_by_its_folders(run: Path, tmp_path: Path) -> None:
    for name in ("one/x/0-aa", "one/x/1-bb", "two/x/0-cc"):
        target = tmp_path / "suite" / name
        target.mkdir(parents=True)
        for file in ("run.json", EPISODES):
            (target / file).write_bytes((run / file).read_bytes())
    (source,) = sources([tmp_path / "suite"])
    source.refresh()
    assert {t: len(g) for t, g in source.runs.items()} == {"one/x": 140, "two/x": 70}


@pytest.fixture
def viewer(run: Path) -> Iterator[Viewer]:
    found = Viewer([run])
    thread = threading.Thread(
        target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def got(viewer: Viewer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_server_gives_the_page_its_data_and_nothing_else(viewer: Viewer) -> None:
    assert viewer.address.startswith("http://127.0.0.1:")
    status, body = got(viewer, "/")
    assert status == 200
    assert b'data-mode="live"' in body
    status, body = got(viewer, "/data?have=")
    answer = json.loads(body)
    assert status == 200
    assert answer["report"]["runs"][0]["episodes"] == 70
    assert len(unpacked(answer["indexes"][0])) == 70
    assert got(viewer, f"/data?have={answer['version']}") == (204, b"")
    status, body = got(viewer, "/page/0/1")
    assert (status, len(unpacked(body.decode()))) == (200, 6)
    for path in ("/page/0/2", "/page/7/0", "/page/-1/0", "/run.json", "/../run.json", "/data/x"):
        assert got(viewer, path)[0] == 404
    assert got(viewer, "/", Host="evil.example")[0] == 403
    assert got(viewer, "/", "POST")[0] == 501


def test_a_taken_port_is_one_line(viewer: Viewer, run: Path) -> None:
    with pytest.raises(MootError, match=f"port {viewer.server_port}"):
        Viewer([run], viewer.server_port)


def test_the_form_for_a_person_takes_a_reply_from_its_own_page_alone() -> None:
    server = PageSeat()
    try:
        talk = Environment(haggle(LEAVE).scenario)
        server.ask(7, talk.observe())
        state = json.loads(server.state("") or "")
        assert state["worth"]['{"take":{"ball":4}}'] == 4
        assert server.state(str(state["version"])) is None
        reply = json.dumps({"version": state["version"], "act": "cancel", "text": "no"})
        plain = {"Content-Type": "application/json"}
        assert post(server, reply, {"Content-Type": "text/plain"}) == 400
        assert post(server, reply, {**plain, "Origin": "http://evil.example"}) == 403
        assert post(server, "[]", plain) == 400
        assert post(server, '{"act": 1}', plain) == 400
        assert server.poll(0) == []
        assert post(server, reply, {**plain, "Origin": server.address[:-1]}) == 204
        ((ticket, said),) = server.poll(5)
        assert (ticket, said.act, said.text) == (7, "cancel", "no")
        assert post(server, reply, plain) == 409
    finally:
        server._fetched = server._version
        server.close()


def post(server: PageSeat, body: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request("POST", "/reply", body.encode(), headers)
    status = connection.getresponse().status
    connection.close()
    return status


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.integers(-99, 99) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    )
)
def test_a_content_is_written_as_the_page_writes_it(value: Any) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical({"b": 2.0, "a": [1.5]}) == '{"a":[1.5],"b":2}'


Typed = Callable[..., tuple[int, str, str]]


def test_the_command_writes_a_report(run: Path, typed: Typed) -> None:
    status, out, _ = typed("report", str(run))
    assert (status, "report.html" in out) == (0, True)
    status, out, _ = typed("report", str(run), "--out", "b.html", "--json")
    assert json.loads(out) == {"report": "b.html", "bytes": Path("b.html").stat().st_size}
    status, _, err = typed("report", "nowhere")
    assert (status, len(err.strip().splitlines())) == (2, 1)


@pytest.mark.parametrize(
    "seat", [[], ["--seat", "bob"], ["--seat", "bob=human", "--seat", "ann=scripted:open"]]
)
def test_a_person_plays_one_game(
    seat: list[str], tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("quit\n"))
    more = (
        [] if len(seat) == 4 else ["--seat", "ann=scripted:open" if seat else "bob=scripted:open"]
    )
    status, out, err = typed("play", "camp_site", *seat, *more, "--out", str(tmp_path / "run"))
    assert status == 0
    assert "walked away" in out
    assert f"{'bob' if seat else 'ann'} (you) has" in out
    assert "seed" in err
    (episode,) = Run.open(tmp_path / "run").episodes()
    assert "human" in episode.seats.values()


@pytest.mark.parametrize(
    ("seats", "part"),
    [
        (["--seat", "=x"], "SEAT=SPEC"),
        (["--seat", "ann", "--seat", "ann=nano"], "twice"),
        (["--seat", "ann=scripted:open", "--seat", "bob=scripted:open"], "no seat is left"),
        (["--seat", "anna"], "did you mean 'ann'"),
        (["--seat", "ann", "--seat", "bob", "--page"], "one person plays on the page"),
    ],
)
def test_a_wrong_seat_is_one_line(
    seats: list[str], part: str, tmp_path: Path, typed: Typed
) -> None:
    status, _, err = typed("play", "camp_site", *seats)
    assert status == 2
    assert part in err
    assert not (tmp_path / "runs").exists()
