"""Multi-issue negotiation: stacked offers, deals against brute force, data files, players of many parties."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from moot.agents.pools import ScriptedPool
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, Scenario, play
from moot.environments.check import check_environment
from moot.environments.datafile import load_scenarios
from moot.environments.load import draw, load_scenario
from moot.environments.worlds.multi_issue import MultiIssue
from moot.environments.worlds.multi_scenario import (
    MultiGenerator,
    MultiScenario,
    Survey,
    frontier,
    survey,
)
from moot.protocols import Act, Ended, MootError, Reply, check_protocol, stacked_offers

DATA = Path(__file__).parents[2] / "shared" / "data" / "scorable_games" / "scenarios.jsonl.gz"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs the data folder")
NAMES = ("ann", "bob", "cleo", "dan")
ACCEPT, REFUSE = Reply(act=Act.ACCEPT_PROPOSAL), Reply(act=Act.REFUSE)


def game(values: list[list[list[float]]], none: list[float], **more: Any) -> MultiScenario:
    """A scenario from points, party by issue by option."""
    issues = {f"i{i}": [f"o{o}" for o in range(len(p))] for i, p in enumerate(values[0])}
    return MultiScenario.model_validate(
        {
            "protocol": {"name": "stacked_offers", "deadline": 20, "decline": True},
            "issues": issues,
            "roles": {
                name: {
                    "values": {
                        i: dict(zip(o, p, strict=True))
                        for (i, o), p in zip(issues.items(), points, strict=True)
                    },
                    "no_deal": d,
                }
                for name, points, d in zip(NAMES, values, none, strict=False)
            },
            **more,
        }
    )


def offer(**deal: int) -> Reply:
    return Reply(act=Act.PROPOSE, content={"deal": {i: f"o{o}" for i, o in deal.items()}})


def surveyed(scenario: MultiScenario) -> Survey:
    places = tuple(list(scenario.roles).index(v) for v in scenario.veto)
    return survey(scenario.key(), scenario.enough, places)


def played(scenario: Scenario, seats: dict[str, str], episode: int = 0) -> Episode:
    agents = {seat: Scripted(name) for seat, name in seats.items()}
    oracles = {a for a in scenario.roles if agents.get(a, agents["*"]).sees_all}
    table = Environment(scenario, episode=episode, sees_all=frozenset(oracles))
    (record,) = play([table], {seat: ScriptedPool(agent) for seat, agent in agents.items()})
    assert all(turn.error is None for turn in record.turns), record.turns[-1]
    return record


# ---- the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [1, 7])
@pytest.mark.parametrize("talk", [True, False])
@pytest.mark.parametrize("decline", [True, False])
@pytest.mark.parametrize("leave", [True, False])
def test_stacked_offers_keep_their_promises(
    deadline: int, talk: bool, decline: bool, leave: bool
) -> None:
    notes = check_protocol(stacked_offers(deadline, talk, decline, leave), paths=40)
    assert notes.refused > 10 * notes.messages


PLAIN = [[[1.0, 2.0]], [[2.0, 1.0]], [[1.0, 1.0]], [[1.0, 2.0]]]


def test_everyone_answers_and_a_counter_offer_asks_all_anew() -> None:
    table = Environment(game(PLAIN, [0, 0, 0, 0]))
    for reply in (offer(i0=0), ACCEPT, ACCEPT, offer(i0=1), ACCEPT, ACCEPT):
        assert table.ended is None
        assert table.step(reply).error is None
    assert table.speaker == "cleo"
    table.step(ACCEPT)
    record = table.episode()
    assert record.ended is Ended.AGREED
    assert record.outcome.deal == {"i0": "o1"}
    assert record.outcome.utilities == {"ann": 2, "bob": 1, "cleo": 1, "dan": 2}
    assert [m.in_reply_to for m in record.messages] == [None, 0, 0, 0, 3, 3, 3]


def test_a_declined_offer_is_off_the_table_when_all_have_answered() -> None:
    table = Environment(game(PLAIN, [0, 0, 0, 0]))
    for reply in (offer(i0=0), ACCEPT, REFUSE, ACCEPT):
        table.step(reply)
    assert table.ended is None
    assert table.conversation.state == "open"
    assert table.observe().standing is None
    assert table.step(ACCEPT).error is not None


def test_the_last_word_of_an_agent_counts() -> None:
    talk = Reply(act=Act.INFORM, text="Hm.")
    table = Environment(game(PLAIN, [0, 0, 0, 0], need=3))
    for reply in (offer(i0=0), ACCEPT, talk, talk, talk, REFUSE, ACCEPT):
        assert table.step(reply).error is None, reply
    assert table.ended is None, "ann and cleo, while bob took his word back"
    table.step(ACCEPT)
    assert table.ended is Ended.AGREED


@pytest.mark.parametrize("talk", [True, False])
def test_nobody_accepts_their_own_offer_or_leaves_where_none_may(talk: bool) -> None:
    rules = {"name": "stacked_offers", "leave": False, "talk": talk}
    table = Environment(game(PLAIN, [0, 0, 0, 0], protocol=rules))
    table.step(offer(i0=0))
    assert table.conversation.judge("bob", "cancel", None, False).__class__.__name__ == (
        "ProtocolError"
    )
    if talk:
        for _ in range(3):
            table.step(Reply(act=Act.INFORM))
        assert not table.observe("ann").may(Act.ACCEPT_PROPOSAL)


# ---- who must agree ------------------------------------------------------------------------------


def test_enough_signatures_close_a_deal_and_bind_everyone() -> None:
    table = Environment(game(PLAIN, [1.5, 0, 0, 1.5], need=3, veto=["cleo"]))
    for reply in (offer(i0=0), ACCEPT, REFUSE, ACCEPT):
        table.step(reply)
    assert table.ended is None, "three have signed, but not cleo"
    table.step(offer(i0=0))
    table.step(ACCEPT)
    assert table.ended is None
    table.step(ACCEPT)
    record = table.episode()
    assert record.ended is Ended.AGREED
    assert record.outcome.utilities["dan"] == 1
    assert record.outcome.results == {"feasible": 0.0, "unanimous": 0.0}, "ann and dan lose"


def test_without_a_deal_everyone_has_the_threshold() -> None:
    table = Environment(game(PLAIN, [1, 0.5, 0, 0.25]))
    table.step(Reply(act=Act.CANCEL))
    outcome = table.episode().outcome
    assert outcome.deal is None
    assert outcome.utilities == {"ann": 1, "bob": 0.5, "cleo": 0, "dan": 0.25}
    assert outcome.results == {"feasible": 0.0, "unanimous": 0.0}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"need": 5}, "need: got 5, there are 4 parties"),
        ({"need": 1}, "need"),
        ({"veto": ["cloe"]}, "there is no party 'cloe'; did you mean .?cleo"),
        ({"issues": {}}, "name at least one issue"),
        ({"issues": {"i0": ["o0", "o0"]}}, "want different options"),
        ({"issues": {"i0": ["o0", "o2"]}}, "options are"),
        ({"issues": {"x": ["o0", "o1"]}}, "issues are"),
        ({"protocol": "contract_net"}, "want stacked_offers or alternating_offers"),
        ({"issues": {f"i{i}": ["a", "b", "c", "d"] for i in range(7)}}, "at most 10000"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(changed: dict[str, Any], sentence: str) -> None:
    data = game(PLAIN, [0, 0, 0, 0]).model_dump(exclude_unset=True)
    with pytest.raises(MootError, match=sentence):
        load_scenario({**data, **changed})


def test_a_party_that_no_deal_could_satisfy_is_refused() -> None:
    with pytest.raises(ValueError, match="no deal could satisfy it"):
        game(PLAIN, [2, 0, 0, 0])


def test_the_card_tells_the_rule_and_no_secret() -> None:
    table = Environment(game(PLAIN, [0.5, 0, 0, 0], need=3, veto=["bob"]))
    card = table.observe("ann").card
    assert "A deal needs 3 of the 4 of you, bob among them." in card
    assert "i0: o0 1, o1 2. Without a deal you have 0.5 points." in card
    assert "A deal needs all of you." in Environment(game(PLAIN, [0, 0, 0, 0])).observe().card


# ---- solved exactly ------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_all_deals_by_brute_force(data: st.DataObject) -> None:
    parties = data.draw(st.integers(2, 4))
    shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    points = st.integers(0, 4).map(float)
    values = [[data.draw(st.lists(points, min_size=n, max_size=n)) for n in shape]
              for _ in range(parties)]  # fmt: skip
    none = [data.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0])) for _ in range(parties)]
    none = [min(d, sum(map(max, v)) - 0.5) for d, v in zip(none, values, strict=True)]
    if min(none) < 0:
        return  # a party that values nothing is no scenario
    need = data.draw(st.integers(2, parties))
    veto = data.draw(st.lists(st.sampled_from(NAMES[:parties]), unique=True))
    scenario = game(values, none, need=need, veto=veto)
    solution, judged = MultiIssue.solve(scenario), surveyed(scenario)
    found = []
    deals = list(itertools.product(*map(range, shape)))
    for at, deal in enumerate(deals):
        point = tuple(sum(v[i][o] for i, o in enumerate(deal)) for v in values)
        found.append(point)
        content = [u >= d for u, d in zip(point, none, strict=True)]
        signs = sum(content) >= need and all(content[NAMES.index(v)] for v in veto)
        assert judged.content[at].tolist() == content
        assert judged.feasible[at] == signs
    assert [tuple(p) for p in judged.points.tolist()] == found
    best = {p for p in found if not any(
        all(a >= b for a, b in zip(q, p, strict=True)) and q != p for q in found)}  # fmt: skip
    assert solution.frontier == tuple(sorted(best))
    assert solution.max_joint == max(map(sum, found))
    assert solution.max_nash == max(solution.nash(p) for p in found)
    assert solution.disagreement == tuple(none)
    assert solution.best is not None
    picked = deals.index(tuple(int(o[1:]) for o in solution.best.values()))
    assert sum(found[picked]) == solution.max_joint


def test_a_frontier_of_thousands_by_comparing_all() -> None:
    points = np.random.default_rng(4).integers(0, 30, (1500, 3)).astype(float)
    beaten = (points[:, None] >= points).all(axis=2) & (points[:, None] > points).any(axis=2)
    want = {tuple(p) for p in points[~beaten.any(axis=0)].tolist()}
    assert frontier(points) == tuple(sorted(want))


def test_offers_are_ranked_and_claims_are_kept_in_bounds() -> None:
    scenario = game([[[0, 400, 100]], [[7, 0, 5]]], [50, 1])
    one, two = (Environment(scenario).world.space(a) for a in ("ann", "bob"))
    assert one is not None
    assert two is not None
    assert [o.model_dump()["deal"]["i0"] for o in one.offers] == ["o1", "o2", "o0"]
    assert list(one.utilities) == [400, 100, 0]
    assert one.told().model_dump() == {"values": {"i0": {"o0": 0, "o1": 100, "o2": 25}},
                                       "no_deal": 12}  # fmt: skip
    assert list(one.partner(two.told())) == [0, 5, 7]


# ---- drawn scenarios -----------------------------------------------------------------------------


def test_generated_scenarios_are_as_asked() -> None:
    fewest = MultiGenerator(parties=(2, 7), issues=(1, 3), spare=1, vetoes=2)
    seen: set[int] = set()
    for number in range(60):
        scenario = fewest.draw(random.Random(number))
        many = len(scenario.roles)
        seen.add(many)
        assert surveyed(scenario).feasible.any()
        assert scenario.protocol.name == ("stacked_offers" if many > 2 else "alternating_offers")
        assert scenario.enough == max(2, many - 1)
        assert scenario.veto == (("ann", "bob") if many > 2 else ())
        for role in scenario.roles.values():
            assert sum(max(v.values()) for v in role.values.values()) == 100
            assert all(min(v.values()) == 0 for v in role.values.values())
    assert seen == {2, 3, 4, 5, 6, 7}


def test_conflict_is_how_much_there_is_to_fight_over() -> None:
    def joint(conflict: float) -> float:
        drawn = [MultiGenerator(parties=(2, 2), conflict=conflict).draw(random.Random(n))
                 for n in range(40)]  # fmt: skip
        return sum(MultiIssue.solve(s).max_joint for s in drawn) / 40

    assert joint(0.0) == 200 > joint(0.5) + 10 > joint(1.0) + 20


@pytest.mark.parametrize(
    "wrong",
    [{"parties": (1, 3)}, {"parties": (3, 2)}, {"options": (2, 6)}, {"issues": (0, 1)},
     {"issues": (8, 8), "options": (5, 5)}],
    ids=str,
)  # fmt: skip
def test_a_generator_says_what_it_cannot(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"want|more than"):
        MultiGenerator(**wrong)


def test_thresholds_that_leave_no_room_are_found() -> None:
    hard = MultiGenerator(threshold=(99, 99), issues=(1, 1), options=(2, 2), conflict=1.0)
    with pytest.raises(MootError, match="1,000 draws"):
        hard.draw(random.Random(0))


def test_a_larger_table_keeps_its_promises() -> None:
    tried = check_environment(
        {
            "world": "multi_issue",
            "generate": {"parties": [4, 5], "issues": [2, 3], "spare": 1, "vetoes": 1},
        },
        episodes=3,
    )
    assert tried.messages > 30


# ---- shipped games and the data file -------------------------------------------------------------


def test_the_example_of_the_page_can_be_played() -> None:
    page = (Path(__file__).parents[1] / "docs" / "worlds" / "multi_issue.md").read_text()
    scenario = load_scenario(yaml.safe_load(page.split("```yaml")[1].split("```")[0]))
    assert isinstance(scenario, MultiScenario)
    assert surveyed(scenario).feasible.sum() == 7
    assert played(scenario, {"*": "sensible"}).outcome.completed


@pytest.mark.parametrize(
    ("name", "deals", "feasible", "unanimous", "most"),
    [("job_interview", 540, 57, 57, 148), ("harbour", 864, 59, 23, 397)],
)
def test_the_shipped_games_are_what_their_comments_say(
    name: str, deals: int, feasible: int, unanimous: int, most: float
) -> None:
    scenario = load_scenario(name)
    assert isinstance(scenario, MultiScenario)
    judged = surveyed(scenario)
    assert len(judged.points) == deals
    assert judged.feasible.sum() == feasible
    assert judged.content.all(axis=1).sum() == unanimous
    assert MultiIssue.solve(scenario).max_joint == most
    assert judged.points.max(axis=0).tolist() == [100.0] * len(scenario.roles)


def test_halfway_on_everything_is_worse_than_no_deal_in_the_interview() -> None:
    scenario = load_scenario("job_interview")
    assert isinstance(scenario, MultiScenario)
    table = Environment(scenario)
    middle = {issue: options[len(options) // 2] for issue, options in scenario.issues.items()}
    table.step(Reply(act=Act.PROPOSE, content={"deal": {**middle, "home days": "1"}}))
    table.step(ACCEPT)
    assert table.episode().outcome.utilities == {"recruiter": 44, "applicant": 46}
    judged = surveyed(scenario)
    best = (judged.points - [56, 52]).clip(0).prod(axis=1).argmax()
    assert judged.points[best].tolist() == [74, 72]


@needs_data
def test_scorable_games_have_the_numbers_of_their_readme() -> None:
    found = {}
    for scenario in load_scenarios(DATA):
        assert isinstance(scenario, MultiScenario)
        judged, many = surveyed(scenario), len(scenario.roles)
        assert (scenario.need, len(scenario.veto)) == (many - 1, 2)
        assert next(iter(scenario.roles)) in scenario.veto, "the proposer speaks first"
        found[scenario.name] = (
            many,
            len(judged.points),
            int(judged.feasible.sum()),
            int(judged.content.all(axis=1).sum()),
            MultiIssue.solve(scenario).max_joint,
        )
    assert found == {
        "base": (6, 720, 55, 12, 412),
        "base_7players": (7, 2880, 204, 52, 517),
        "base_rewritten": (6, 720, 55, 12, 412),
    }


@needs_data
def test_scorable_games_tell_everyone_their_points() -> None:
    scenario = load_scenarios(DATA)[0]
    card = Environment(scenario).observe("SportCo").card
    assert "Issue D (max score 35): D1 (35), D2(29), D3 (20), D4 (0)" in card
    assert "#" not in card
    assert scenario.protocol.model_extra == {
        "name": "stacked_offers", "deadline": 30, "decline": True, "leave": False
    } or scenario.protocol.model_extra == {"deadline": 30, "decline": True, "leave": False}  # fmt: skip
    for scenario in load_scenarios(DATA):
        record = played(scenario, {"*": "oracle"})
        assert record.outcome.results == {"feasible": 1.0, "unanimous": 1.0}


# ---- players -------------------------------------------------------------------------------------


def share(name: str, seats: dict[str, str], episodes: int = 12) -> tuple[float, float]:
    """Share of episodes that end with a deal which enough are content with, and mean Nash ratio."""
    source, good, ratio = load_scenario(name), 0.0, 0.0
    for number in range(episodes):
        scenario = draw(source, 3, number)
        record = played(scenario, seats, number)
        good += record.outcome.results["feasible"]
        solution = MultiIssue.solve(scenario)
        if solution.max_nash > 0:
            ratio += solution.nash(tuple(record.outcome.utilities.values())) / solution.max_nash
    return good / episodes, ratio / episodes


def test_players_of_many_parties_are_ranked_as_they_should_be() -> None:
    oracle, sensible, linear, chance = (
        share("round_table", {"*": name}) for name in ("oracle", "sensible", "linear", "random")
    )
    assert oracle[0] == sensible[0] == 1
    assert oracle[1] >= sensible[1] > max(linear[1], chance[1])


def test_sensible_parties_that_all_tell_agree_at_once() -> None:
    record = played(load_scenario("harbour"), {"*": "sensible"})  # type: ignore[arg-type]
    acts = [m.act for m in record.messages]
    assert acts == [*[Act.INFORM] * 6, Act.PROPOSE, *[Act.ACCEPT_PROPOSAL] * 4]
    assert record.outcome.results == {"feasible": 1.0, "unanimous": 1.0}


@pytest.mark.parametrize("other", ["boulware", "conceder", "random", "micro", "hardliner"])
def test_sensible_parties_cope_with_others_who_stay_silent(other: str) -> None:
    source = load_scenario("round_table")
    for number in range(4):
        scenario = draw(source, 5, number)
        record = played(scenario, {"ann": other, "*": "sensible"}, number)
        assert record.ended in (Ended.AGREED, Ended.LIMIT)


@pytest.mark.parametrize("protocol", [
    {"name": "stacked_offers", "deadline": 9, "talk": False, "leave": False},
    {"name": "stacked_offers", "deadline": 12, "decline": True},
    {"name": "stacked_offers", "deadline": 1},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", ["sensible", "oracle", "boulware", "random"])
def test_players_are_legal_whatever_the_rules(name: str, protocol: dict[str, Any]) -> None:
    source = load_scenario(
        {
            "world": "multi_issue",
            "generate": {"parties": [2, 4], "feasible": False, "threshold": [20, 90]},
            "protocol": protocol,
        }
    )
    for number in range(8):
        record = played(draw(source, 1, number), {"*": name}, number)
        assert record.ended not in (Ended.BROKEN, Ended.FORFEITED)


@pytest.mark.parametrize(("name", "beta"), [("boulware", 0.2), ("linear", 1.0), ("conceder", 5.0)])
def test_who_concedes_trades_off_towards_the_others(name: str, beta: float) -> None:
    values = [[[0.0, 5.0, 9.0], [0.0, 4.0, 6.0]], [[9.0, 5.0, 0.0], [6.0, 4.0, 0.0]]]
    rules = {"name": "alternating_offers", "deadline": 9}
    table = Environment(game(values, [2, 2], protocol=rules))
    agent, targets = Scripted(name), []
    while table.ended is None:
        if table.speaker == "bob":
            table.step(offer(i0=0, i1=2))  # he insists on the first issue and leaves her the second
            continue
        observation = table.observe()
        space, reply = observation.space, agent.reply(observation)
        assert space is not None
        if reply.act == Act.ACCEPT_PROPOSAL:
            break
        targets.append(15 - 13 * (len(targets) / 4) ** (1 / beta))
        enough = [o for o in space.offers if space.utility(o, mine=True) >= targets[-1] - 1e-9]

        def wanted(deal: dict[str, str], first: bool = len(targets) == 1) -> tuple[float, float]:
            same = 0 if first else (deal["i0"] == "o0") + (deal["i1"] == "o2")
            mine = values[0][0][int(deal["i0"][1])] + values[0][1][int(deal["i1"][1])]
            return same, -mine

        best = max((o.model_dump()["deal"] for o in enough), key=wanted)
        assert wanted(reply.content.model_dump()["deal"]) == wanted(best)  # type: ignore[union-attr]
        table.step(reply)
    assert targets, "it does not start with the worst"


def test_whoever_is_left_out_of_the_best_deal_speaks_against_it() -> None:
    # Three want o1, dan alone has nothing from it and cannot hold it up.
    values = [[[0.0, 9.0]], [[0.0, 8.0]], [[0.0, 7.0]], [[9.0, 0.0]]]
    scenario = game(values, [1, 1, 1, 1], need=3, veto=["ann"])
    record = played(scenario, {"*": "sensible"})
    assert record.ended is Ended.AGREED
    assert record.outcome.deal == {"i0": "o1"}
    order = dict(reversed(scenario.roles.items()))
    turned = MultiScenario.model_validate({**scenario.model_dump(), "roles": order})
    record = played(turned, {"*": "sensible"})
    assert record.outcome.deal == {"i0": "o1"}
    assert {m.act for m in record.messages if m.sender == "dan"} == {Act.INFORM}
