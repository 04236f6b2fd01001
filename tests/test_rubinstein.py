"""Rubinstein's division: two who know each other's impatience agree at once, on the closed form's shares.

With discounts d1 and d2, who speaks first has (1 - d2) / (1 - d1 d2) of the pie, and the other the rest
(Rubinstein 1982, Econometrica 50:97-109). A pie of a thousand coins stands for a divisible one.
"""

from __future__ import annotations

import math

import pytest

from moot.agents.pools import ScriptedPool
from moot.environments import Environment, Scenario, play
from moot.environments.check import check_environment
from moot.environments.load import load_scenario
from moot.environments.worlds.item_division import ItemScenario
from moot.protocols import Act, Observation, Reply

COINS = 1000
DISCOUNTS = [(0.9, 0.8), (0.5, 0.95), (0.99, 0.99), (0.7, 0.7)]


def pie(first: float, second: float) -> Scenario:
    found = load_scenario(
        {
            "name": "pie",
            "world": "item_division",
            "protocol": {"name": "alternating_offers", "deadline": 60, "talk": False},
            "items": {"coin": COINS},
            "discounts": {"ann": first, "bob": second},
            "roles": {"ann": {"values": {"coin": 1}}, "bob": {"values": {"coin": 1}}},
        }
    )
    assert isinstance(found, Scenario)
    return found


def share(own: float, other: float) -> float:
    """Coins of who speaks first."""
    return COINS * (1 - other) / (1 - own * other)


class Patient:
    """Demands its share of the closed form, or what is set; accepts what it would else have later."""

    def __init__(self, **demands: int) -> None:
        self.demands = demands

    def reply(self, observation: Observation) -> Reply:
        discounts = observation.public["discounts"]
        own = discounts[observation.agent]
        other = next(d for a, d in discounts.items() if a != observation.agent)
        said = [m for m in observation.heard if m.content is not None]
        if said and said[-1].sender != observation.agent:
            offered = COINS - said[-1].content.take["coin"]  # type: ignore[union-attr]
            if offered >= math.floor(own * share(own, other)):
                return Reply(act=Act.ACCEPT_PROPOSAL)
        take = self.demands.get(observation.agent)
        if take is None or any(m.sender == observation.agent for m in said):
            take = math.floor(share(own, other))
        return Reply(act=Act.PROPOSE, content={"take": {"coin": take}})  # type: ignore[arg-type]


def played(scenario: Scenario, **demands: int) -> tuple[dict[str, float], int]:
    table = Environment(scenario, seed=0, episode=0)
    for _ in play([table], {"*": ScriptedPool(Patient(**demands))}, concurrent=1):
        pass
    assert table.ended is not None
    return dict(table.world.outcome(table.ended).utilities), len(table.turns)


@pytest.mark.parametrize(("first", "second"), DISCOUNTS)
def test_play_gives_the_closed_form(first: float, second: float) -> None:
    utilities, turns = played(pie(first, second))
    assert turns == 2
    assert utilities["ann"] == pytest.approx(share(first, second), abs=1)
    assert utilities["bob"] == pytest.approx(COINS - share(first, second), abs=1)


@pytest.mark.parametrize(("first", "second"), DISCOUNTS)
def test_no_other_first_demand_pays_more(first: float, second: float) -> None:
    scenario = pie(first, second)
    best = played(scenario)[0]["ann"]
    for demand in range(0, COINS + 1, 25):
        assert played(scenario, ann=demand)[0]["ann"] <= best + 1


def test_points_melt_with_every_offer_and_the_rules_say_so() -> None:
    table = Environment(pie(0.9, 0.8), seed=0, episode=0)
    assert "90 percent to ann, 80 percent to bob" in table.observe().card
    for _ in range(3):
        table.step(Reply(act=Act.PROPOSE, content={"take": {"coin": 600}}))  # type: ignore[arg-type]
    table.step(Reply(act=Act.ACCEPT_PROPOSAL))
    assert table.ended is not None
    assert table.world.outcome(table.ended).utilities == pytest.approx(
        {"ann": 0.9**2 * 600, "bob": 0.8**2 * 400}
    )
    assert table.episode().outcome.deal == {"ann": {"coin": 600}, "bob": {"coin": 400}}


def test_a_discount_is_somebodys() -> None:
    with pytest.raises(ValueError, match="nobody is called anne"):
        ItemScenario.model_validate(
            pie(0.9, 0.8).model_dump(exclude_unset=True) | {"discounts": {"anne": 0.5}}
        )


def test_the_check_of_worlds_passes() -> None:
    small = pie(0.9, 0.8).model_copy(update={"items": {"coin": 6}})
    check_environment(small, episodes=4)
