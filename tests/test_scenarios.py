"""Scenario files: the shipped ones play, and whatever is wrong with one is said on one line."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from moot.environments import WORLDS, Environment, Scenario, Template
from moot.environments.load import SHIPPED, draw, load_scenario, shipped
from moot.environments.worlds.item_division import ItemScenario
from moot.environments.worlds.task_scenario import TaskScenario
from moot.protocols import MootError

DESIGN = """
# scenarios/camp_site.yaml
name: camp_site
world: item_division                 # which rules; its parameters follow
protocol: {name: alternating_offers, deadline: 12}
brief: You and another camper divide the remaining packages before you leave.
items: {food: 3, water: 3, firewood: 3}
roles:
  ann: {values: {food: 5, water: 4, firewood: 3}, brief: Your family is large.}
  bob: {values: {food: 3, water: 5, firewood: 4}}
agents: {ann: nano, bob: scripted:boulware}
"""

BICYCLE = yaml.safe_load((SHIPPED / "used_bicycle.yaml").read_text())
AUCTION = yaml.safe_load((SHIPPED / "task_auction.yaml").read_text())
CAMP = yaml.safe_load(DESIGN)


def test_the_design_loads_as_written(tmp_path: Path) -> None:
    path = tmp_path / "camp_site.yaml"
    path.write_text(DESIGN)
    own, ships = load_scenario(path), load_scenario("camp_site")
    assert own == ships == load_scenario(str(path)) == load_scenario(CAMP)
    assert isinstance(own, ItemScenario)
    assert own.roles["ann"].values == {"food": 5, "water": 4, "firewood": 3}
    assert own.agents == {"ann": "nano", "bob": "scripted:boulware"}
    assert Environment(own).protocol.deadline == 12


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_played(name: str) -> None:
    source = load_scenario(name)
    assert source.name == name
    assert source.agents, "so that the bare command has somebody to seat"
    for episode in range(20):
        scenario = draw(source, 1, episode)
        assert isinstance(scenario, WORLDS[source.world].Scenario)
        assert (scenario.name, scenario.agents) == (name, source.agents)
        assert Environment(scenario).speaker
    assert re.fullmatch(r"[A-Z].+[.)]", shipped()[name]), "the first line sums it up"


def test_all_worlds_ship_a_fixed_and_a_generated_scenario() -> None:
    kinds = {(s.world, isinstance(s, Template)) for s in map(load_scenario, shipped())}
    assert kinds == {(world, generated) for world in WORLDS for generated in (False, True)}


def test_the_fixed_auction_is_worth_what_its_comment_says() -> None:
    scenario = load_scenario("task_auction")
    assert isinstance(scenario, TaskScenario)
    solution = WORLDS["task_allocation"].solve(scenario)
    assert solution.max_joint == 155
    assert solution.best == {"pack": "hana", "haul": "hana", "clean": "ivo", "paint": "jun"}


def test_draws_depend_on_seed_and_episode_alone() -> None:
    for name in ("deal_or_no_deal", "bargain", "task_market"):
        source = load_scenario(name)
        state = random.getstate()
        drawn = [draw(source, 5, episode) for episode in range(30)]
        assert random.getstate() == state
        assert [draw(source, 5, episode) for episode in reversed(range(30))] == drawn[::-1]
        assert len({s.model_dump_json() for s in drawn}) > 25
        assert draw(source, 6, 0) != drawn[0]


@pytest.mark.parametrize("name", ["camp_site", "deal_or_no_deal"])
def test_what_an_agent_does_to_what_it_is_shown_stays_in_its_episode(name: str) -> None:
    source = load_scenario(name)
    before = draw(source, 1, 5).model_dump()
    shown = Environment(draw(source, 1, 5)).observe()
    shown.private["values"].clear()
    shown.public["items"].clear()
    assert draw(source, 1, 5).model_dump() == before
    assert Environment(draw(source, 1, 5)).observe().private["values"]


def test_a_list_is_drawn_from_in_turns() -> None:
    one, two = load_scenario("camp_site"), load_scenario("used_bicycle")
    assert isinstance(one, Scenario)
    assert isinstance(two, Scenario)
    assert [draw([one, two], 9, episode) for episode in range(3)] == [one, two, one]
    assert draw(one, 9, 7) is one
    with pytest.raises(MootError, match="the list is empty"):
        draw([])


def test_a_template_overrides_what_its_generator_draws() -> None:
    plain = load_scenario({"world": "item_division", "generate": {}})
    assert draw(plain).name == "item_division"
    source = load_scenario(
        {
            "name": "quick",
            "world": "item_division",
            "generate": {"items": ["tent"], "fewest": 2, "most": 2, "total": 4},
            "protocol": {"name": "alternating_offers", "deadline": 3, "talk": False},
            "brief": "Hurry.",
            "max_text": 20,
            "patience": 0,
            "agents": {"*": "scripted:linear"},
        }
    )
    scenario = draw(source, 0, 0)
    assert isinstance(scenario, ItemScenario)
    assert scenario.items == {"tent": 2}
    assert (scenario.name, scenario.brief, scenario.max_text, scenario.patience) == (
        "quick", "Hurry.", 20, 0,
    )  # fmt: skip
    table = Environment(scenario)
    assert table.protocol.deadline == 3
    assert {o.move.act for o in table.observe().options} == {"propose", "cancel"}


def edited(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with one place changed; `...` removes it."""
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(document))
    *way, last = path.split("/")
    place: Any = copy
    for part in way:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy


