"""The report in a real browser: it opens offline, filters, reads, charts, follows, and runs nobody's text.

Wants Chromium (`apt-get install chromium`, or `playwright install chromium`).
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from moot import simulate
from moot.environments import WORLDS, Environment, Episode
from moot.environments.records import EPISODES, Run
from moot.evaluation.gathered import packed
from moot.evaluation.markup import quoted, shell
from moot.evaluation.report import report
from moot.evaluation.sources import sources
from moot.page_seat import PageSeat
from moot.protocols import Act, Message, Reply
from moot.simulation import Simulation
from moot.viewer import Viewer

pytestmark = pytest.mark.browser
NAMES = ("chromium", "chromium-browser", "google-chrome")
PWNED = "document.title = 'pwned'"
ATTACKS = (
    f"</script><script>{PWNED}</script>",
    f'<img src=x onerror="{PWNED}">',
    f"<svg onload=\"{PWNED}\"><a href=\"javascript:{PWNED}\">x</a></svg>",
    f"\u2028{PWNED}//{{{{SCRIPT}}}}",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        try:
            browser = playwright.chromium.launch(executable_path=path, args=root)
        except Error as e:
            pytest.skip(f"no Chromium to open the page with: {e.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A page without a network that fails the test on any error in its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: errors.append(r.url) if r.url.startswith("http") else None)
    yield page
    context.close()
    assert errors == []


def visit(tab: Page, file: Path, part: str = "") -> None:
    tab.goto("about:blank")
    tab.goto(f"file://{file}{part}")
    expect(tab.locator("html")).to_have_attribute("data-ready", "yes")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("linear", "random"):
        simulate(
            "deal_or_no_deal", agents={"*": f"scripted:{name}"}, episodes=80, out=folder / name
        )
    return report([folder / "linear", folder / "random"], folder / "report.html")


def test_it_opens_offline_and_shows_words_scores_and_charts(tab: Page, two: Path) -> None:
    visit(tab, two)
    expect(tab.locator("#overview")).to_contain_text("80 dialogues of deal_or_no_deal")
    expect(tab.locator("#overview")).to_contain_text("completion rate")
    expect(tab.locator("#overview")).to_contain_text("linear against random")
    charts = tab.locator("figure.chart svg")
    expect(charts).to_have_count(4)
    assert tab.locator("figure.chart svg rect.fill").count() > 5
    assert tab.locator("svg polyline.frontier").count() > 5
    tab.locator("svg rect.fill").first.hover()
    expect(tab.locator("#tip")).to_contain_text("dialogue")
    tab.locator("figure.chart summary").first.click()
    expect(tab.locator("figure.chart table").first).to_be_visible()


def test_filters_search_and_order(tab: Page, two: Path) -> None:
    visit(tab, two, "#dialogues")
    count = tab.locator("#count")
    expect(count).to_have_text("80 dialogues")
    tab.select_option("#run", "1")
    tab.select_option("#ended", "not")
    expect(count).to_contain_text(" of 80 dialogues")
    assert tab.locator(".row .end").evaluate_all(
        "rows => rows.every(r => r.textContent !== 'agreed')"
    )
    tab.select_option("#ended", "")
    tab.select_option("#sort", "most points")
    first = tab.locator(".row .right").first.inner_text()
    assert sum(map(float, first.split(" · "))) >= 15
    tab.fill("#search", "nobody ever said this")
    expect(count).to_have_text("0 of 80 dialogues")
    talks = [
        " ".join(m.text for m in e.messages).lower()
        for e in Run.open(two.parent / "random").episodes()
    ]
    spoken = {word for talk in talks for word in re.findall(r"[a-z]{6,}", talk)}
    spoken -= {"accept", "agreed", "propose", "proposal", "inform", "reject", "cancel"}  # acts, too
    found = {word: sum(word in talk for talk in talks) for word in sorted(spoken)}
    word = min(found, key=lambda w: abs(found[w] - 40))
    tab.fill("#search", word)
    expect(count).to_have_text(f"{found[word]} of 80 dialogues")
    assert tab.locator(".row").count() > 3


def test_a_dialogue_is_read_by_keyboard(tab: Page, two: Path) -> None:
    visit(tab, two)
    tab.keyboard.press("j")
    expect(tab.locator("h2", has_text="Dialogue 0")).to_be_visible()
    tab.keyboard.press("j")
    expect(tab.locator("h2", has_text="Dialogue 1")).to_be_visible()
    expect(tab.locator(".row[aria-current]")).to_contain_text("1 ")
    expect(tab.locator(".bubble").first).to_contain_text("take")
    assert "values" not in tab.locator(".seat").first.inner_text()
    tab.keyboard.press("p")
    expect(tab.locator(".seat").first).to_contain_text("values")
    expect(tab.locator(".talk svg .nash")).to_have_count(1)
    tab.keyboard.press("ArrowDown")
    expect(tab.locator("#turn-0")).to_have_class(re.compile(r"\bat\b"))
    tab.keyboard.press("m")
    expect(tab.locator(".turn.at")).to_contain_text(re.compile("more offered|let"))
    tab.keyboard.press("k")
    expect(tab.locator("h2", has_text="Dialogue 0")).to_be_visible()
    tab.keyboard.press("/")
    expect(tab.locator("#search")).to_be_focused()
    tab.keyboard.press("Escape")
    tab.keyboard.press("?")
    expect(tab.locator("#keys")).to_contain_text("Keyboard")
    tab.keyboard.press("Escape")
    tab.keyboard.press("Escape")
    expect(tab.locator("#overview")).to_be_visible()


def test_a_circle_and_an_ending_lead_to_their_dialogues(tab: Page, two: Path) -> None:
    visit(tab, two)
    circle = tab.locator("svg circle.pick").last
    circle.hover()
    told = tab.locator("#tip").inner_text()
    wanted = re.search(r"([\d,]+) dialogue", told)
    assert wanted
    circle.click()
    expect(tab.locator("#count")).to_contain_text(f"{wanted[1]} of 80 dialogues")
    tab.locator("#count .chip").click()
    expect(tab.locator("#count")).to_have_text("80 dialogues")
    tab.keyboard.press("o")
    tab.locator(".run-words button", has_text="agreed").first.click()
    expect(tab.locator("#ended")).to_have_value("agreed")


def test_light_dark_and_a_phone(tab: Page, two: Path) -> None:
    visit(tab, two)
    tab.emulate_media(color_scheme="light")
    light = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    tab.keyboard.press("t")
    assert tab.evaluate("() => getComputedStyle(document.body).backgroundColor") != light
    tab.set_viewport_size({"width": 390, "height": 844})
    for part in ("#overview", "#dialogues", "#d/0/3"):
        visit(tab, two, part)
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= 390
    expect(tab.locator(".bubble").first).to_be_visible()
    expect(tab.locator(".list")).to_be_hidden()
    tab.locator(".back").click()
    expect(tab.locator(".row").first).to_be_visible()


def test_ten_thousand_dialogues_open_in_three_seconds(tab: Page, tmp_path: Path, two: Path) -> None:
    """The same 64 dialogues over and over: what the browser has to unpack is as much as of a real run."""
    (source,) = sources([two.parent / "random"])
    source.refresh()
    (run,) = source.runs.values()
    rows, repeats = run._index[:64], 157
    run._index = [[64 * i + row[0], *row[1:]] for i in range(repeats) for row in rows]
    data = {"title": "many", "trainings": [], "crossings": [], "comparisons": [],
            "runs": [{**run.data(), "words": [], "pages": repeats}]}  # fmt: skip
    blocks = [f'<script type="application/json" id="report">{quoted(data)}</script>',
              f'<script type="text/plain" id="index-0">{run.index()}</script>']  # fmt: skip
    # A page apart could not be shared by compression, so each is written out.
    blocks += [
        f'<script type="text/plain" id="page-0-{i}">{run.page(0)}</script>' for i in range(repeats)
    ]
    file = tmp_path / "many.html"
    file.write_text(shell("many", "\n".join(blocks)), encoding="utf-8")
    took: list[float] = []
    for _ in range(3):
        visit(tab, file, "#dialogues")
        took.append(float(tab.evaluate("() => performance.now()")))
    assert min(took) < 3000, took
    expect(tab.locator("#count")).to_have_text("10,048 dialogues")
    tab.locator("#rows").evaluate("node => { node.scrollTop = node.scrollHeight; }")
    expect(tab.locator(".row").last).to_contain_text("message")
    assert tab.locator(".row").count() < 60
    tab.fill("#search", "nobody ever said this")
    expect(tab.locator("#count")).to_have_text("0 of 10,048 dialogues", timeout=30_000)


def hostile(number: int, attack: str, kind: str) -> Episode:
    """An episode that carries an attack wherever a scenario or a model can put text."""
    scenario = WORLDS["item_division"].Scenario.model_validate(
        {
            "name": f"name {attack}",
            "world": "item_division",
            "protocol": {"name": "alternating_offers", "deadline": 6},
            "brief": attack,
            "items": {attack: 2},
            "roles": {
                f"ann {attack}": {"values": {attack: 2}, "brief": attack},
                "bob": {"values": {attack: 1}},
            },
        }
    )
    table = Environment(scenario, episode=number, seats={"bob": attack})
    table.step(Reply(raw=attack * 3, thought=attack, completion_tokens=3))
    table.step(Reply(act="inform", text=attack))
    table.step(Reply(act="propose", content={"take": {attack: 1}}, text=kind))
    table.step(Reply(act="accept-proposal", text=attack))
    episode = table.episode()
    first, second, *rest = episode.turns
    notice = Message(
        id=0, conversation="x", sender="world", receivers=("bob",), act=Act.INFORM, text=attack
    )
    return episode.model_copy(
        update={
            "turns": (first, second.model_copy(update={"told": (notice,)}), *rest),
            "why": attack,
        }
    )


def test_nobodys_text_is_executed(
    tab: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 'xmlns="http://www.w3.org/2000/svg" width="9" height="9"'
    svg = f'<svg {size} onload="{PWNED}"><script>{PWNED}</script></svg>'
    monkeypatch.setattr(WORLDS["item_division"], "picture", lambda self: svg, raising=False)
    path = tmp_path / f"run{ATTACKS[1].replace('/', '')}"
    with Run.create(
        path, name=ATTACKS[0], source={}, agents={"*": ATTACKS[1]}, seed=0, episodes=4
    ) as run:
        for number, attack in enumerate(ATTACKS):
            run.append(hostile(number, attack, "plain"))
    file = report([path], tmp_path / "report.html")
    visit(tab, file)
    title = tab.title()
    for number, attack in enumerate(ATTACKS):
        visit(tab, file, f"#d/0/{number}")
        expect(tab.locator(".talk h2")).to_have_text(f"Dialogue {number}")
        tab.keyboard.press("p")
        expect(tab.locator(".bubble").nth(1)).to_contain_text(attack.strip())
        expect(tab.locator(".turn.notice")).to_contain_text(attack.strip())
        expect(tab.locator(".scene img")).to_have_count(1)
        assert (
            tab.locator(
                "main script, main a[href^=javascript], main [onerror], main [onload]"
            ).count()
            == 0
        )
        tab.keyboard.press("p")
    tab.fill("#search", ATTACKS[0])
    expect(tab.locator("#count")).to_contain_text("1 of 4")
    assert tab.title() == title != "pwned"


def balls(offers: list[int], coach: bool = False) -> Episode:
    """Ten balls, each worth 1 to both; every offer is how many its sender takes, the last is accepted."""
    fields: dict[str, Any] = {
        "world": "item_division",
        "protocol": {"name": "alternating_offers", "deadline": 30},
        "items": {"ball": 10},
        "roles": {"ann": {"values": {"ball": 1}}, "bob": {"values": {"ball": 1}}},
    }
    if coach:
        fields["coach"] = {"of": "bob", "brief": "See that they agree."}
    table = Environment(WORLDS["item_division"].Scenario.model_validate(fields))
    for reply in [*({"take": {"ball": n}} for n in offers), None]:
        if table.speaker == "coach":
            table.step(Reply(act="inform", text="Be bold."))
        if reply is None:
            table.step(Reply(act="accept-proposal"))
        else:
            table.step(Reply(act="propose", content=reply))
    return table.episode()


def shown(tab: Page, folder: Path, *episodes: Episode) -> None:
    """The report of these episodes, open at the first dialogue with its private values."""
    path = folder / "run"
    with Run.create(
        path, name="x", source={}, agents={"*": "x"}, seed=0, episodes=len(episodes)
    ) as run:
        for episode in episodes:
            run.append(episode)
    visit(tab, report([path], folder / "report.html"), "#d/0/0")
    expect(tab.locator(".talk h2")).to_be_visible()
    tab.keyboard.press("p")


CENTRES = """() => {
  const middle = (node) => { const b = node.getBBox(); return [b.x + b.width / 2, b.y + b.height / 2]; };
  const star = document.querySelector("path.star").getAttribute("d").match(/-?[\\d.]+/g).map(Number);
  const axis = (i) => star.filter((_, k) => k % 2 === i).reduce((a, b) => a + b) / 10;
  return { tokens: [...document.querySelectorAll("circle.token")].map(middle), star: [axis(0), axis(1)] };
}"""


def test_equal_offers_and_the_star_stand_at_their_value(tab: Page, tmp_path: Path) -> None:
    shown(tab, tmp_path, balls([9, 7, 9, 7, 9, 1, 9]))
    found = tab.evaluate(CENTRES)
    (x1, y1), (x2, y2) = found["tokens"]  # to ann and bob: 9 and 1, 3 and 7
    also = tab.locator("svg text.also")
    assert also.evaluate_all("nodes => nodes.map(n => n.textContent)") == ["3, 5, 6, 7", "4"]
    assert found["star"] == pytest.approx([x1, y1], abs=1)
    assert x2 < x1 - 30
    assert y2 < y1 - 30


def test_a_coach_has_a_colour_a_card_and_whispers(tab: Page, tmp_path: Path) -> None:
    shown(tab, tmp_path, balls([6, 5], coach=True))
    expect(tab.locator("#coach")).to_contain_text("coachof bob")
    expect(tab.locator("#coach")).to_contain_text("See that they agree.")
    whisper = tab.locator(".turn.whisper")
    expect(whisper).to_have_count(1)
    expect(whisper).to_contain_text("whispers to bob")
    expect(whisper).to_contain_text("Be bold.")
    expect(whisper).to_have_class(re.compile("second"))
    tones = tab.locator(".turn .dot").evaluate_all(
        "dots => [...new Set(dots.map(d => getComputedStyle(d).backgroundColor))]"
    )
    assert len(tones) == 3


def test_an_unknown_best_a_map_and_what_is_deep_are_shown(tab: Page, tmp_path: Path) -> None:
    names = ("kitchen", "prisoners", "tic_tac_toe")
    for name in names:
        simulate(name, agents={"*": "scripted:random"}, episodes=1, out=tmp_path / name)
    file = report([tmp_path / name for name in names], tmp_path / "report.html")
    visit(tab, file, "#d/2/0")
    expect(tab.locator(".close")).to_contain_text("together is not known")
    visit(tab, file, "#d/0/0")
    assert tab.locator("pre.map").inner_text() == "XXPXX\nO  2O\nX1  X\nXDXSX"
    visit(tab, file, "#d/1/0")
    expect(tab.locator(".close")).to_contain_text("at most 6 points")
    fold = tab.locator("details.fold", has_text="points")
    expect(fold.locator(".inner").first).to_be_hidden()
    fold.locator("summary").first.click()
    expect(fold.locator(".inner").first).to_contain_text("defect")


def test_a_script_that_gets_into_the_page_does_not_run(browser: Browser, tmp_path: Path) -> None:
    """The second line of defence: the page's policy, without the first."""
    file = tmp_path / "broken.html"
    data = {"title": "x", "runs": [], "trainings": [], "crossings": [], "comparisons": []}
    file.write_text(
        shell("x", f'<script type="application/json" id="report">{quoted(data)}</script>'
                   f"<script>{PWNED}</script><img src=x onerror=\"{PWNED}\">"), encoding="utf-8"
    )  # fmt: skip
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda m: refused.append(m.text))
    page.goto(f"file://{file}")
    expect(page.locator("html")).to_have_attribute("data-ready", "yes")
    assert page.title() == "x · moot"
    assert any("Content Security Policy" in text for text in refused)
    page.close()


