"""The adventure: what each deed does, what each sees, the shortest plan against brute force, players."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.scripted.adventure import SAYINGS, heard
from moot.agents.scripted.players import Scripted
from moot.checks import check_run
from moot.environments import Environment, Scenario
from moot.environments.load import load_scenario
from moot.environments.worlds.adventure import Adventure
from moot.environments.worlds.adventure_generator import AdventureGenerator, needed
from moot.environments.worlds.adventure_rules import (
    NONE,
    House,
    Stand,
    after,
    possible,
    shortest,
    solvable,
    solved,
)
from moot.protocols import Ended, MootError, Reply
from moot.simulation import simulate

FIELDS: dict[str, Any] = {
    "name": "small",
    "world": "adventure",
    "protocol": {"name": "joint_action", "talk": 0, "deadline": None},
    "rooms": {
        "hall": {"at": [0, 0], "about": "with a clock"},
        "attic": {"at": [0, 1]},
        "store": {"at": [1, 0]},
        "vault": {"at": [1, 1]},
    },
    "doors": [
        {"between": ["hall", "attic"]},
        {"between": ["store", "vault"], "lock": "red"},
        {"between": ["hall", "store"], "hatch": True},
    ],
    "things": {"red key": "attic", "hook": "store", "lamp": "hall"},
    "levers": {"chain": {"room": "attic", "takes": "hook"}, "wheel": {"room": "vault"}},
    "starts": ["hall", "store"],
    "hands": 1,
    "limit": 20,
    "roles": {"ann": {"knows": ["map"]}, "bob": {"knows": ["notes"]}},
}


def opened(**change: Any) -> Environment:
    scenario = load_scenario({**FIELDS, **change})
    assert isinstance(scenario, Scenario)
    return Environment(scenario)


def did(words: str) -> dict[str, str]:
    do, _, what = words.partition(" ")
    return {"do": do, "what": what} if what else {"do": do}


def turn(table: Environment, ann: str, bob: str) -> dict[str, str]:
    """Both do this; what each is told."""
    for words in (ann, bob):
        made = table.step(Reply(act="request", content=did(words)))
        assert made.message is not None, made.error
    return {m.receivers[0]: m.text for m in table.turns[-1].told or ()}


def legal(table: Environment, agent: str) -> set[str]:
    """What may be done now, from the schema."""
    (move,) = {o.move for o in table.observe(table.speaker).options}
    schema = table.world.schema(agent, move, None)
    assert schema is not None
    return {
        f"{option['properties']['do']['const']} {what}".strip()
        for option in schema["anyOf"]
        for what in option["properties"].get("what", {"enum": [""]})["enum"]
    }


# ---- deeds ---------------------------------------------------------------------------------------


def test_a_whole_game_by_hand() -> None:
    table = opened()
    assert legal(table, "ann") == {"wait", "go south", "take lamp"}
    assert legal(table, "bob") == {"wait", "take hook"}
    told = turn(table, "go south", "wait")
    assert told["ann"] == (
        "Turn 1 of 20. You go south. You are in the attic. North the hall. Here: the red key."
        " The chain is here, to be pulled with the hook in hand. You carry nothing."
    )
    assert "ann" not in told["bob"]
    turn(table, "take red key", "wait")
    told = turn(table, "go north", "wait")
    assert "with a clock" not in told["ann"], "looks are told on the first visit"
    assert "bob is beyond the hatch east, carrying nothing." in told["ann"]
    told = turn(table, "give red key", "wait")
    assert "ann gives you the red key." in told["bob"]
    assert legal(table, "bob") == {"wait", "unlock south", "drop red key", "give red key"}
    told = turn(table, "wait", "unlock south")
    assert "South a red door, open, to the vault." in told["bob"]
    assert "You carry nothing." in told["bob"], "the key stays in its lock"
    turn(table, "wait", "take hook")
    turn(table, "wait", "give hook")
    turn(table, "go south", "go south")
    told = turn(table, "pull chain", "pull wheel")
    assert "in the same moment the other one moves" in told["ann"]
    assert table.ended is Ended.DONE
    outcome = table.episode().outcome
    assert outcome.completed
    assert outcome.deal == {"turns": 9}
    assert outcome.utilities == {"ann": 2 - 9 / 20, "bob": 2 - 9 / 20}
    assert outcome.results == {"steps": 9, "shortest": 9, "alone": 0, "regret": 0}


def test_a_lever_pulled_alone_is_stuck_for_two_turns() -> None:
    table = opened(levers={"chain": {"room": "hall"}, "wheel": {"room": "vault"}})
    told = turn(table, "pull chain", "wait")
    assert "You pull the chain, alone: it is stuck now." in told["ann"]
    assert "stuck for 2 turns" in told["ann"]
    assert "chain" not in told["bob"]
    assert "pull chain" not in legal(table, "ann")
    turn(table, "wait", "wait")
    assert "pull chain" not in legal(table, "ann")
    turn(table, "wait", "wait")
    assert "pull chain" in legal(table, "ann")
    assert table.world.outcome(Ended.DONE).results["alone"] == 1


def test_what_is_given_to_one_whose_hand_closes_stays_and_what_both_reach_for_too() -> None:
    house = House(((), ()), ((1,), (0,)), ((0, NONE), (1, NONE)), 1, Stand((0, 1), (0, 1, 0)))
    held = Stand((0, 1), (-2, 1, 0))
    assert after(house, held, (("give", 0), ("wait", 0))).places == (-3, 1, 0)
    assert after(house, held, (("give", 0), ("take", 1))).places == (-2, -3, 0)
    together = Stand((0, 0), (0, 1, 0))
    assert after(house, together, (("take", 0), ("take", 0))) == together
    assert after(house, together, (("take", 0), ("take", 2))).places == (-2, 1, -3)
    full = Stand((0, 1), (-2, -3, 0))
    assert {do for do, _ in possible(house, full, 0)} == {"wait", "drop", "pull"}


def test_time_runs_out() -> None:
    table = opened(limit=9)
    for _ in range(9):
        turn(table, "wait", "wait")
    assert table.ended is Ended.FAILED
    outcome = table.episode().outcome
    assert outcome.utilities == {"ann": 0.0, "bob": 0.0}
    assert "regret" not in outcome.results


# ---- who sees what -------------------------------------------------------------------------------


def test_each_sees_its_room_and_its_papers_only() -> None:
    table = opened()
    ann, bob = (table.observe(a) for a in ("ann", "bob"))
    assert "You have a map. hall: east a hatch to the store, south the attic;" in ann.card
    assert "hook" not in ann.dump()
    assert "the red key is in the attic" in bob.card
    assert "chain is in the attic and is pulled with the hook" in bob.card
    assert "about" not in bob.dump()
    assert "clock" not in bob.dump()


CHANGES: dict[str, dict[str, Any]] = {
    "a thing": {"things": {"red key": "attic", "hook": "vault", "lamp": "hall"}},
    "a lever": {"levers": {"chain": {"room": "attic"}, "wheel": {"room": "vault"}}},
    "papers": {"roles": {"ann": {}, "bob": {"knows": ["map", "notes"]}}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_bob_alone_can_see_changes_nothing_for_ann(change: str) -> None:
    """Byte for byte, while both do the same, until somebody says it."""
    plain = {**FIELDS, "roles": {"ann": {}, "bob": {"knows": ["notes"]}}}
    tables = [opened(**plain), opened(**{**plain, **CHANGES[change]})]
    for deeds in (("wait", "wait"), ("take lamp", "wait"), ("drop lamp", "wait")):
        assert tables[0].observe("ann").dump() == tables[1].observe("ann").dump()
        assert tables[0].observe("bob").dump() != tables[1].observe("bob").dump()
        told = [turn(table, *deeds) for table in tables]
        assert told[0]["ann"] == told[1]["ann"]


# ---- the shortest plan ---------------------------------------------------------------------------


def brute(house: House, most: int) -> int | None:
    """Turns by breadth-first search over everything that both may do, no deed left out."""
    seen, layer = {house.start}, [house.start]
    for depth in range(1, most + 1):
        new: list[Stand] = []
        for stand in layer:
            for both in product(*(possible(house, stand, seat) for seat in (0, 1))):
                if solved(house, both):
                    return depth
                there = after(house, stand, both)
                if there not in seen:
                    seen.add(there)
                    new.append(there)
        layer = new
    return None


def tiny(rng: random.Random) -> House:
    """Four or five rooms in a row or a ring, open or locked or hatches between, one or two hands."""
    rooms = rng.randint(3, 5)
    keys = rng.randint(0, 2)
    things = keys + rng.randint(0, 1)
    edges = [(a, a + 1) for a in range(rooms - 1)] + (
        [(0, rooms - 1)] if rng.random() < 0.3 else []
    )
    hatch = rng.choice(edges) if rng.random() < 0.7 else None
    locked = rng.sample([e for e in edges if e != hatch], min(keys, len(edges) - 1))
    ways: list[list[tuple[int, int, int]]] = [[] for _ in range(rooms)]
    hatches: list[list[int]] = [[] for _ in range(rooms)]
    for number, edge in enumerate(edges):
        key = locked.index(edge) if edge in locked else NONE
        for here, there in (edge, edge[::-1]):
            if edge == hatch:
                hatches[here].append(there)
            else:
                ways[here].append((number, there, key))
    tool = things - 1 if things > keys else NONE
    levers = ((rng.randrange(rooms), tool), (rng.randrange(rooms), NONE))
    start = Stand(
        (rng.randrange(rooms), rng.randrange(rooms)),
        tuple(rng.randrange(rooms) for _ in range(things)),
    )
    return House(
        tuple(map(tuple, ways)), tuple(map(tuple, hatches)), levers, rng.randint(1, 2), start
    )


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_shortest_plan_is_that_of_brute_force(seed: int) -> None:
    house = tiny(random.Random(seed))
    plan, most = shortest(house), 14
    found = brute(house, most)
    assert (plan is not None) == solvable(house)
    if plan is None or len(plan) > most:
        assert found is None
        return
    assert len(plan) == found
    stand = house.start
    for both in plan[:-1]:
        assert all(deed in possible(house, stand, seat) for seat, deed in enumerate(both))
        stand = after(house, stand, both)
    assert solved(house, plan[-1])


@pytest.mark.parametrize(
    "fields",
    [{}, {"hands": 1}, {"rooms": 5, "locks": 3, "handed": 3}, {"rooms": 2, "locks": 0,
      "tools": 1, "handed": 1, "least": 1}],
    ids=str,
)  # fmt: skip
def test_every_drawn_adventure_needs_both(fields: dict[str, Any]) -> None:
    generator = AdventureGenerator(**fields)
    for seed in range(5):
        made = generator.draw(random.Random(seed))
        house, plan = made.house(), made.plan()
        assert needed(house)
        assert not solvable(house, give=False), "something must change hands"
        assert sum(do == "give" for both in plan for do, _ in both) >= generator.handed
        assert generator.least <= len(plan) <= made.limit
        assert not house.parts[0] & house.parts[1]
        assert {d for door in made.doors for d in door.between} == set(made.rooms)


def test_what_is_too_large_for_an_exact_solution_is_said() -> None:
    side = 7
    rooms = [(x, y) for x in range(side) for y in range(side)]
    steps = [(0, -1), (1, 0), (0, 1), (-1, 0)]
    ways = tuple(
        tuple(
            (way, rooms.index((x + dx, y + dy)), NONE)
            for way, (dx, dy) in enumerate(steps)
            if (x + dx, y + dy) in rooms
        )
        for x, y in rooms
    )
    start, shut = Stand((24, 25), (0, 48)), tuple(() for _ in rooms)
    with pytest.raises(ValueError, match="too many rooms and things"):
        shortest(House(ways, shut, ((48, 0), (0, 1)), 1, start))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"rooms": 2, "locks": 0, "handed": 1, "least": 40}, "3,000 draws gave no adventure"),
        ({"rooms": 2, "locks": 3}, "locks: got 3, but 2 times 2 rooms have 2 doors"),
        ({"locks": 1, "tools": 1, "handed": 3}, "handed: got 3, but there are 2 keys and tools"),
        ({"seats": ["ann", "ann"]}, "seats: got 'ann' twice"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_said(fields: dict[str, Any], why: str) -> None:
    with pytest.raises((ValueError, MootError), match=why):
        AdventureGenerator(**fields).draw(random.Random(0))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"starts": ["hall", "loft"]}, "starts: there is no room 'loft'"),
        ({"things": {"hook": "store"}}, "there is no red key among the things"),
        ({"levers": {"chain": {"room": "hall"}}}, "levers: want 2, got 1"),
        ({"doors": [{"between": ["hall", "vault"]}]}, "hall and vault are not side by side"),
        ({"doors": FIELDS["doors"][:2]}, "no plan of the two together"),
        ({"limit": 8}, "the shortest plan takes 9 turns"),
        ({"roles": {"ann": {}}}, "seats 2 players, got 1"),
        ({"protocol": {"name": "joint_action", "talk": 1, "deadline": 30}}, "protocol.deadline: 30"),
        ({"levers": {"chain": {"room": "attic", "takes": "rope"}, "wheel": {"room": "vault"}}},
         "no 'rope' among the things"),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_what_is_no_adventure_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(MootError, match=why):
        opened(**change)


# ---- players and picture -------------------------------------------------------------------------


def test_players_understand_each_other() -> None:
    gaps = {"what": "old key", "room": "boot room", "tool": "miner's glove"}
    for kind, sayings in SAYINGS.items():
        for saying in sayings:
            ((said, *fills),) = heard(saying.format(**gaps))
            assert said == kind
            assert set(fills) <= set(gaps.values())
    assert heard("Nice weather. I need the lamp. Good!") == [("need", "lamp")]


def share(names: tuple[str, str], episodes: int, **fields: Any) -> float:
    """Mean share of the best score."""
    total = 0.0
    for number in range(episodes):
        scenario = AdventureGenerator(**{"slack": 2.5, **fields}).draw(random.Random(number))
        players = dict(zip(scenario.roles, map(Scripted, names), strict=True))
        sees = frozenset(seat for seat, player in players.items() if player.sees_all)
        table = Environment(scenario, episode=number, sees_all=sees)
        while table.speaker is not None:
            made = table.step(players[table.speaker].reply(table.observe()))
            assert made.error is None
        utilities = table.episode().outcome.utilities
        total += sum(utilities.values()) / Adventure.solve(scenario).max_joint
    return total / episodes


def test_players_stand_in_order() -> None:
    assert share(("oracle", "oracle"), 3) == pytest.approx(1)
    assert 0.8 < share(("sensible", "sensible"), 6) < 1
    assert share(("sensible", "oracle"), 4) > 0.5
    assert share(("random", "random"), 4) < 0.2
    ignorant: dict[str, Any] = {"map_for": "nobody", "notes_for": "nobody", "slack": 4}
    assert share(("sensible", "sensible"), 4, **ignorant) > 0.6


def test_the_picture_is_an_svg_of_the_state() -> None:
    table = opened()
    assert isinstance(table.world, Adventure)
    before = table.world.picture()
    turn(table, "take lamp", "wait")
    after_ = table.world.picture()
    assert before.startswith("<svg")
    assert ">lamp</text>" in before
    assert "ann: lamp" in after_


def test_a_run_is_found_sound_though_waiting_names_no_thing(tmp_path: Path) -> None:
    simulate("lighthouse", episodes=1, out=tmp_path / "run")
    problems, words = check_run(tmp_path / "run")
    assert problems == []
    assert "sound; 1 episode" in words
    file = tmp_path / "run" / "episodes.jsonl"
    wrong = file.read_text().replace('{"do":"wait"}', '{"do":"wait","what":"lamp"}')
    file.write_text(wrong)
    problems, _ = check_run(tmp_path / "run")
    assert len(problems) == 1
    assert len(problems[0]) < 400
