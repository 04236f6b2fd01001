"""Secrets of every kind are varied, and a leak of any of them is found: rows, maps, menus, roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from moot.environments import WORLDS, Template
from moot.environments.check import check_environment
from moot.environments.load import draw
from moot.environments.variants import varied
from moot.environments.worlds.hidden_role import HiddenRole
from moot.environments.worlds.kitchen import Kitchen
from moot.environments.worlds.mutual_friends import MutualFriends
from moot.environments.worlds.rescue import Rescue
from moot.protocols import ContractError

SECRETS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "item_division": ({}, {"roles.values", "roles.no_deal"}),
    "price_bargaining": ({}, {"roles.reserve"}),
    "task_allocation": ({}, {"roles.values", "roles.costs", "roles.capacity"}),
    "multi_issue": ({}, {"roles.values", "roles.no_deal"}),
    "mutual_friends": ({}, {"roles.rows"}),
    "support_desk": ({}, {"roles.wish", "roles.wishes", "roles.identity", "roles.policy", "shop"}),
    "lesson": ({}, {"roles.knows", "skills"}),
    "commons": ({"demand": (0.4, 1)}, {"roles.demands"}),
    "auction_house": ({"common": 0.5}, {"roles.value", "roles.signal", "roles.reserve", "worth"}),
    "hidden_role": ({}, {"liar", "common", "different"}),
    "crossing": ({}, {"cars", "roles.hurry"}),
    "rescue": ({}, {"map"}),
    "kitchen": ({"hidden_menu": True, "tomatoes": True}, {"menu"}),
}  # fmt: skip


@pytest.mark.parametrize("world", WORLDS)
def test_every_secret_of_every_world_is_varied(world: str) -> None:
    fields, secrets = SECRETS.get(world, ({}, set[str]()))
    source = Template(name=world, world=world, generate=fields)
    found = {
        field: (who, drawn, other)
        for drawn, number in ((draw(source, 0, i), i) for i in range(64))
        for who, field, other in varied(drawn, number)
    }
    assert found.keys() >= secrets | {"roles.brief"}
    for field, (who, drawn, other) in found.items():
        assert who < set(drawn.roles)
        assert other.model_dump() != drawn.model_dump(), field
    again = list(varied(draw(source, 0, 3), 3))
    assert again == list(varied(draw(source, 0, 3), 3))


def other_rows(honest: Any) -> Callable[..., Any]:
    """The public part tells the first row of the first table."""
    return lambda self: {**honest(self), "hint": next(iter(self.scenario.roles.values())).rows[0]}


def whole_map(honest: Any) -> Callable[..., Any]:
    return lambda self, agent: (honest(self, agent)[0], self.scenario.map[0])


def the_menu(honest: Any) -> Callable[..., Any]:
    return lambda self, agent: (honest(self, agent)[0], str(self.scenario.menu))


def the_liar(honest: Any) -> Callable[..., Any]:
    return lambda self, agent: (honest(self, agent)[0], self.scenario.liar)


LEAKS: dict[str, tuple[type, str, Any, dict[str, Any], str]] = {
    "rows": (MutualFriends, "public", other_rows, {}, "public"),
    "map": (Rescue, "describe", whole_map, {"width": 4, "height": 4}, "card"),
    "menu": (Kitchen, "describe", the_menu, {"hidden_menu": True, "tomatoes": True,
             "horizon": 4, "talk": 0}, "card"),
    "liar": (HiddenRole, "describe", the_liar, {}, "card"),
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found(monkeypatch: pytest.MonkeyPatch, leak: str) -> None:
    world, method, make, fields, where = LEAKS[leak]
    monkeypatch.setattr(world, method, make(getattr(world, method)))
    source = Template(name=leak, world=world.name, generate=fields)
    with pytest.raises(ContractError, match=f"sees the secret of [a-z_ ]+ in its {where}"):
        check_environment(source, episodes=24)
