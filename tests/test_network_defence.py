"""Network defence: the rules of a round, the solver against brute force, who hears what, the players."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from statistics import mean
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.network_defence import Place, believed, plan, read_map, rounds
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, Scenario, play
from moot.environments.check import check_environment
from moot.environments.load import draw, load_scenario
from moot.environments.worlds.equilibria import security
from moot.environments.worlds.network_defence import NetworkDefence
from moot.environments.worlds.network_game import (
    TAKE,
    Action,
    Network,
    State,
    defence,
    stage,
    step,
    undefended,
)
from moot.environments.worlds.network_scenario import NetworkGenerator, NetworkScenario
from moot.environments.worlds.zero_sum import zero_sum
from moot.protocols import Act, Ended, MootError, Observation, Reply, check_protocol, joint_action

SIDES = {"team": "defender", "rival": "attacker"}
FEW = settings(max_examples=40, deadline=None, derandomize=True)


def site(talk: int = 0, **fields: Any) -> NetworkScenario:
    """gate - web - db, and mail beside web."""
    return NetworkScenario.model_validate(
        {
            "protocol": {"name": "joint_action", "talk": talk, "deadline": None, **SIDES},
            "links": [["gate", "web"], ["web", "db"], ["web", "mail"]],
            "entry": "gate",
            "values": {"db": 8, "mail": 2},
            "parts": {"dora": ["web", "mail"], "eli": ["db"]},
            "missed": 0.0,
            "false_alarms": 0.0,
            "roles": {"dora": {}, "eli": {}, "attacker": {}},
            **fields,
        }
    )


def act(table: Environment, *actions: str) -> dict[str, str]:
    """One round; agent -> the words that it is told."""
    for action in actions:
        turn = table.step(Reply(act=Act.REQUEST, content={"action": action}))
        assert turn.message, turn.error
    return {m.receivers[0]: m.text for m in turn.told or () if len(m.receivers) == 1}


def meet(scenario: Scenario, team: str, attacker: str, episode: int = 0) -> Episode:
    pools = {
        a: ScriptedPool(Scripted(attacker if a == "attacker" else team)) for a in scenario.roles
    }
    table = Environment(scenario, seed=1, episode=episode, sees_all=frozenset(scenario.roles))
    (played,) = play([table], pools)
    assert played.ended is Ended.DONE, played.why
    assert all(turn.error is None for turn in played.turns)
    return played


def belief(seen: Observation) -> dict[Place, float]:
    return believed(read_map(seen.public), rounds(seen))


# ---- the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("talk", [0, 1, 2])
def test_a_team_talks_among_itself(talk: int) -> None:
    notes = check_protocol(joint_action(talk, 13, **SIDES), paths=30)
    assert notes.seen["attacker"] == {("request", True)}
    assert (("inform-ref", True) in notes.seen["defender"]) == (talk > 0)


def test_the_attacker_hears_nothing_of_the_talk_and_nobody_of_the_moves() -> None:
    table = Environment(site(talk=1))
    said = table.step(Reply(act=Act.INFORM_REF, content={"alerts": []}, text="All quiet."))
    assert said.message is not None
    assert said.message.receivers == ("eli",)
    table.step(Reply(act=Act.INFORM, content={"action": "isolate db"}))
    for agent, heard in (("dora", 2), ("eli", 2), ("attacker", 0)):
        assert len(table.observe(agent).heard) == heard
    act(table, "watch", "watch")
    assert not table.observe("attacker").heard
    assert table.speaker == "attacker"


def test_one_who_defends_alone_can_only_keep_silent() -> None:
    table = Environment(
        site(1, parts={"dora": ["web", "db"]}, roles={"dora": {}, "attacker": {}}),
    )
    assert [o.move.act for o in table.observe().options] == [Act.REFUSE]
    assert table.step(Reply(act=Act.REFUSE)).message
    assert table.observe().may(Act.REQUEST)
    assert meet(table.scenario, "sensible", "sensible").messages[0].act is Act.REFUSE


# ---- the rules -----------------------------------------------------------------------------------


def test_an_attack_by_hand() -> None:
    table = Environment(site(rounds=4))
    told = act(table, "watch", "watch", "move web")
    assert told["dora"] == "Round 1: dora watched, eli watched. Alerts in your part: web. 3 to go."
    assert told["eli"].endswith("Alerts in your part: none. 3 to go."), "web is not its part"
    assert told["attacker"] == "Round 1: you moved to web. You are at web; 0 taken; 3 to go."
    told = act(table, "inspect web", "isolate db", "move db")
    assert "dora inspected web (the attacker is there)" in told["eli"]
    assert "eli isolated db (stopped the attacker). Alerts in your part: db" in told["eli"]
    assert "you were cut off and could not move db. You are at web" in told["attacker"]
    told = act(table, "restore mail", "isolate db", "move mail")
    assert "dora restored mail (threw the attacker out)" in told["dora"]
    assert "eli isolated db (stopped nothing). Alerts in your part: none" in told["eli"]
    assert "You were thrown out. You are at gate" in told["attacker"]
    act(table, "restore web", "inspect db", "hide")
    outcome = table.episode().outcome
    assert table.ended is Ended.DONE
    assert outcome.completed, "nothing was taken"
    damage = (1 + 2 + 3 + 2 + 3 + 1) / 10
    assert outcome.utilities == {"dora": -damage / 2, "eli": -damage / 2, "attacker": damage}
    assert outcome.results == {
        "damage": damage, "exfiltrated": 0, "spent": damage, "compromised": 2, "false_isolations": 1,
        "rounds": 4,
    }  # fmt: skip


def test_it_is_over_when_everything_is_taken() -> None:
    table = Environment(site(rounds=9, values={"db": 8}))
    for move in ("move web", "move db"):
        act(table, "watch", "watch", move)
    assert table.observe("attacker").schema()["anyOf"] == []
    told = act(table, "watch", "restore db", "take")
    assert "you took what db holds, worth 8. You were thrown out." in told["attacker"]
    episode = table.episode()
    assert episode.ended is Ended.DONE
    assert episode.outcome.deal == {
        "rounds": 3, "taken": 8, "costs": 3, "trail": ["gate", "web", "db", "db", "gate"],
    }  # fmt: skip
    assert not episode.outcome.completed
    assert episode.outcome.utilities["attacker"] == 11 / 8
    assert episode.turns[-1].told[-1].text == "It is over. Taken: 8 of 8; the defence cost 3."  # type: ignore[index]


@pytest.mark.parametrize(("turns", "lost"), [(0, 1.0), (1, 1.0), (2, 0.0), (3, 1.0), (5, 0.0)])
def test_who_forfeits_loses_what_is_left_to_lose(turns: int, lost: float) -> None:
    table = Environment(site(rounds=3))
    for number in range(turns):
        table.step(
            Reply(act=Act.REQUEST, content={"action": ("watch", "watch", "hide")[number % 3]})
        )
    table.step(Reply(error="gone"))
    outcome = table.episode().outcome
    assert outcome.utilities == {"dora": -lost / 2, "eli": -lost / 2, "attacker": lost}
    assert not outcome.completed
    assert (outcome.deal is None) == (turns == 0)
    if not turns:
        solution = NetworkDefence.solve(table.scenario)
        assert tuple(outcome.utilities.values()) == solution.disagreement


def test_alerts_come_as_often_as_the_scenario_says() -> None:
    counts = {"true": 0, "false": 0}
    for seed in range(200):
        table = Environment(site(rounds=1, missed=0.25, false_alarms=0.1, seed=seed))
        told = act(table, "watch", "watch", "move web")
        counts["true"] += "web" in told["dora"]
        counts["false"] += "mail" in told["dora"]
    assert counts["true"] / 200 == pytest.approx(0.75, abs=0.08)
    assert counts["false"] / 200 == pytest.approx(0.1, abs=0.06)


def test_what_the_attacker_does_shows_in_alerts_alone() -> None:
    """With sensors that miss everything, a team sees the same whatever the attacker does."""
    views = set[str]()
    for moves in (("hide", "hide"), ("move web", "move db"), ("move web", "move gate")):
        table = Environment(site(missed=1.0, false_alarms=0.4, seed=5))
        for move in moves:
            act(table, "watch", "isolate db" if move == "hide" else "watch", move)
        views.add(table.observe("dora").dump() if "hide" not in moves else "")
    assert len(views) == 2, "both attackers that move look alike"


def test_what_the_team_says_never_reaches_the_attacker() -> None:
    views = set[str]()
    for content in ({"alerts": []}, {"alerts": ["web"]}):
        table = Environment(site(talk=1))
        table.step(Reply(act=Act.INFORM_REF, content=content))
        table.step(Reply(act=Act.INFORM, text=f"I heard {content}"))
        views.add(table.observe("attacker").dump())
        act(table, "watch", "watch", "move web")
        views.add(table.observe("attacker").dump())
    assert len(views) == 2


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"entry": "gaet"}, "is in no link"),
        ({"values": {"gate": 3}}, "not a host behind the entry"),
        ({"links": [["gate", "web"], ["db", "mail"]]}, "no way leads from gate to db"),
        ({"parts": {"dora": ["web"], "eli": ["web"]}}, "more than once"),
        ({"parts": {"dora": ["web"]}}, "want hosts for each of dora, eli"),
        ({"roles": {"dora": {}, "eli": {}}}, "want one attacker and 1 to 3 defenders, got 0 and 2"),
        ({"roles": {"dora": {"role": "spy"}, "eli": {}, "attacker": {}}}, "'spy' is neither"),
        ({"protocol": "group_chat"}, "want joint_action"),
        ({"protocol": "joint_action"}, "take 72; raise it"),
        ({"protocol": {"name": "joint_action", "deadline": None}}, "does not hear the team"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_scenario_is_said(change: dict[str, Any], wanted: str) -> None:
    data = {**site().model_dump(), "rounds": 12, **change}
    with pytest.raises(MootError, match=wanted):
        load_scenario(data)


def test_deadlines_count_the_talk_of_the_team_alone() -> None:
    protocol = {"name": "joint_action", "talk": 2, **SIDES}
    site(rounds=2, protocol={**protocol, "deadline": 14})
    with pytest.raises(ValueError, match="take 14"):
        site(rounds=2, protocol={**protocol, "deadline": 13})


# ---- the solver ----------------------------------------------------------------------------------


@FEW
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6), st.booleans())
def test_zero_sum_games_have_the_value_of_all_supports(
    m: int, n: int, seed: int, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.integers(-3, 4, (m, n)).astype(float) if whole else rng.normal(size=(m, n))
    found = zero_sum(gains)
    assert found.value == pytest.approx(security(gains), abs=1e-9)
    assert sum(found.row) == pytest.approx(1)
    assert sum(found.column) == pytest.approx(1)
    assert min(np.array(found.row) @ gains) == pytest.approx(found.value, abs=1e-9)
    assert max(gains @ np.array(found.column)) == pytest.approx(found.value, abs=1e-9)


def small(rng: random.Random) -> Network:
    """A random graph of three or four hosts, one or two defenders."""
    hosts = rng.randint(3, 4)
    edges = {(rng.randrange(i), i) for i in range(1, hosts)}
    edges |= {(a, b) for a, b in itertools.combinations(range(hosts), 2) if rng.random() < 0.3}
    owner = [rng.randrange(2) for _ in range(hosts)]
    parts = [tuple(h for h in range(hosts) if owner[h] == d) for d in (0, 1)]
    return Network(
        links=tuple(
            tuple(b for b in range(hosts) if (min(a, b), max(a, b)) in edges) for a in range(hosts)
        ),
        entry=0,
        values=(0, *(rng.randint(0, 5) for _ in range(hosts - 2)), rng.randint(1, 6)),
        parts=tuple(p for p in parts if p),
        inspect=rng.randint(0, 1),
        isolate=rng.randint(0, 2),
        restore=rng.randint(0, 3),
    )


def by_force(network: Network, rounds: int, state: State) -> float:
    """The value over everything that anybody may do, without a thought of what is of use."""
    if not rounds:
        return 0.0
    teams = [
        defence(network, actions)
        for actions in itertools.product(*map(network.duties, range(len(network.parts))))
    ]
    known: dict[State, float] = {}
    gains = np.empty((len(network.attacks(state)), len(teams)))
    for i, attack in enumerate(network.attacks(state)):
        for j, team in enumerate(teams):
            after = step(network, state, attack, team.isolated, team.restored)
            if after.state not in known:
                known[after.state] = by_force(network, rounds - 1, after.state)
            gains[i, j] = after.loot + team.cost + known[after.state]
    return zero_sum(gains).value


@pytest.mark.parametrize("seed", range(12))
def test_the_value_against_brute_force(seed: int) -> None:
    network = small(random.Random(seed))
    state = network.start()
    for to_go in (1, 2, 3):
        assert stage(network, to_go, state).value == pytest.approx(
            by_force(network, to_go, state), abs=1e-9
        )


def test_a_game_solved_by_hand() -> None:
    """The attacker stands where 10 lie, one round to go: to isolate costs 2, so 2 is lost; with two to go
    the team may isolate (2 + 2), or restore, which throws out whoever waits and lets 10 go else."""
    network = Network(((1,), (0,)), 0, (0, 10), ((1,),), 1, 2, 3)
    on = State(1, 0b10)
    assert stage(network, 1, on).value == 2
    assert stage(network, 1, network.start()).value == 0
    # Rows take and hide against isolate, restore and watch: [2 + 2, 10 + 3, 10], [2 + 2, 3 + 0, 0 + 2].
    assert stage(network, 2, on).value == 4
    assert undefended(network, 1) == 0
    assert undefended(network, 2) == 10


def test_the_rules_conserve_what_there_is() -> None:
    """No value is taken twice, nobody is where no link leads, whoever is thrown out is at the entry."""
    rng = random.Random(4)
    for _ in range(300):
        network = small(rng)
        state, gone = network.start(), 0
        for _ in range(6):
            attack = rng.choice(network.attacks(state))
            team = [rng.choice(network.duties(d)) for d in range(len(network.parts))]
            made = defence(network, tuple(team))
            after = step(network, state, attack, made.isolated, made.restored)
            gone += after.loot
            left = sum(v for h, v in enumerate(network.values) if after.state.left >> h & 1)
            assert gone + left == sum(network.values)
            near = (state.at, *network.links[state.at], network.entry)
            assert after.state.at in near
            assert not after.evicted or after.state.at == network.entry
            assert after.done or after.loot == 0
            state = after.state
    assert Action(TAKE, 0) not in network.attacks(network.start())


def test_two_oracles_play_for_the_value() -> None:
    scenario = site(rounds=5, values={"db": 8}, parts={"dora": ["web"], "eli": ["db"]})
    value = NetworkDefence.solve(scenario).reference["minimax"]
    damages = [
        meet(scenario, "oracle", "oracle", i).outcome.utilities["attacker"] for i in range(100)
    ]
    spread = float(np.std(damages)) / 100**0.5
    assert mean(damages) == pytest.approx(value, abs=3.5 * spread + 1e-9)
    assert len(set(damages)) > 1, "they do mix"


def test_the_bounds_hold_for_what_is_drawn() -> None:
    for number in range(15):
        scenario = NetworkGenerator().draw(random.Random(number))
        solution = NetworkDefence.solve(scenario)
        low, high = solution.reference["minimax"], solution.reference["undefended"]
        assert 0 <= low <= high + 1e-9 <= 1 + 1e-9
        assert solution.zero_sum
        assert solution.max_joint == sum(solution.disagreement) == 0
        watched = meet(scenario, "watcher", "oracle", number).outcome
        assert watched.results
        assert watched.results["damage"] <= high + 1e-9


# ---- the players ---------------------------------------------------------------------------------


def damage(scenarios: list[NetworkScenario], team: str, attacker: str) -> float:
    return mean(
        meet(s, team, attacker, i).outcome.utilities["attacker"] for i, s in enumerate(scenarios)
    )


def test_who_knows_more_does_better() -> None:
    scenarios = [NetworkGenerator().draw(random.Random(n)) for n in range(24)]
    teams = [damage(scenarios, t, "sensible") for t in ("oracle", "sensible", "watcher", "random")]
    assert teams == sorted(teams)
    attackers = [damage(scenarios, "sensible", a) for a in ("random", "sensible", "oracle")]
    assert attackers == sorted(attackers)
    assert damage(scenarios, "lockdown", "sensible") > teams[2]


def test_talk_is_worth_something() -> None:
    whole = load_scenario("night_watch")
    assert isinstance(whole, NetworkScenario)
    protocol = whole.protocol.model_copy(update={"talk": 0})
    spoken, mute = (
        [whole.model_copy(update={"seed": n, **change}) for n in range(20)]
        for change in ({}, {"protocol": protocol})
    )
    assert damage(spoken, "sensible", "sensible") < damage(mute, "sensible", "sensible") - 0.05


def test_a_team_that_talks_has_one_belief_and_one_plan() -> None:
    scenario = site(talk=1, missed=0.2, false_alarms=0.2, seed=3)
    table = Environment(scenario)
    player = Scripted("sensible")
    while table.ended is None:
        if table.observe().may(Act.REQUEST) and table.speaker == "dora":
            seen = [table.observe(agent) for agent in ("dora", "eli")]
            assert belief(seen[0]) == pytest.approx(belief(seen[1]))
            plans = [plan(s) for s in seen]
            assert plans[0] == "watch" or plans[0].endswith(("web", "mail"))
            assert plans[1] in ("watch", "isolate db", "restore db")
        table.step(player.reply(table.observe()))
    reports = [m for m in table.episode().messages if m.act is Act.INFORM_REF]
    assert len(reports) == 2 * (len(table.episode().messages) // 5 - 1), (
        "none before the first round"
    )


def test_what_cannot_be_true_is_not_believed() -> None:
    table = Environment(site(talk=1))
    for _ in range(2):
        table.step(Reply(act=Act.INFORM, text="Hello."))
    act(table, "watch", "watch", "move web")
    before = belief(table.observe("eli"))
    table.step(Reply(act=Act.INFORM_REF, content={"alerts": ["web", "mail"]}))
    assert belief(table.observe("eli")) == pytest.approx({("gate", frozenset({"db", "mail"})): 1.0})
    assert before[("web", frozenset({"db", "mail"}))] > 0


def test_an_oracle_is_shown_the_state_and_nobody_else_is() -> None:
    table = Environment(site(rounds=2), sees_all=frozenset({"eli"}))
    act(table, "watch", "watch", "move web")
    hidden = table.observe("eli").hidden
    assert hidden is not None
    assert (hidden["at"], hidden["left"], hidden["to_go"]) == ("web", ["db", "mail"], 1)
    assert sum(hidden["attack"].values()) == pytest.approx(1)
    assert sum(d["p"] for d in hidden["defence"]) == pytest.approx(1)
    assert table.observe("dora").hidden is None
    with pytest.raises(ValueError, match="must be shown the state"):
        Scripted("oracle").reply(
            table.observe("dora")._replace(about=replace(table.observe().about))
        )


# ---- the contract --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["network_defence", "night_watch", "intruder"])
def test_it_keeps_the_promises_of_an_environment(source: str) -> None:
    tried = check_environment(source, episodes=2)
    assert tried.varied > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"hosts": (8, 8), "more_links": (4, 4), "defenders": (3, 3), "rounds": (6, 6), "targets": (2, 3)},
        {"hosts": (3, 3), "defenders": (1, 1), "talk": 0, "targets": (1, 1), "unwatched": 1.0},
        {"conflict": (1, 1), "missed": (1, 1), "false_alarms": (1, 1)},
    ],
)  # fmt: skip
def test_the_generator_keeps_to_its_bounds(fields: dict[str, Any]) -> None:
    kind = NetworkGenerator(**fields)
    for number in range(4):
        drawn = kind.draw(random.Random(number))
        assert kind.hosts[0] <= len(drawn.hosts) <= kind.hosts[1]
        assert kind.defenders[0] <= len(drawn.team()) <= kind.defenders[1]
        assert kind.targets[0] <= len(drawn.values) <= kind.targets[1]
        assert list(drawn.reach())[-1] in drawn.values, "the farthest host is worth something"
        meet(drawn, "sensible", "sensible", number)
    with pytest.raises(ValueError, match="want more than"):
        NetworkGenerator(hosts=(2, 4))


def test_the_picture_shows_the_attacker_the_alerts_and_what_was_done() -> None:
    table = Environment(site(rounds=3, roles={"dora": {}, "eli": {}, "attacker": {}}))
    first = table.world.picture()  # type: ignore[attr-defined]
    act(table, "restore mail", "isolate db", "move web")
    then = table.world.picture()  # type: ignore[attr-defined]
    for svg in (first, then):
        words = {
            "".join(t.itertext()) for t in ElementTree.fromstring(svg).iter() if "text" in t.tag
        }
        assert {"gate", "web", "db", "mail", "8", "2"} == words
    assert ("stroke-dasharray" in first, "stroke-dasharray" in then) == (False, True)
    assert first != then


def test_shipped_scenarios_draw_what_their_comments_say() -> None:
    fixed = load_scenario("night_watch")
    assert isinstance(fixed, NetworkScenario)
    assert NetworkDefence.solve(fixed).reference["minimax"] == pytest.approx(0.563, abs=5e-4)
    assert NetworkDefence.solve(fixed).reference["undefended"] == 1
    for number in range(20):
        drawn = draw(load_scenario("intruder"), 1, number)
        assert isinstance(drawn, NetworkScenario)
        assert 4 <= len(drawn.hosts) <= 6