def test_the_served_page_follows_a_run(browser: Browser, two: Path, tmp_path: Path) -> None:
    whole = two.parent / "linear"
    lines = (whole / EPISODES).read_bytes().splitlines(keepends=True)
    copy = tmp_path / "growing"
    copy.mkdir()
    (copy / "run.json").write_bytes((whole / "run.json").read_bytes())
    (copy / EPISODES).write_bytes(b"".join(lines[:70]))
    viewer = Viewer([copy])
    thread = threading.Thread(
        target=viewer.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    try:
        page.goto(f"{viewer.address}#dialogues")
        expect(page.locator("#count")).to_have_text("70 dialogues")
        expect(page.locator("#following")).to_contain_text("70 of 80")
        expect(page.locator(".bubble").first).to_be_visible()
        with open(copy / EPISODES, "ab") as file:
            file.write(b"".join(lines[70:]))
        expect(page.locator("#count")).to_have_text("80 dialogues")
        expect(page.locator("#following")).to_contain_text("all played")
        page.fill("#search", "nobody ever said this")
        expect(page.locator("#count")).to_have_text("0 of 80 dialogues")
    finally:
        page.close()
        viewer.shutdown()
        viewer.server_close()
        thread.join()
    assert errors == []


def test_a_person_plays_on_the_page(browser: Browser, tmp_path: Path) -> None:
    server = PageSeat()
    simulation = Simulation(
        "camp_site",
        agents={"ann": server, "bob": "scripted:open"},
        episodes=1,
        out=tmp_path / "run",
    )
    ended: list[Episode] = []

    def game() -> None:
        for episode in simulation:
            ended.append(episode)
            server.ended(episode, 36.0)

    thread = threading.Thread(target=game, daemon=True)
    thread.start()
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    try:
        page.goto(server.address)
        expect(page.locator(".card")).to_contain_text("Your family is large")
        page.locator(".acts label", has_text="propose").click()
        page.get_by_label("food").fill("9")
        page.locator(".send").click()
        expect(page.locator("form p.lost").last).to_contain_text("food")
        page.get_by_label("food").fill("3")
        expect(page.locator("form")).to_contain_text("worth 15 to you")
        page.locator("#words").fill(ATTACKS[1])
        page.locator(".send").click()
        expect(page.locator(".turn").first).to_contain_text(ATTACKS[1])
        page.locator(".acts label", has_text="cancel").click()
        page.locator(".send").click()
        expect(page.locator("h2")).to_have_text("The game is over")
    finally:
        page.close()
        server.close()
    thread.join(20)
    assert str(ended[0].ended) == "walked-away"
    assert ended[0].turns[0].message is not None
    assert ended[0].turns[0].message.text == ATTACKS[1]
    assert errors == []


def test_unpacking_is_what_packing_made(tab: Page, two: Path) -> None:
    visit(tab, two)
    value = ["é", "😀", {"a": None}, 0.1]
    assert tab.evaluate("text => unpack(text)", packed(value)) == value
