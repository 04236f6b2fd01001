"""The kitchen: what an act does at each station, how cooks collide, soups and pay, layouts, players."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Scenario
from moot.environments.load import load_scenario
from moot.environments.transcripts import load_scenarios
from moot.environments.worlds.kitchen_scenario import KitchenGenerator, beside, find, flaw
from moot.protocols import Ended, MootError, Reply

LAYOUTS = Path(__file__).parents[2] / "shared" / "data" / "overcooked" / "layouts"
GRID = ["XPXXX", "O1  T", "X  2D", "XXSXX"]
FIELDS: dict[str, Any] = {
    "name": "small",
    "world": "kitchen",
    "protocol": {"name": "joint_action", "talk": 0, "deadline": None},
    "grid": GRID,
    "menu": [["onion"], ["onion", "onion", "tomato"]],
    "horizon": 60,
    "stretch": 10,
    "roles": {"ann": {}, "bob": {}},
}


def opened(**change: Any) -> Environment:
    scenario = load_scenario({**FIELDS, **change})
    assert isinstance(scenario, Scenario)
    return Environment(scenario)


def move(table: Environment, ann: str, bob: str = "stay") -> dict[str, Any]:
    """Both do these steps; what the world tells then."""
    for steps in (ann, bob):
        turn = table.step(Reply(act="request", content={"steps": steps.split()}))
        assert turn.message is not None, turn.error
    told = table.turns[-1].told
    assert told is not None
    assert told[0].content is not None
    return told[0].content.model_dump()


def test_three_in_a_pot_cook_by_themselves_and_soup_of_the_menu_pays_both() -> None:
    table = opened(horizon=90)
    seen = move(table, "west act north act west act north act", "east")
    assert seen["pots"][0] == {"at": [1, 0], "holds": ["onion", "onion"], "left": None}
    # Bob fetches the tomato; ann leaves the place before the pot.
    move(table, "stay stay stay stay east south", "north east act west west stay stay stay stay")
    seen = move(table, "stay", "west north act")
    assert seen["pots"][0]["holds"] == ["onion", "onion", "tomato"]
    assert seen["pots"][0]["left"] == 19
    seen = move(table, "stay", "east east south east act west north west west north")
    assert seen["cooks"]["bob"]["holds"] == ["dish"]
    seen = move(table, "stay", "stay stay stay stay stay stay stay stay")
    seen = move(table, "stay", "stay stay act")
    assert seen["cooks"]["bob"]["holds"] == ["soup", "onion", "onion", "tomato"]
    assert seen["pots"][0] == {"at": [1, 0], "holds": [], "left": None}
    seen = move(table, "west stay", "south east south act")
    assert seen["served"] == 1
    assert seen["points"] == 20


def test_empty_hands_put_a_pot_on_and_what_is_not_ordered_pays_nothing() -> None:
    table = opened(menu=[["onion", "onion", "onion"]], horizon=45)
    seen = move(table, "west act north act act")
    assert seen["pots"][0] == {"at": [1, 0], "holds": ["onion"], "left": 19}
    assert move(table, "west act north act")["cooks"]["ann"]["holds"] == ["onion"]  # it is on
    move(table, "south west act", "east act west west stay")  # ann puts hers on a counter
    move(table, "south", "north west north")
    move(table, "stay", "stay stay stay stay stay stay stay stay act")
    table.step(Reply(act="request", content={"steps": ["east"]}))
    assert table.world.outcome(Ended.DONE).results["wasted"] == 0


def test_cooks_never_share_a_cell_nor_swap() -> None:
    table = opened()
    seen = move(table, "east east", "north west")  # both want the cell between: neither goes
    at = [seen["cooks"][name]["at"] for name in ("ann", "bob")]
    assert at[0] != at[1]
    assert seen["collisions"] == 1
    table = opened(grid=["XPXXX", "O12 T", "X   D", "XXSXX"])
    seen = move(table, "east", "west")
    assert [seen["cooks"][name]["at"] for name in ("ann", "bob")] == [[1, 1], [2, 1]]
    assert seen["collisions"] == 1
    assert move(table, "east", "south")["cooks"]["ann"]["at"] == [2, 1]


def test_the_shift_ends_exactly_at_its_horizon() -> None:
    table = opened(horizon=7)
    move(table, " ".join(["stay"] * 4))
    seen = move(table, " ".join(["stay"] * 10))
    assert seen["clock"] == 7
    assert table.ended is Ended.DONE
    outcome = table.episode().outcome
    assert not outcome.completed
    assert outcome.utilities == {"ann": 0.0, "bob": 0.0}


def test_only_one_cook_may_know_the_menu() -> None:
    table = opened(menu_for="second")
    assert "onion, onion, tomato" not in table.observe("ann").dump()
    assert "onion, onion, tomato" in table.observe("bob").card


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"grid": ["XPX", "O1 X", "XSX"]}, "rows want one length"),
        ({"grid": ["XPXX", "O1 X", "XDSX"]}, "want one cook 2, got 0"),
        ({"grid": ["XPXX", "O12 ", "XDSX"]}, "the border wants counters"),
        ({"grid": ["XXXX", "O12X", "XDSX"]}, "want a pot P"),
        ({"grid": ["XPXX", "O12Z", "XDSX"]}, "'Z' is none of"),
        ({"menu": [["onion", "leek"]]}, "menu"),
        ({"grid": ["XPXX", "O12X", "XDSX"], "menu": [["tomato"]]}, "no soup can be made of onion"),
        ({"grid": ["XXXXTX", "O12PXX", "XDSXXX"], "menu": [["tomato"]]}, "no soup .* of onion, wh"),
        ({"roles": {"ann": {}}}, "seats 2 cooks, got 1"),
    ],
)
def test_what_is_no_kitchen_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(MootError, match=why):
        opened(**change)


def test_every_drawn_kitchen_can_be_used_by_both_cooks() -> None:
    for seed in range(40):
        made = KitchenGenerator(tomatoes=seed % 2 == 0, pots=1 + seed % 2, width=5 + seed % 4).draw(
            random.Random(seed)
        )
        grid = tuple(made.grid)
        assert flaw(made.grid) is None
        for cook in "12":
            assert beside(grid, find(grid, cook)) >= set("".join(grid)) - set(" X12")


@pytest.mark.skipif(not LAYOUTS.is_dir(), reason="the layouts of Overcooked-AI are not here")
def test_layouts_of_overcooked_load_and_are_cooked_in() -> None:
    soups: dict[str, float] = {}
    for name in (
        "cramped_room",
        "coordination_ring",
        "forced_coordination",
        "asymmetric_advantages",
        "m_shaped_s",  # nobody can pass the other
        "forced_coordination_tomato",  # soup comes back over the counters that onions come over
        "inverse_marshmallow_experiment",  # a pot of one onion: two would spoil it
    ):
        (scenario,) = load_scenarios(LAYOUTS / f"{name}.layout")
        table = Environment(scenario.model_copy(update={"horizon": 150}))
        cook = Scripted("sensible")
        while table.speaker is not None:
            table.step(cook.reply(table.observe()))
        soups[name] = table.episode().outcome.results["soups"]
    assert min(soups.values()) >= 2, soups
    with pytest.raises(MootError, match="want one cook 2, got 0"):
        load_scenarios(LAYOUTS / "cramped_room_single.layout")


def test_sensible_cooks_beat_random_ones_and_the_menu_can_be_told() -> None:
    means: dict[str, float] = {}
    for name in ("random", "sensible"):
        total = 0.0
        for seed in range(6):
            scenario = KitchenGenerator(tomatoes=True, hidden_menu=True, horizon=150).draw(
                random.Random(seed)
            )
            table, cook = Environment(scenario, episode=seed), Scripted(name)
            while table.speaker is not None:
                table.step(cook.reply(table.observe()))
            total += table.episode().outcome.results["soups"]
        means[name] = total / 6
    assert means["random"] < 0.5
    assert means["sensible"] > 1


def test_the_picture_is_an_svg_of_the_state() -> None:
    table = opened()
    before = table.world.picture()  # pyright: ignore
    move(table, "west act", "east")
    after = table.world.picture()  # pyright: ignore
    assert before.startswith("<svg")
    assert before != after