GENERATED: dict[str, Any] = {"name": "g", "world": "price_bargaining", "generate": {}}
TASKS: dict[str, Any] = {"name": "t", "world": "task_allocation", "generate": {}}

WRONG = [
    (CAMP, "world", "item_divsion", "unknown world 'item_divsion'; did you mean 'item_division'?"),
    (CAMP, "world", ..., "world: missing; one of "),
    (CAMP, "world", ["x"], "unknown world ['x']"),
    (CAMP, "itms", {}, "unknown key 'itms'; did you mean 'items'?"),
    (CAMP, "roles/ann/vlues", 1, "roles.ann: unknown key 'vlues'; did you mean 'values'?"),
    (CAMP, "roles/ann/values", ..., "roles.ann.values: missing (Points per item of each kind)"),
    (CAMP, "roles", ..., "roles: missing (Two seats -> private values)"),
    (CAMP, "roles/ann/values/food", -3, "roles.ann.values.food: got -3, want a number >= 0"),
    (CAMP, "roles/ann/values/food", "5", 'roles.ann.values.food: got "5", want a number'),
    (CAMP, "roles/ann/values/food", True, "roles.ann.values.food: got true, want a number"),
    (CAMP, "roles/ann/values/food", float("inf"), "roles.ann.values.food: got inf, want a finite"),
    (CAMP, "roles/ann/values/food", float("nan"), "roles.ann.values.food: got nan, want a finite"),
    (CAMP, "roles/ann", 3, "roles.ann: got 3, want a mapping"),
    (CAMP, "roles/ann/brief", ["x"], 'roles.ann.brief: got ["x"], want text'),
    (CAMP, "roles", {}, "alternating_offers seats 2 agents, got 0"),
    (CAMP, "items/food", 0, "items.food: got 0, want a number > 0"),
    (CAMP, "items/food", -1, "items.food: got -1, want a number > 0"),
    (CAMP, "items/food", 2.5, "items.food: got 2.5, want a whole number"),
    (CAMP, "items", {}, "items: nothing to divide"),
    (CAMP, "items/tea", 1, "roles.ann.values: got ['firewood', 'food', 'water'], items are"),
    (CAMP, "items", {"food": 60_000}, "items: 60001 ways to divide them, at most 50000"),
    (CAMP, "roles/bob/values", {"food": 0, "water": 0, "firewood": 0}, "no deal could satisfy it"),
    (CAMP, "roles/ann/no_deal", 50, "everything is worth 36 to ann, no more than no_deal 50"),
    (CAMP, "protocol", "alternating_offer", "unknown protocol 'alternating_offer'; did you mean"),
    (CAMP, "protocol/deadlin", 3, "alternating_offers has no parameter 'deadlin'; did you mean"),
    (CAMP, "protocol/deadline", 0, "deadline is a number of messages >= 1, got 0"),
    (CAMP, "protocol/deadline", "soon", "deadline is a number of messages >= 1, got 'soon'"),
    (CAMP, "protocol/talk", 1, "talk is true or false, got 1"),
    (CAMP, "protocol", "contract_net", "contract_net needs 1 manager, got 0"),
    (CAMP, "roles/cleo", {"values": {"food": 1, "water": 1, "firewood": 1}}, "seats 2 agents, got 3"),
    (CAMP, "patience", -1, "patience: got -1, want a number >= 0"),
    (CAMP, "max_text", "long", 'max_text: got "long", want a whole number'),
    (CAMP, "name", 3, "name: got 3, want text"),
    (CAMP, "agents/anne", "nano", "agents: there is no seat 'anne'; did you mean 'ann'?"),
    (CAMP, "agents/ann", 3, "agents.ann: got 3, want text"),
    (CAMP, "agents", "nano", 'agents: got "nano", want a mapping'),
    (CAMP, "roles/*", {"values": {"food": 1, "water": 1, "firewood": 1}}, "a seat cannot be called '*'"),
    (CAMP, "brief", None, "brief: got null, want text"),
    (BICYCLE, "high", 40, "high: got 40, want more than low 50"),
    (BICYCLE, "high", "lots", 'high: got "lots", want a number'),
    (BICYCLE, "low", -5, "low: got -5, want a number >= 0"),
    (BICYCLE, "low", 52, "low: got 52, want a multiple of tick 5"),
    (BICYCLE, "tick", 0, "tick: got 0, want a number > 0"),
    (BICYCLE, "tick", 0.05, "tick: 5001 prices from low to high, at most 2000"),
    (BICYCLE, "item", "", "item: got \"\", want some text"),
    (BICYCLE, "roles/buyer/reserve", 90, "roles.buyer.reserve: got 90, want more than the buyer's target"),
    (BICYCLE, "roles/seller/reserve", 260, "roles.seller.reserve: got 260, want less than the seller's"),
    (BICYCLE, "roles/seller/reserve", 200, "no price suits both; change a reserve or set no_zone: true"),
    (BICYCLE, "roles/seller/role", "buyer", "roles: want one seller and one buyer"),
    (BICYCLE, "roles/seller", ..., "roles: want one seller and one buyer, got buyer"),
    (BICYCLE, "agents/sellr", "nano", "there is no seat 'sellr'; did you mean 'seller'?"),
    (AUCTION, "tasks", [], "tasks: got 0, want 1 to 6"),
    (AUCTION, "tasks", ["pack", "pack"], "want different names"),
    (AUCTION, "tasks", "pack", 'tasks: got "pack", want a list'),
    (AUCTION, "tasks", ["pack", 3], "tasks.1: got 3, want text"),
    (AUCTION, "protocol", "alternating_offers", "protocol: got 'alternating_offers', want contract_net"),
    (AUCTION, "roles/manager", ..., "roles: want one manager and at least one bidder"),
    (AUCTION, "roles/jun/role", "biddr", "roles.jun.role: got 'biddr', want manager or bidder"),
    (AUCTION, "roles/jun/capacity", 0, "roles.jun.capacity: got 0, want a number > 0"),
    (AUCTION, "roles/jun/capacity", ..., "roles.jun.capacity: missing; how many tasks can jun do?"),
    (AUCTION, "roles/jun/costs/pack", -1, "roles.jun.costs.pack: got -1, want >= 0"),
    (AUCTION, "roles/jun/costs/pack", ..., "roles.jun.costs: got ['clean', 'haul', 'paint'], tasks are"),
    (AUCTION, "roles/jun/values", {}, "roles.jun.values: a bidder has costs, no values"),
    (AUCTION, "roles/manager/capacity", 1, "roles.manager.capacity: a manager has none"),
    (AUCTION, "roles/manager/values", dict.fromkeys(AUCTION["tasks"], 1), "no task is worth more"),
    (AUCTION, "most_price", 0, "most_price: got 0, want a number > 0"),
    (GENERATED, "generate/zone", [0.5, 0.2], "generate: zone: got 0.5 to 0.2"),
    (GENERATED, "generate/zon", 1, "generate: unknown key 'zon'; did you mean 'zone'?"),
    (GENERATED, "generate/first", "me", "generate: first: got \"me\", want 'seller', 'buyer' or 'either'"),
    (GENERATED, "generate/no_zone", 2, "generate: no_zone: got 2, want a number <= 1"),
    (GENERATED, "generate/items", [], "generate: items: got [], want at least 1 of them"),
    (GENERATED, "generate/dearest", 5, "generate: dearest: got 5, want at least cheapest 20"),
    (GENERATED, "generate/dearest", 5000, "generate: dearest: got 5000, want at most"),
    (GENERATED, "generate/seats", ["a", "a"], "generate: seats: got 'a' twice"),
    (GENERATED, "generate", [1], "generate: got [1], want a mapping"),
    (GENERATED, "protocol", "contract_net", "contract_net needs 1 manager"),
    (GENERATED, "item", "x", "unknown key 'item'"),
    (TASKS, "generate/tasks", [2, 9], "generate: tasks: got 2 to 9, want 1 <= fewest <= most <= 6"),
    (TASKS, "generate/capacity", [0, 1], "generate: capacity: got 0 to 1, want 1 <= fewest <= most"),
    (TASKS, "generate/costs", [99, 99], "generate: values: at most 90, but every cost is at least 99"),
    (TASKS, "generate/values", [5, 5], "draws gave no scenario"),
    (TASKS, "protocol", "alternating_offers", "protocol: got 'alternating_offers', want contract_net"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "path", "value", "sentence"), WRONG, ids=lambda v: str(v)[:40]
)
def test_a_mistake_is_said_on_one_line(
    tmp_path: Path, document: dict[str, Any], path: str, value: object, sentence: str
) -> None:
    if "draws gave no" in sentence:
        document = edited(document, "generate/costs", [4, 60])
        document = edited(document, "generate/capacity", [1, 1])
        document = edited(document, "generate/bidders", [4, 4])
        document = edited(document, "generate/tasks", [4, 4])
    wrong = edited(document, path, value)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(wrong))
    for source in (wrong, file):
        with pytest.raises(MootError) as caught:
            load_scenario(source)
        said = str(caught.value)
        assert sentence in said
        assert "\n" not in said
        assert said.startswith(str(file) if source is file else str(wrong["name"]))
        assert caught.value.usage


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [a\nworld: b", "mine.yaml:2: not valid YAML: "),
        ("name: a\n\tworld: b", "mine.yaml:2: not valid YAML: "),
        ("name: !!python/object/apply:os.system [ls]", "mine.yaml:1: not valid YAML: could not det"),
        ("", "empty, want `key: value` lines"),
        ("- 1", "holds a list, want"),
        ("just words", "holds a str, want"),
        ("a: b: c", "mine.yaml:1: not valid YAML"),
        ("name: 2024-01-01\nworld: item_division", "name: got 2024-01-01, a date; put text in quotes"),
        ("world: item_division\nroles: {on: 3}", "roles: key True is not text; put it in quotes"),
        ("name: \x00", "not valid YAML"),
        ("[" * 20_000, "mine.yaml: not valid YAML: nested too deeply"),
        ("world: item_division\nname: &a [*a]", "nested more than 20 levels"),
        ("#" * 1_000_001, "larger than 1,000,000 bytes"),
        ("world: item_division\nworld: 3", "unknown world 3"),
    ],
    ids=lambda v: v[:24],
)  # fmt: skip
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(MootError, match=re.escape(sentence)) as caught:
        load_scenario(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_an_alias_bomb_ends_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    file.write_text("world: item_division\n" + "\n".join(lines))
    with pytest.raises(MootError, match="more than 20000 values"):
        load_scenario(file)


def test_not_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"name: a\nbrief: \xff")
    with pytest.raises(MootError, match=r"mine\.yaml:2: not UTF-8"):
        load_scenario(file)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MootError, match=r"unknown scenario 'campsite'; did you mean 'camp_site'\?"):
        load_scenario("campsite")
    with pytest.raises(MootError, match=r"camp_sit\.yaml: no such file; did you mean 'camp_site'?"):
        load_scenario("camp_sit.yaml")
    with pytest.raises(MootError, match="is a folder, not a file"):
        load_scenario(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(DESIGN)
    file.chmod(0)
    with pytest.raises(MootError, match="Permission denied") as caught:
        load_scenario(file)
    assert not caught.value.usage


def test_a_shipped_name_comes_first_and_a_path_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("camp_site").write_text(DESIGN.replace("name: camp_site", "name: mine"))
    assert load_scenario("camp_site").name == "camp_site"
    assert load_scenario("./camp_site").name == "mine"
    Path("other").write_text(DESIGN.replace("name: camp_site", "name: other"))
    assert load_scenario("other").name == "other"


def test_what_is_loaded_already_is_checked_too() -> None:
    template = Template(world="item_division", generate={"total": 0})
    with pytest.raises(MootError, match="scenario: generate: total: got 0, want a number >= 1"):
        load_scenario(template)
    with pytest.raises(MootError, match="unknown world 'x'"):
        load_scenario(Template(world="x", generate={}))
