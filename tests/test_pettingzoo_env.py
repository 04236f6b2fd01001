"""Our worlds as PettingZoo environments: its own tests, the numbers of replies, and what is paid when."""

from __future__ import annotations

import json
import random
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moot.environments import WORLDS, Environment, Template
from moot.environments.load import draw, load_scenario
from moot.environments.slots import SIZE, Slots, encoded, few
from moot.protocols import Act, Observation
from moot.protocols.schemas import fits

pytest.importorskip("pettingzoo", reason="needs the extra: pip install 'moot[hybrid]'")


from moot.environments.pettingzoo_env import Table, Together

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its tests import a game by a deprecated name
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

STYLE = [
    "ignore:Observation is not a NumPy array",  # a dictionary with a mask, as its own board games
    "ignore:Observation space for each agent probably should be",
    "ignore:We recommend agents to be named",
    "ignore:No agents present but not all possible_agents",  # generators that vary the seats
    "ignore:Agent was given",
    "ignore:Live agent was not given",
]
quiet = pytest.mark.filterwarnings(*STYLE)


def source(world: str) -> Template:
    loaded = load_scenario({"name": world, "world": world, "generate": {}})
    assert isinstance(loaded, Template)
    return loaded


@quiet
@pytest.mark.parametrize("world", WORLDS)
def test_every_world_passes_the_tests_of_pettingzoo(world: str) -> None:
    api_test(Table(source(world), width=8), num_cycles=6)
    seed_test(lambda: Table(source(world), width=8), num_cycles=6)


@quiet
@pytest.mark.parametrize("world", WORLDS)
def test_every_world_passes_the_parallel_tests(world: str) -> None:
    parallel_api_test(Together(source(world), width=8), num_cycles=12)
    parallel_seed_test(lambda: Together(source(world), width=8), num_cycles=6)


def playing(env: Table, seed: int) -> list[tuple[str, int]]:
    """Random legal play to the end: who chose what."""
    env.reset(seed=seed)
    rng, chosen = random.Random(seed), list[tuple[str, int]]()
    for agent in env.agent_iter():
        view, _, ended, cut, _ = env.last()
        if ended or cut:
            env.step(None)
            continue
        chosen.append((agent, rng.choice(np.flatnonzero(view["action_mask"]).tolist())))
        env.step(chosen[-1][1])
    return chosen


def test_numbers_are_legal_replies_and_the_score_is_paid_at_the_end() -> None:
    env = Table("deal_or_no_deal")
    for seed in range(20):
        env.reset(seed=seed)
        total = dict.fromkeys(env.agents, 0.0)
        rng = random.Random(seed)
        while env.table.ended is None:
            view, _, _, _, info = env.last()
            legal = np.flatnonzero(view["action_mask"]).tolist()
            assert legal == sorted(info["replies"])
            assert view["observation"].shape == (SIZE,)
            assert env.observation_space("agent_0").contains(view)
            env.step(rng.choice(legal))
            total = {a: total[a] + env.rewards[a] for a in total}
        assert all(turn.error is None for turn in env.table.turns)
        utilities = env.table.episode().outcome.utilities
        assert list(total.values()) == list(utilities.values())
        cut = env.table.ended == "limit"
        assert set(env.truncations.values()) == {cut}
        assert set(env.terminations.values()) == {not cut}


def test_the_same_seed_is_the_same_game_and_the_next_is_another() -> None:
    one, two = Table("deal_or_no_deal"), Table("deal_or_no_deal")
    assert playing(one, 4) == playing(two, 4)
    one.reset(seed=4)
    first = one.infos["agent_0"]["card"]
    one.reset()
    assert one.infos["agent_0"]["card"] != first
    one.reset(seed=4)
    assert one.infos["agent_0"]["card"] == first


def test_a_masked_action_is_an_illegal_reply() -> None:
    env = Table("deal_or_no_deal")
    env.reset(seed=0)
    masked = int(np.flatnonzero(env.last()[0]["action_mask"] == 0)[0])
    for _ in range(env.table.scenario.patience + 1):
        assert env.agent_selection == "agent_0"
        env.step(masked)
    assert env.table.ended == "forfeited"
    assert env.terminations == {"agent_0": True, "agent_1": True}


def test_a_number_means_the_same_in_every_turn() -> None:
    env = Table("deal_or_no_deal")
    meant: dict[int, str] = {}
    for seed in range(5):
        env.reset(seed=0)
        rng = random.Random(seed)
        while env.table.ended is None:
            view, _, _, _, info = env.last()
            for number, reply in info["replies"].items():
                assert meant.setdefault(number, json.dumps(reply)) == json.dumps(reply)
            env.step(rng.choice(np.flatnonzero(view["action_mask"]).tolist()))
    assert len(meant) > 40


