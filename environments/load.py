"""From a name, a YAML file or a mapping to a scenario, and from a scenario to what an episode plays.

A file that has `generate` is a `Template`: its world's generator draws a new scenario for every episode.
Everything that can be wrong is found here, before the first episode, and said on one line. YAML is
read by `yaml.safe_load` alone, so a file cannot name code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from ..protocols import WORLD, Key, MootError, changed, did_you_mean
from .environment import Environment
from .mistakes import checked, explained
from .scenario import COACH, Scenario, Template
from .world import Generator
from .worlds import WORLDS

SHIPPED = Path(__file__).parent.parent / "scenarios"
LARGEST = 1_000_000
"""Bytes of one scenario file."""

Source = str | Path | Mapping[str, Any] | Scenario | Template


def load_scenario(source: Source) -> Scenario | Template:
    """The scenario that a shipped name, a YAML file's path or a mapping describes.

    A shipped name comes before a file of the same name; write `./name` for the file. Raises
    `MootError` when there is none or when it could not be played.
    """
    if isinstance(source, Scenario | Template):
        where, loaded = source.name, source
    elif isinstance(source, Mapping):
        where = str(source.get("name", "scenario"))
        loaded = _parsed(source, where)
    else:
        path = _find(source)
        where = str(source)
        loaded = _parsed(read_yaml(path, "name, world, protocol, roles"), where)
    try:
        _playable(loaded)
    except MootError as error:
        raise MootError(f"{where}: {error}") from None
    return loaded


def draw(
    source: Scenario | Template | Sequence[Scenario], seed: int = 0, episode: int = 0
) -> Scenario:
    """The scenario of one episode: itself, the generator's draw, or the next of a list, in turns.

    A draw depends on (seed, episode) and the template alone. Raises `MootError` when the generator's
    parameters are wrong or the list is empty.
    """
    if isinstance(source, Scenario):
        return source
    if not isinstance(source, Template):
        if not source:
            raise MootError("there are no scenarios to draw from: the list is empty")
        return source[episode % len(source)]
    generator, fields = _prepared(_Same(source))
    drawn = generator.draw(Key(seed, episode, "", 0).rng("scenario"))
    if source.protocol is None:
        return changed(drawn, fields)
    anew: dict[str, Any] = {name: getattr(drawn, name) for name in drawn.model_fields_set}
    anew.update(fields, protocol=source.protocol)
    try:
        # Built anew, not copied: the world must agree with another protocol.
        return type(drawn)(**anew)
    except ValidationError as error:
        raise MootError(explained(error, type(drawn), anew)) from None


def roles_of(scenario: Scenario) -> dict[str, str]:
    """Every seat -> its role in the protocol, "" where there are none; a coach's seat included."""
    roles = dict(WORLDS[scenario.world].build(scenario).roles())
    return roles if scenario.coach is None else {**roles, COACH: COACH}


def seats(scenario: Scenario, name: str) -> list[str]:
    """The agents that a name means: the seat itself, or all seats of that role; empty for neither."""
    roles = roles_of(scenario)
    return [name] if name in roles else [agent for agent, role in roles.items() if role == name]


@dataclass(frozen=True, slots=True)
class _Same:
    """A template as a key of the cache: templates hold dicts, so they are told apart by identity."""

    template: Template

    def __hash__(self) -> int:
        return id(self.template)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.template is self.template


@lru_cache(maxsize=64)
def _prepared(key: _Same) -> tuple[Generator, dict[str, Any]]:
    """The template's generator, and the fields that it sets itself in every scenario."""
    source = key.template
    if source.world not in WORLDS:
        raise MootError(_unknown_world(source.world))
    parameters = json.loads(json.dumps(source.generate, default=str))
    generator = checked(WORLDS[source.world].Generator, parameters, "generate")
    own = ("name", "brief", "agents", "max_text", "patience", "coach")
    given = {name: getattr(source, name) for name in own if name in source.model_fields_set}
    return cast(Generator, generator), {k: v for k, v in given.items() if v is not None}


def shipped() -> dict[str, str]:
    """Name of every scenario that ships -> its first line of comment."""
    found: dict[str, str] = {}
    for path in sorted(SHIPPED.glob("*.yaml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found[path.stem] = first.removeprefix("#").strip()
    return found


def _find(source: str | Path) -> Path:
    """The file that is meant."""
    if (
        isinstance(source, str)
        and (SHIPPED / f"{source}.yaml").is_file()
        and Path(source).name == source
    ):
        return SHIPPED / f"{source}.yaml"
    path = Path(source)
    if path.is_file():
        return path
    looks_like_a_file = (
        isinstance(source, Path) or path.suffix in (".yaml", ".yml") or path.name != source
    )
    if looks_like_a_file:
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise MootError(f"{source}: {what}; {did_you_mean(path.stem, shipped())}")
    raise MootError(
        f"unknown scenario {source!r}; {did_you_mean(str(source), shipped())} "
        "(moot list scenarios shows all; a YAML file's path works too)"
    )


def read_yaml(path: Path, keys: str) -> dict[str, Any]:
    """A mapping from a file that a person wrote; `keys` are some that it might have. Raises `MootError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise MootError(f"{path}: {error.strerror}", usage=False) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise MootError(f"{path}:{line}: not UTF-8 text") from None
    if len(raw) > LARGEST:
        raise MootError(f"{path}: larger than {LARGEST:,} bytes; is it the right file?")
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = " ".join((error.problem or "malformed").split())
        raise MootError(f"{path}{line}: not valid YAML: {problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise MootError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise MootError(f"{path}: not valid YAML: nested too deeply") from None
    if not isinstance(data, dict):
        what = "empty" if data is None else f"holds a {type(data).__name__}"
        raise MootError(f"{path}: {what}, want `key: value` lines ({keys}, ...)")
    return cast(dict[str, Any], data)


def _parsed(data: Mapping[str, Any], where: str) -> Scenario | Template:
    world = data.get("world")
    if world is None:
        raise MootError(f"{where}: world: missing; one of {', '.join(WORLDS)}")
    if not isinstance(world, str) or world not in WORLDS:
        raise MootError(f"{where}: {_unknown_world(world)}")
    if "generate" in data:
        return checked(Template, data, where)
    return checked(WORLDS[world].Scenario, data, where)


def _unknown_world(world: object) -> str:
    return f"unknown world {world!r}; {did_you_mean(str(world), WORLDS)}"


def _playable(source: Scenario | Template) -> None:
    """Raise `MootError` unless an episode can begin, and every agent named has a seat."""
    scenario = draw(source)
    nameless = next((seat for seat in scenario.roles if seat in ("", "*", WORLD, COACH)), None)
    if nameless is not None:
        raise MootError(f"roles: a seat cannot be called {nameless!r}")
    table = Environment(scenario)
    if isinstance(source, Scenario):
        known = {*table.roles, *filter(None, table.roles.values()), "*"}
        stray = next((seat for seat in scenario.agents if seat not in known), None)
        if stray is not None:
            raise MootError(f"agents: there is no seat {stray!r}; {did_you_mean(stray, known)}")
