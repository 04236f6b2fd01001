"""Environments of others as worlds: names, words, masks, rewards, replays and pictures."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Scenario, fork
from moot.environments.check import check_environment
from moot.environments.describe import Actions, Describer, plain, short, worded
from moot.environments.describers import DESCRIBERS
from moot.environments.load import draw, load_scenario
from moot.environments.worlds.hybrid import Hybrid
from moot.protocols import Act, Ended, MootError, Reply

pytest.importorskip("pettingzoo", reason="needs the extra: pip install 'moot[hybrid]'")
pytest.importorskip("mpe2", reason="needs the extra: pip install 'moot[hybrid]'")
pytest.importorskip("minigrid", reason="needs the extra: pip install 'moot[hybrid]'")

SPREAD = {"env": "mpe2:simple_spread_v3", "kwargs": {"N": 2, "max_cycles": 4}}
PURSUIT = {
    "env": "pettingzoo:sisl/pursuit_v5",
    "kwargs": {"n_pursuers": 2, "n_evaders": 2, "x_size": 7, "y_size": 7, "max_cycles": 3},
}
MINIGRID = {
    "env": "minigrid:MiniGrid-DoorKey-5x5-v0",
    "kwargs": {"max_steps": 6},
    "advisers": ["guide"],
}


def scenario(env: str, *seats: str, seed: int = 3, talk: int = 0, **fields: Any) -> Scenario:
    """A fixed scenario; a seat `x=role` has that role."""
    roles = {s.partition("=")[0]: {"role": s.partition("=")[2]} for s in seats}
    data = {"world": "hybrid", "env": env, "seed": seed, "roles": roles, **fields}
    loaded = load_scenario(
        {**data, "protocol": {"name": "joint_action", "talk": talk, "deadline": 500}}
    )
    assert isinstance(loaded, Scenario)
    return loaded


def tictactoe(**fields: Any) -> Environment:
    return Environment(
        scenario("pettingzoo:classic/tictactoe_v3", "player_1", "player_2", **fields)
    )


def act(table: Environment, action: Any) -> Any:
    turn = table.step(Reply(act=Act.REQUEST, content={"action": action}))
    return turn.error or turn.message


def legal(table: Environment) -> list[Any]:
    fields = table.observe().schema()["anyOf"][0]["properties"]["content"]["properties"]["action"]
    return fields.get("enum", [fields.get("const")])


def told(table: Environment, agent: str) -> str:
    """The last thing that the world has told an agent."""
    return [m.text for m in table.observe(agent).heard if m.sender == "world"][-1]


# ---- contracts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "generate",
    [
        SPREAD,
        PURSUIT,
        MINIGRID,
        {"env": "gymnasium:Pendulum-v1", "kwargs": {"max_episode_steps": 3}, "advisers": ["guide"]},
        {"env": "pettingzoo:classic/rps_v2", "kwargs": {"max_cycles": 3}, "talk": 2},
        {**SPREAD, "kwargs": {"N": 2, "max_cycles": 2, "continuous_actions": True}, "talk": 0},
    ],
    ids=lambda g: g["env"],
)
def test_environments_of_others_keep_the_promises(generate: dict[str, Any]) -> None:
    tried = check_environment({"world": "hybrid", "name": "h", "generate": generate}, episodes=2)
    assert tried.messages >= 8
    assert tried.varied > 10


def test_returns_are_those_of_the_environment_alone() -> None:
    from mpe2 import simple_spread_v3

    table = Environment(
        scenario("mpe2:simple_spread_v3", "agent_0", "agent_1", kwargs=SPREAD["kwargs"], seed=11)
    )
    alone = simple_spread_v3.parallel_env(**SPREAD["kwargs"])
    alone.reset(seed=11)
    returns = dict.fromkeys(alone.agents, 0.0)
    names = DESCRIBERS["mpe2:simple_spread"].acts
    for actions in ((1, 2), (0, 0), (4, 3), (2, 2)):
        for action in actions:
            assert act(table, names[action]).receivers == ()
        rewards = alone.step(dict(zip(returns, actions, strict=True)))[1]
        for agent, reward in rewards.items():
            returns[agent] += reward
    episode = table.episode()
    assert episode.ended is Ended.LIMIT, "truncated is not done"
    assert episode.outcome.utilities == pytest.approx(returns)
    assert episode.outcome.deal == {"steps": 4}
    assert not episode.outcome.completed
    assert episode.outcome.results["truncated"] == 1.0


def test_the_end_of_a_game_is_done() -> None:
    table = tictactoe()
    for square in ("centre middle", "top left", "centre left", "top right", "centre right"):
        act(table, square)
    assert table.ended is Ended.DONE
    assert told(table, "player_2").startswith("Reward -1. Your part has terminated.")
    outcome = table.episode().outcome
    assert outcome.completed
    assert outcome.utilities == {"player_1": 1.0, "player_2": -1.0}


def test_a_goal_decides_what_is_completed() -> None:
    for goal, done in ((0.5, False), (-0.5, True)):
        table = tictactoe(goal=goal)
        for square in ("centre middle", "top left", "centre left", "top right", "centre right"):
            act(table, square)
        assert table.episode().outcome.completed is done


# ---- what is legal -------------------------------------------------------------------------------


def test_the_action_mask_narrows_the_schema() -> None:
    table = tictactoe()
    assert len(legal(table)) == 9
    act(table, "top left")
    assert len(legal(table)) == 8
    assert "top left" not in legal(table)
    refused = act(table, "top left")
    assert refused.kind == "bad-content"
    assert "centre middle" in refused.legal
    assert table.world.outcome(Ended.DONE).utilities == {"player_1": 0.0, "player_2": 0.0}


def test_who_is_not_to_move_passes() -> None:
    reversed_ = scenario("pettingzoo:classic/tictactoe_v3", "player_2", "player_1")
    table = Environment(reversed_)
    assert legal(table) == ["pass"]
    act(table, "pass")
    assert len(legal(table)) == 9
    act(table, "top left")
    assert table.speaker == "player_2"
    assert len(legal(table)) == 8


def test_advisers_see_everything_and_only_talk() -> None:
    table = Environment(
        scenario("minigrid:MiniGrid-DoorKey-5x5-v0", "player", "guide=adviser", talk=1)
    )
    assert "yellow key" in table.observe("guide").card
    assert "The map" in table.observe("guide").card
    assert "The map" not in table.observe("player").card
    table.step(Reply(act=Act.INFORM, content={"action": "forward"}, text="I go on."))
    announced = table.step(Reply(act=Act.INFORM, content={"action": "forward"}))
    assert announced.error is not None
    table.step(Reply(act=Act.INFORM, text="The key is right of you."))
    act(table, "left")
    assert legal(table) == ["pass"]
    assert "The map" in told(table, "guide")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("os:system", "may import gymnasium, minigrid, mpe2, pettingzoo only; .* MOOT_PACKAGES=os"),
        ("json.tool:main", "may import"),
        ("simple_spread_v3", "want package:environment"),
        ("mpe2:simple_sprad_v3", "did you mean 'simple_spread_v3'?"),
        ("mpe2:_mpe_utils", "has no environment"),
        ("mpe2:../os", "has no environment"),
        ("pettingzoo:classic/tictacto_v3", "did you mean 'classic/tictactoe_v3'?"),
        ("gymnasium:os:CartPole-v1", "has no environment"),
        ("minigrid:MiniGrid-Emty-5x5-v0", "did you mean 'MiniGrid-Empty-5x5-v0'?"),
    ],
)
def test_names_that_import_nothing(env: str, said: str) -> None:
    with pytest.raises(MootError, match=said):
        scenario(env, "a", "b")


def test_a_package_that_the_user_trusts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_games").mkdir()
    (tmp_path / "my_games" / "__init__.py").write_text("")
    (tmp_path / "my_games" / "spread_v0.py").write_text(
        "from mpe2.simple_spread_v3 import env, parallel_env\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MootError, match="set MOOT_PACKAGES=my_games"):
        scenario("my_games:spread_v0", "agent_0", "agent_1", "agent_2")
    monkeypatch.setenv("MOOT_PACKAGES", "my_games")
    assert Environment(scenario("my_games:spread_v0", "agent_0", "agent_1", "agent_2")).speaker


@pytest.mark.parametrize(
    ("seats", "said"),
    [
        (("player_1", "ann"), "has no agent 'ann'"),
        (("player_1", "ann=adviser"), "0 seats for agent 'player_2'"),
        (("player_1", "player_2", "ann=player_2"), "2 seats for agent 'player_2'"),
    ],
)
def test_seats_that_do_not_fit(seats: tuple[str, ...], said: str) -> None:
    with pytest.raises(MootError, match=said):
        scenario("pettingzoo:classic/tictactoe_v3", *seats)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(MootError, match=r"env mpe2:.* TypeError: .*'M'"):
        scenario("mpe2:simple_spread_v3", "agent_0", "agent_1", kwargs={"M": 2})


def test_images_want_a_describer(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pictures").mkdir()
    (tmp_path / "my_pictures" / "__init__.py").write_text(
        "import gymnasium, numpy\n"
        "class Image(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(0, 255, (30, 30), numpy.uint8)\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, seed=None, options=None):\n"
        "        return numpy.zeros((30, 30), numpy.uint8), {}\n"
        "gymnasium.register('MyImage-v0', Image)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MOOT_PACKAGES", "my_pictures")
    seats = ("player", "guide=adviser")
    with pytest.raises(MootError, match="a view is 900 numbers, at most 600"):
        scenario("my_pictures:MyImage-v0", *seats)
    worded_ = Describer(look=lambda view: f"{sum(map(sum, view))} in all")
    monkeypatch.setitem(DESCRIBERS, "my_pictures:MyImage", worded_)
    assert "0 in all" in Environment(scenario("my_pictures:MyImage-v0", *seats)).observe().card


# ---- words ---------------------------------------------------------------------------------------


def test_directions_of_spread_mean_what_they_say() -> None:
    seats = ("agent_0", "agent_1")
    where: dict[str, list[float]] = {}
    for name in ("stay", "left", "right", "down", "up"):
        table = Environment(scenario("mpe2:simple_spread_v3", *seats, kwargs={"N": 2}))
        act(table, name)
        act(table, "stay")
        data = table.observe("agent_0").heard[-1].content
        assert data is not None
        where[name] = data.model_dump()["observation"][0:2]  # velocity
    assert where["left"][0] < where["stay"][0] < where["right"][0]
    assert where["down"][1] < where["stay"][1] < where["up"][1]


def test_directions_of_pursuit_mean_what_they_say() -> None:
    """Evaders stand still: what lay at (x, y) lies at (x - 1, y) after a step east."""
    kwargs = {**PURSUIT["kwargs"], "freeze_evaders": True, "obs_range": 13, "n_evaders": 1}
    for name, (dx, dy) in {
        "east": (1, 0),
        "west": (-1, 0),
        "north": (0, 1),
        "south": (0, -1),
    }.items():
        moved = 0
        for seed in range(6):
            table = Environment(
                scenario(PURSUIT["env"], "pursuer_0", "pursuer_1", kwargs=kwargs, seed=seed)
            )
            before = _evader(table.observe("pursuer_0").card)
            act(table, name)
            act(table, "stay")
            after = _evader(told(table, "pursuer_0"))
            assert after in (before, (before[0] - dx, before[1] - dy))
            moved += after != before
        assert moved, "walls stop some of them, not all"


def _evader(text: str) -> tuple[int, int]:
    found = re.search(r"Evaders: \((-?\d+), (-?\d+)\)", text)
    assert found, text
    return int(found[1]), int(found[2])


def test_a_board_in_words() -> None:
    table = tictactoe()
    act(table, "top middle")
    assert told(table, "player_2").endswith(". O . / . . . / . . .")
    act(table, "bottom left")
    assert told(table, "player_1").endswith(". X . / . . . / O . .")


def test_views_without_a_describer() -> None:
    import numpy as np

    view = {"a": np.array([1.23456, -0.0001]), "b": np.int64(3), "action_mask": np.array([1])}
    assert plain(view) == {"a": [1.235, 0.0], "b": 3}
    assert worded(plain(view)) == "a: 1.235 0; b: 3"
    assert worded([[1, 2], [3, 4]]) == "1 2 / 3 4"
    assert worded([0.5, 2], ("speed", "age")) == "speed 0.5, age 2"
    assert worded([[[1]], [[2]]]) == "[0] 1; [1] 2"
    assert plain(np.array([np.nan, 2.0], np.float32)) == [None, 2.0]
    assert plain((np.array(["a", "b"]), np.float32(0.1), True)) == [["a", "b"], 0.1, True]
    assert [short(x) for x in (-0.0001, 12.5, 1234.5674, -2000.0)] == [
        "0",
        "12.5",
        "1234.567",
        "-2000",
    ]


def test_actions_of_every_space() -> None:
    import numpy as np
    from gymnasium import spaces

    shifted = Actions(spaces.Discrete(3, start=5), Describer())
    assert shifted.schema([True, False, True]) == {"enum": [5, 7]}
    assert (shifted.value(7), shifted.phrase()) == (7, "5, 6, 7")
    several = Actions(spaces.MultiDiscrete([2, 3]), Describer(parts=("light", "level")))
    assert several.schema()["properties"] == {
        "light": {"enum": [0, 1]},
        "level": {"enum": [0, 1, 2]},
    }
    assert several.value({"light": 1, "level": 2}).tolist() == [1, 2]
    low, high = np.array([[-0.1, 0.0], [0.1, np.inf]], dtype=np.float32)
    box = spaces.Box(low, high, dtype=np.float32)
    numbers = Actions(box, Describer())
    assert "maximum" not in numbers.schema()["properties"]["1"]
    assert box.contains(numbers.value({"0": 0.1, "1": 7.5}))
    switches = Actions(spaces.MultiBinary(2), Describer())
    assert switches.value({"0": 1, "1": 0}).tolist() == [1, 0]
    with pytest.raises(MootError, match="want Discrete"):
        Actions(spaces.Text(3), Describer())


# ---- state, pictures, players --------------------------------------------------------------------


def test_a_fork_meets_the_same_environment() -> None:
    template = load_scenario({"world": "hybrid", "name": "h", "generate": SPREAD})
    table = Environment(draw(template, 5))
    while table.ended is None:
        table.step(Scripted("random").reply(table.observe()))
    episode = table.episode()
    at = next(i for i, t in enumerate(episode.turns) if t.state == "move")
    other = fork(episode, at, Reply(act=Act.REQUEST, content={"action": "up"}))
    assert isinstance(other.world, Hybrid)
    assert other.turns[:at] == list(episode.turns[:at])


@pytest.mark.parametrize("generate", [SPREAD, MINIGRID], ids=lambda g: g["env"])
def test_pictures_are_the_environments_own(generate: dict[str, Any]) -> None:
    table = Environment(draw(load_scenario({"world": "hybrid", "name": "h", "generate": generate})))
    world = table.world
    assert isinstance(world, Hybrid)
    before = world.picture()
    data = re.search(r"base64,([^\"]+)", before)
    assert data
    assert base64.b64decode(data[1]).startswith(b"\x89PNG")
    assert world.picture() == before, "looking changes nothing"
    while table.world.outcome(Ended.DONE).results["steps"] < 2:
        table.step(Scripted("random").reply(table.observe()))
    assert world.picture() != before


def test_what_draws_no_picture_shows_its_words() -> None:
    generate = {"env": "gymnasium:Blackjack-v1", "advisers": ["guide"]}
    table = Environment(draw(load_scenario({"world": "hybrid", "name": "h", "generate": generate})))
    world: Any = table.world
    world._run.draws = ()
    assert "player: " in world.picture()


def joint(source: Any, who: str, episode: int) -> dict[str, float]:
    """Utilities of an episode of `who` in every seat, or seat by seat, comma-separated."""
    table = Environment(draw(source, 1, episode), seed=1, episode=episode)
    players = who.split(",")
    while table.ended is None:
        seat = table.agents.index(table.speaker or "")
        turn = table.step(Scripted(players[seat % len(players)]).reply(table.observe()))
        assert turn.error is None, turn.error
    return table.episode().outcome.utilities


@pytest.mark.parametrize("name", ["spread", "key_and_door", "pursuit"])
def test_the_sensible_player_beats_chance(name: str) -> None:
    source = load_scenario(name)
    chance, sense = (
        sum(sum(joint(source, who, i).values()) for i in range(2)) for who in ("random", "sensible")
    )
    assert sense > chance


def test_a_guide_shortens_the_way() -> None:
    source = load_scenario("key_and_door")

    def steps(silent: bool) -> float:
        total = 0.0
        for number in range(4):
            table = Environment(draw(source, 1, number), seed=1, episode=number)
            while table.ended is None:
                reply = Scripted("sensible").reply(table.observe())
                if silent and table.speaker == "guide" and reply.act == Act.INFORM:
                    reply = Reply(act=Act.INFORM)
                assert table.step(reply).error is None
            assert table.episode().outcome.completed
            total += table.episode().outcome.results["steps"]
        return total

    assert steps(silent=False) < steps(silent=True)


def test_the_oracle_never_loses_tic_tac_toe() -> None:
    source = load_scenario("tic_tac_toe")
    for i in range(6):
        assert joint(source, "random,oracle", i)["player_2"] >= 0
        assert joint(source, "oracle,sensible", i)["player_1"] >= 0
    connect = {"env": "pettingzoo:classic/connect_four_v3", "talk": 0}
    four = load_scenario({"world": "hybrid", "name": "four", "generate": connect})
    won = sum(joint(four, "sensible,random", i)["player_0"] for i in range(4))
    assert won >= 2


def test_the_page_about_them_is_so() -> None:
    page = (Path(__file__).parents[1] / "docs" / "worlds" / "hybrid.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert Environment(draw(load_scenario(yaml.safe_load(shown)))).speaker == "agent_0"
    known = dict(DESCRIBERS)
    try:
        for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(textwrap.dedent(code), {})
        assert "my_games:lights" in DESCRIBERS
    finally:
        DESCRIBERS.clear()
        DESCRIBERS.update(known)


def test_moot_alone_loads_none_of_them() -> None:
    code = (
        "import sys, moot, moot.environments; "
        "sys.exit(any(m in sys.modules for m in ('pettingzoo', 'gymnasium', 'mpe2', 'pygame')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