def test_sealed_moves_are_made_in_one_step() -> None:
    generate = {"env": "pettingzoo:classic/rps_v2", "talk": 0, "kwargs": {"max_cycles": 3}}
    env = Together({"name": "rps", "world": "hybrid", "generate": generate})
    views, _ = env.reset(seed=1)
    for step in range(3):
        masks = [np.flatnonzero(v["action_mask"]).tolist() for v in views.values()]
        assert [len(m) for m in masks] == [3, 3]
        views, rewards, ended, cut, _ = env.step(
            {a: m[0] for a, m in zip(views, masks, strict=True)}
        )
        assert len(env.table.turns) == 2 * (step + 1)
    assert cut == {"agent_0": True, "agent_1": True}
    assert set(ended.values()) == {False}
    assert rewards == {"agent_0": 0.0, "agent_1": 0.0}
    assert env.agents == []


def test_in_turns_only_the_speaker_is_heard() -> None:
    env = Together("deal_or_no_deal")
    views, _ = env.reset(seed=0)
    assert np.flatnonzero(views["agent_1"]["action_mask"]).tolist() == [0]
    env.step({"agent_0": int(np.flatnonzero(views["agent_0"]["action_mask"])[0]), "agent_1": 0})
    assert [t.agent for t in env.table.turns] == [env.seats["agent_0"]]
    assert env.table.turns[0].error is None
    assert env.render().startswith(env.seats["agent_0"])


# ---- slots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "count"),
    [
        ({"const": 3}, 1),
        ({"enum": list(range(50))}, 8),
        ({"type": "integer", "minimum": -3, "maximum": 2}, 6),
        ({"type": "integer", "minimum": 0, "maximum": 900, "multipleOf": 25}, 8),
        ({"type": "number", "minimum": 0.5, "maximum": 2, "multipleOf": 0.25}, 7),
        ({"type": "number", "minimum": 0, "maximum": 1}, 8),
        ({"type": "boolean"}, 2),
        ({"type": "string", "minLength": 2, "maxLength": 4}, 1),
        ({"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "maxItems": 2,
          "uniqueItems": True}, 6),
        ({"type": "array", "items": {"enum": list("abcde")}, "minItems": 1, "maxItems": 9}, 8),
        ({"type": "array", "items": {"type": "boolean"}, "maxItems": 2}, 7),
        ({"type": "array", "items": {"enum": list("abcde")}, "maxItems": 99}, 8),
        ({"anyOf": [{"const": "pass"}, {"enum": [1, 2, 3]}]}, 4),
        ({"type": "object", "required": ["a", "b"], "additionalProperties": False, "properties":
          {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"type": "boolean"}}}, 8),
    ],
    ids=lambda s: str(s)[:40],
)  # fmt: skip
def test_a_few_values_are_all_legal(schema: dict[str, Any], count: int) -> None:
    values = few(schema, 8)
    assert len(values) == count
    assert all(fits(schema, v) for v in values)
    assert len({json.dumps(v) for v in values}) == count
    if "maximum" in schema:
        assert values[0] == schema["minimum"]
        assert values[-1] == schema["maximum"]


@pytest.mark.parametrize("world", WORLDS)
def test_slots_of_every_world_hold_legal_replies(world: str) -> None:
    for number in range(3):
        table = Environment(draw(source(world), 2, number), episode=number)
        slots = Slots([table.protocol], len(table.agents), 16)
        rng = random.Random(number)
        while table.ended is None and len(table.turns) < 30:
            seen = table.observe()
            legal = slots.legal(seen)
            assert max(legal) < slots.count
            numbers = encoded(seen)
            assert len(numbers) == SIZE
            assert all(-1 <= n <= 1 for n in numbers)
            chosen = legal[rng.choice(sorted(legal))]
            assert table.step(chosen).error is None


def test_what_is_encoded_is_what_may_be_seen() -> None:
    """Another's secret changes nothing, one's own does."""
    scenario = draw(load_scenario("deal_or_no_deal"), 0, 0)
    data = scenario.model_dump()
    own = next(iter(data["roles"]))
    data["roles"][own]["values"] = {k: v + 1 for k, v in data["roles"][own]["values"].items()}
    other = type(scenario).model_validate(data)

    def view(of: Any, agent: str) -> list[float]:
        seen: Observation = Environment(of).observe(agent)
        return encoded(seen)

    stranger = next(a for a in scenario.roles if a != own)
    assert view(scenario, stranger) == view(other, stranger)
    assert view(scenario, own) != view(other, own)
    assert Act.PROPOSE in [m.act for m in Environment(scenario).conversation.moves()]


def test_the_page_about_it_is_so(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "worlds" / "pettingzoo.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    assert '"act":' in capsys.readouterr().out
    assert f"float32 ({SIZE},)" in page
