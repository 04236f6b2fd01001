"""Scenarios from words: what is sent back, what passes, and the command that writes the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from moot.cli import commands
from moot.drafting import draft_schema, drawn, generate, unsound
from moot.environments import WORLDS
from moot.environments.load import load_scenario
from moot.protocols import MootError, Observation, Reply

GARDEN: dict[str, Any] = {
    "name": "garden",
    "brief": "Two neighbours share a garden.",
    "items": {"rake": 1, "hose": 1},
    "roles": {
        "ann": {"values": {"rake": 2, "hose": 1}},
        "bob": {"values": {"rake": 3, "hose": 1}},
    },
}
EASY = {
    **GARDEN,
    "roles": {
        "ann": {"values": {"rake": 2, "hose": 0}},
        "bob": {"values": {"rake": 0, "hose": 1}},
    },
}


class Author:
    """Writes these drafts, one after the other, and keeps what it was told."""

    def __init__(self, *drafts: Reply) -> None:
        self.drafts, self.told = list(drafts), []

    def reply(self, observation: Observation) -> Reply:
        self.told.append((observation.card, observation.error))
        return self.drafts.pop(0)


def draft(content: object) -> Reply:
    return Reply(act="propose", content=content)


def test_an_author_hears_what_is_wrong_until_a_draft_is_sound() -> None:
    author = Author(
        Reply(raw="Well ..."),
        Reply(error="the server is gone"),
        draft({**GARDEN, "item": {}}),
        draft(EASY),
        draft(GARDEN),
    )
    made = generate("two neighbours share a garden", "item_division", author)
    assert made.scenario.name == "garden"
    assert [why.partition(":")[0] for why in made.refused] == [
        'one JSON object with "act"', "the server is gone", "garden", "trivial",
    ]  # fmt: skip
    assert "did you mean 'items'?" in made.refused[2]
    card, error = author.told[-1]
    assert "two neighbours share a garden" in card
    assert error is not None
    assert "trivial" in str(error)


def test_the_file_loads_as_the_scenario_that_was_checked(tmp_path: Path) -> None:
    made = generate("a\ngarden", "item_division", Author(draft(GARDEN)))
    path = tmp_path / "garden.yaml"
    path.write_text(made.yaml("a\ngarden", "me"))
    assert path.read_text().startswith("# a garden\n")
    assert load_scenario(path) == made.scenario


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"roles": {"ann": {"values": {"rake": 1, "hose": 1}}}}, "seats 2 agents, got 1"),
        ({"items": {"rake": 0, "hose": 1}}, "items.rake: got 0"),
        ({"roles": EASY["roles"]}, "trivial"),
    ],
)
def test_what_is_unsound_is_said(change: dict[str, Any], why: str) -> None:
    whole = {**GARDEN, "world": "item_division", "protocol": {"name": "alternating_offers"}}
    assert unsound(whole) is None
    assert why in (unsound({**whole, **change}) or "")


def test_no_author_no_words_no_world() -> None:
    with pytest.raises(MootError, match="no sound scenario in 2 drafts; the last one: trivial"):
        generate("x", "item_division", Author(draft(EASY), draft(EASY)), tries=2)
    with pytest.raises(MootError, match="did you mean 'item_division'"):
        generate("x", "item_divisoin", Author())
    with pytest.raises(MootError, match="in words"):
        generate(" ", "item_division", Author())


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_every_world_has_a_schema_for_authors_that_its_own_scenarios_keep_to(world: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = draft_schema(world)
    assert "$ref" not in str(schema)
    made = drawn(world, {}, seed=1)
    fields = {k: v for k, v in made.data.items() if k in schema["properties"]}
    for role in fields["roles"].values():
        role.pop("role", None)
    jsonschema.Draft202012Validator(schema).validate({"name": "x", "brief": "", **fields})
    assert unsound(made.data) in (
        None,
        "nothing can be gained: every outcome is worth no more than no deal",
    )


def test_the_command_draws_writes_and_never_overwrites(tmp_path: Path) -> None:
    run, path = CliRunner(), tmp_path / "a.yaml"
    asked = ["generate", "--world", "price_bargaining", "--seed", "4", "--out", str(path)]
    assert run.invoke(commands(), asked).exit_code == 0
    data = yaml.safe_load(path.read_text())
    assert data["world"] == "price_bargaining"
    again = run.invoke(commands(), asked)
    assert isinstance(again.exception, MootError)
    assert "is there already" in str(again.exception)
    nobody = run.invoke(commands(), ["generate", "two neighbours"])
    assert "who shall write it?" in str(nobody.exception)
    wrong = run.invoke(commands(), ["generate", "--set", "totl=3"])
    assert "did you mean 'total'?" in str(wrong.exception)
