"""Data files become scenarios, and human dialogues become episodes that score like any other."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from moot.environments import WORLDS, Environment, Episode, Scenario
from moot.environments.records import EPISODES
from moot.environments.transcripts import (
    episodes_of,
    is_transcripts,
    load_scenarios,
    load_transcripts,
)
from moot.environments.worlds.item_division import ItemScenario
from moot.environments.worlds.price_bargaining import MAX_PRICES, PriceScenario
from moot.protocols import Act, Ended, MootError, Reply

DATA = Path(__file__).parents[2] / "shared" / "data"
has_data = pytest.mark.skipif(not DATA.exists(), reason="no data folder beside the checkout")

ITEMS: dict[str, Any] = {
    "id": "d-0",
    "scenario": {
        "domain": "item_division",
        "items": ["book", "hat"],
        "counts": {"book": 2, "hat": 1},
        "private": {"A": {"values": {"book": 1, "hat": 8}}, "B": {"values": {"book": 5, "hat": 0}}},
    },
    "agents": ["A", "B"],
    "turns": [
        {"speaker": "A", "text": "the hat for me ?"},
        {"speaker": "B", "text": "deal", "act": ["agree", "small-talk"]},
        {"speaker": "A", "text": "<selection>", "act": "select"},
    ],
    "outcome": {
        "status": "agree",
        "allocation": {"A": {"book": 0, "hat": 1}, "B": {"book": 2, "hat": 0}},
        "scores": {"A": 8, "B": 10},
    },
}
FRIENDS: dict[str, Any] = {
    "id": "f-0",
    "scenario": {
        "domain": "mutual_friend",
        "attributes": ["job"],
        "private": {"A": {"friends": [{"job": "nurse"}]}, "B": {"friends": [{"job": "nurse"}]}},
    },
    "agents": ["A", "B"],
    "turns": [],
    "outcome": {},
}
CAMP: dict[str, Any] = {
    "id": "c-0",
    "scenario": {
        "domain": "campsite_negotiation",
        "counts": {"Food": 3, "Water": 3},
        "walk_away_points": 5,
        "private": {
            "x": {
                "values": {"Water": 5, "Food": 4},
                "priority": {"High": "Water", "Low": "Food"},
                "reasons": {"High": "a hot place", "Low": "we ate"},
            },
            "y": {"values": {"Food": 5, "Water": 4}},
        },
    },
    "agents": ["x", "y"],
    "turns": [
        {"speaker": "y", "text": "hello"},
        {
            "speaker": "y",
            "text": "Submit-Deal",
            "act": "submit_deal",
            "data": {"self": {"Food": 3, "Water": 0}, "other": {"Food": 0, "Water": 3}},
        },
        {"speaker": "x", "text": "Reject-Deal", "act": "reject_deal"},
        {"speaker": "x", "text": "Walk-Away", "act": "walk_away"},
    ],
    "outcome": {"status": "walk_away", "allocation": None, "scores": {"x": 5, "y": 5}},
}
PRICE: dict[str, Any] = {
    "id": "p-0",
    "scenario": {
        "domain": "price_bargaining",
        "item": {"title": "A bicycle", "list_price": 265, "description": ["somebody's words"]},
        "private": {"buyer": {"target": 243}, "seller": {"target": 265}},
    },
    "agents": ["buyer", "seller"],
    "turns": [
        {"speaker": "buyer", "text": "240?"},
        {"speaker": "seller", "text": "", "act": "offer", "data": {"price": 248.5, "sides": ""}},
        {"speaker": "buyer", "text": "", "act": "accept"},
        {"speaker": "seller", "text": "thanks"},
    ],
    "outcome": {"status": "agree", "price": 248.5, "seller_utility": -0.5, "buyer_utility": 0.5},
}


def write(path: Path, *records: Any) -> Path:
    text = "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def changed(record: dict[str, Any], where: str, value: Any = None) -> dict[str, Any]:
    """The record with one field (a dotted path) set, or deleted if no value is given."""
    record = copy.deepcopy(record)
    at: Any = record
    *way, last = where.split(".")
    for step in way:
        at = at[int(step) if isinstance(at, list) else step]
    if value is None:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return record


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_an_item_dialogue(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", ITEMS, "\n", changed(ITEMS, "id", "d-1"))
    first, second = load_transcripts(path)
    assert [(m.sender, m.act, m.text) for m in first.messages] == [
        ("A", Act.INFORM, "the hat for me ?"),
        ("B", Act.INFORM, "deal"),
    ]
    assert first.messages[0].receivers == ("B",)
    assert (first.id, second.id, second.scenario.source) == (0, 1, "d-1")
    assert (first.ended, first.why, first.seats) == (Ended.AGREED, "", {})
    assert first.outcome.utilities == {"A": 8.0, "B": 10.0}
    assert {t.state for t in first.turns} == {""}


def test_a_camp_site_dialogue(tmp_path: Path) -> None:
    (episode,) = load_transcripts(write(tmp_path / "a.jsonl", CAMP))
    assert [m.act for m in episode.messages] == [
        Act.INFORM,
        Act.PROPOSE,
        Act.REJECT_PROPOSAL,
        Act.CANCEL,
    ]
    offer, rejection = episode.messages[1:3]
    assert offer.content is not None
    assert offer.content.model_dump() == {"take": {"Food": 3, "Water": 0}}
    assert (offer.text, rejection.in_reply_to) == ("", offer.id)
    assert (episode.ended, episode.why) == (Ended.WALKED_AWAY, "walk_away")
    assert not episode.outcome.completed
    assert episode.outcome.utilities == {"x": 5.0, "y": 5.0}
    scenario = episode.scenario
    assert isinstance(scenario, ItemScenario)
    assert list(scenario.roles["x"].values) == ["Food", "Water"]
    assert scenario.roles["x"].brief == (
        "Water (high priority): a hot place\nFood (low priority): we ate"
    )
    assert scenario.roles["y"].brief == ""


def test_a_price_dialogue(tmp_path: Path) -> None:
    (episode,) = load_transcripts(write(tmp_path / "a.jsonl", PRICE))
    offer, acceptance = episode.messages[1:3]
    assert offer.content is not None
    assert offer.content.model_dump() == {"price": 248.5}
    assert (acceptance.act, acceptance.in_reply_to) == (Act.ACCEPT_PROPOSAL, offer.id)
    assert episode.outcome.deal == {"price": 248.5}
    assert episode.outcome.utilities == {"buyer": 0.5, "seller": -0.5}
    scenario = episode.scenario
    assert isinstance(scenario, PriceScenario)
    assert {r.reserve for r in scenario.roles.values()} == {254}
    assert (scenario.low, scenario.high, scenario.tick, scenario.list_price) == (0, 266, 2, 265)
    assert "somebody" not in episode.line()


def test_an_agreement_off_the_record_is_completed_and_of_unknown_worth(tmp_path: Path) -> None:
    record = changed(PRICE, "outcome", {"status": "agree", "price": None})
    (episode,) = load_transcripts(write(tmp_path / "a.jsonl", record))
    assert episode.ended is Ended.AGREED
    assert episode.outcome.completed
    assert episode.outcome.utilities == {}


def test_a_price_off_the_record_is_an_offer_without_content(tmp_path: Path) -> None:
    record = changed(PRICE, "turns.1.data", {"price": None, "sides": ""})
    (episode,) = load_transcripts(write(tmp_path / "a.jsonl", record))
    assert (episode.messages[1].act, episode.messages[1].content) == (Act.PROPOSE, None)


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("disagree", Ended.NO_DEAL),
        ("no_agreement", Ended.NO_DEAL),
        ("disconnect", Ended.NO_DEAL),
        ("no_deal", Ended.NO_DEAL),
        ("reject", Ended.NO_DEAL),
        ("quit", Ended.WALKED_AWAY),
    ],
)
def test_no_agreement_is_worth_the_disagreement_point(
    tmp_path: Path, status: str, ended: Ended
) -> None:
    record = changed(ITEMS, "outcome", {"status": status, "allocation": None})
    (episode,) = load_transcripts(write(tmp_path / "a.jsonl", record))
    assert (episode.ended, episode.why) == (ended, status)
    assert episode.outcome.utilities == {"A": 0.0, "B": 0.0}


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([], "is empty"),
        (["\n", "  \n"], "is empty"),
        ([ITEMS, json.dumps(ITEMS)[:90]], "line 2: .*JSON"),
        ([ITEMS, "[1]\n"], "line 2: "),
        ([changed(ITEMS, "id")], "line 1: id: Field required"),
        ([changed(ITEMS, "turns.1.speaker")], r"line 1: turns\.1\.speaker: Field required"),
        ([changed(ITEMS, "turns.1.speaker", "C")], "speaker 'C' is none of A, B"),
        ([changed(ITEMS, "turns.2.act", "selct")], "act 'selct': did you mean 'select'"),
        ([changed(ITEMS, "scenario.domain", "gossip")], "no world here plays domain 'gossip'"),
        ([changed(FRIENDS, "outcome.status", "quit")], "line 1: dialogues of mutual_friends are not"),
        ([changed(ITEMS, "scenario.domain")], "no world here plays domain None"),
        ([changed(ITEMS, "scenario.domain", "item_divison")], "did you mean 'item_division'"),
        ([changed(ITEMS, "scenario.private.B")], r"scenario.private: 'B' is missing"),
        ([changed(ITEMS, "scenario.counts")], "scenario: counts: Field required"),
        ([changed(ITEMS, "scenario.counts.hat", -1)], "line 1: scenario: items.hat"),
        ([changed(ITEMS, "scenario.private.A.values.cap", 3)], "line 1: scenario: .*roles.A.values"),
        ([changed(ITEMS, "outcome.status", "agreed")], "outcome.status 'agreed': did you mean 'agree'"),
        ([changed(ITEMS, "outcome.status")], "without a dialogue; .*--data"),
        ([changed(ITEMS, "outcome.allocation")], "they agreed, but there is no allocation"),
        ([changed(ITEMS, "outcome.allocation.A")], "each agent's share of the 2 book"),
        ([changed(ITEMS, "outcome.allocation.A.hat", 2)], "each agent's share of the 1 hat"),
        ([changed(ITEMS, "outcome.allocation.A", "all")], "outcome.allocation.A: Input should be"),
        ([changed(ITEMS, "outcome.scores.A", 7)], "A is said to have 7, the deal gives 8"),
        ([changed(PRICE, "outcome.price")], "they agreed, but there is no price"),
        ([changed(PRICE, "outcome.price", 250)], "said to have -0.5, the deal gives -0.36"),
        ([changed(PRICE, "scenario.private.buyer.target", 300)], "line 1: scenario: .*buyer"),
        ([changed(PRICE, "scenario.item")], "scenario: item: Field required"),
        ([changed(PRICE, "turns.1.data.price", "cheap")], "turns.1.data.price: Input should be"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_data_file_is_one_line(tmp_path: Path, records: list[Any], why: str) -> None:
    path = write(tmp_path / "a.jsonl", *records)
    with pytest.raises(MootError, match=why) as caught:
        list(load_transcripts(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(ITEMS).encode() * 50)
    for name, data, why in (
        ("a.jsonl.gz", b"plain", "no gzip file"),
        ("b.jsonl.gz", whole[: len(whole) // 2], "damaged"),
        ("c.jsonl.gz", b"", "is empty"),
        ("d.jsonl", b"\xff\xfe", "line 1: "),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MootError, match=why):
            list(load_transcripts(tmp_path / name))
        with pytest.raises(MootError, match=why):
            load_scenarios(tmp_path / name)
    with pytest.raises(MootError, match="does not exist"):
        load_scenarios(tmp_path / "nowhere.jsonl")
    with pytest.raises(MootError, match="Is a directory"):
        load_scenarios(tmp_path)


def test_what_a_path_holds(tmp_path: Path) -> None:
    human = write(tmp_path / "a.jsonl.gz", ITEMS)
    (episode,) = episodes_of(human)
    played = tmp_path / EPISODES
    played.write_text(episode.line() + "\n" + episode.line()[:80])
    assert is_transcripts(human)
    assert not is_transcripts(played)
    assert not is_transcripts(tmp_path)
    assert not is_transcripts(tmp_path / "nowhere")
    assert not is_transcripts(write(tmp_path / "b.jsonl", "[]\n"))
    notices: list[str] = []
    assert [e.line() for e in episodes_of(played, notices)] == [episode.line()]
    assert "torn last line" in notices[0]
    packed = tmp_path / "played.jsonl.gz"
    packed.write_bytes(gzip.compress(episode.line().encode()))
    assert [e.line() for e in episodes_of(packed)] == [episode.line()]
    with pytest.raises(MootError, match="is no run"):
        list(episodes_of(tmp_path))


def test_selfplay_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "selfplay.txt", "1 0 1 1 3 3\n1 1 1 0 3 3\n2 5 1 0 1 0\n2 0 1 9 1 1\n")
    one, two = load_scenarios(path, deadline=8)
    assert isinstance(one, ItemScenario)
    assert one.items == {"book": 1, "hat": 1, "ball": 3}
    assert one.roles["B"].values == {"book": 1, "hat": 0, "ball": 3}
    assert (one.source, two.source) == ("selfplay-0", "selfplay-1")
    assert Environment(one).protocol.deadline == 8
    for text, why in (
        ("1 0 1 1 3 3\n", "1 line; the last one has no partner"),
        ("1 0 1 1 3 3\n2 1 1 0 3 3\n", "line 2: counts .* differ"),
        ("1 0 1 1 3\n", "line 1: want six counts and values"),
        ("1 0 1 1 3 -3\n", "line 1: want six counts and values"),
        ("1 0 1 0 3 0\n1 1 1 1 3 3\n", "line 2: .*no deal could satisfy"),
        ("0 0 1 1 3 3\n0 1 1 0 3 3\n", "line 2: items.book"),
        ("", "is empty"),
    ):
        with pytest.raises(MootError, match=why):
            load_scenarios(write(path, text))


def plays(scenario: Scenario) -> Episode:
    """The opener offers a split or the list price; the other accepts."""
    table = Environment(scenario)
    public = table.world.public()
    content = {"take": public["items"]} if "items" in public else {"price": public["high"]}
    assert table.step(Reply(act="propose", content=content)).error is None
    assert table.step(Reply(act="accept-proposal")).error is None
    return table.episode()


@has_data
@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("openspiel_bargaining/scenarios.jsonl.gz", 800),
        ("deal_or_no_deal/selfplay.txt", 4086),
        ("casino/dialogues.jsonl.gz", 930),
        ("craigslist_bargain/dialogues.jsonl.gz", 1000),
    ],
)
def test_scenarios_of_real_files_can_be_played(file: str, count: int) -> None:
    scenarios = load_scenarios(DATA / file)
    assert len(scenarios) == count
    for scenario in scenarios[:: count // 40]:
        assert plays(scenario).ended is Ended.AGREED
        if isinstance(scenario, PriceScenario):
            assert scenario.high / scenario.tick <= min(201, MAX_PRICES)
            assert scenario.high >= scenario.target("seller")


@has_data
def test_the_solutions_are_those_of_the_data() -> None:
    path = DATA / "openspiel_bargaining" / "scenarios.jsonl.gz"
    with gzip.open(path, "rt") as file:
        told = [json.loads(line)["outcome"] for line in file]
    for scenario, outcome in zip(load_scenarios(path), told, strict=True):
        solution = WORLDS[scenario.world].solve(scenario)
        assert solution.max_joint == outcome["max_joint_score"]
        assert solution.max_nash == outcome["max_nash_product"]
        assert [list(point) for point in solution.frontier] == outcome["pareto_frontier"]


@has_data
def test_deal_or_no_deal_goes_through_a_record_and_back() -> None:
    path = DATA / "deal_or_no_deal" / "dialogues.jsonl.gz"
    ended: Counter[Ended] = Counter()
    with gzip.open(path, "rt") as file:
        for episode, line in zip(load_transcripts(path), file, strict=True):
            record = json.loads(line)
            assert episode.outcome.utilities == record["outcome"]["scores"]
            assert len(episode.messages) == len(record["turns"]) - 1
            ended[episode.ended] += 1
            if episode.id % 10 == 0:
                assert Episode.model_validate_json(episode.line()).line() == episode.line()
    assert ended == {Ended.AGREED: 4363, Ended.NO_DEAL: 1410}


@has_data
def test_casino_scores_are_recomputed() -> None:
    episodes = list(load_transcripts(DATA / "casino" / "dialogues.jsonl.gz"))
    agreed = [sum(e.outcome.utilities.values()) / 2 for e in episodes if e.ended is Ended.AGREED]
    assert len(agreed) == 906
    assert sum(agreed) / len(agreed) == pytest.approx(18.98, abs=0.03)
    rest = [e for e in episodes if e.ended is not Ended.AGREED]
    assert {e.ended for e in rest} == {Ended.WALKED_AWAY}
    assert all(set(e.outcome.utilities.values()) == {5.0} for e in rest)


@has_data
def test_craigslist_utilities_are_those_of_the_corpus() -> None:
    path = DATA / "craigslist_bargain" / "dialogues.jsonl.gz"
    checked = unknown = 0
    with gzip.open(path, "rt") as file:
        for episode, line in zip(load_transcripts(path), file, strict=True):
            told = json.loads(line)["outcome"]
            if "seller_utility" in told:
                for side in ("seller", "buyer"):
                    found = episode.outcome.utilities[side]
                    assert found == pytest.approx(told[f"{side}_utility"], abs=1e-3)
                checked += 1
            unknown += episode.outcome.completed and not episode.outcome.utilities
    assert (checked, unknown) == (709, 3)


def test_domains_without_a_world_are_named(tmp_path: Path) -> None:
    chess = {**ITEMS, "scenario": {**ITEMS["scenario"], "domain": "chess"}}
    with pytest.raises(MootError, match=r"no world here plays domain 'chess'; ") as caught:
        load_scenarios(write(tmp_path / "chess.jsonl", chess))
    assert "item_division" in str(caught.value)
