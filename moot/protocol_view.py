"""A protocol in the terminal: `moot show protocol NAME`, its table of moves in words.

The name may be a scenario's too, then it is the protocol of that scenario.
"""

from __future__ import annotations

import yaml
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .environments.load import load_scenario, shipped
from .environments.scenario import ProtocolChoice, Scenario
from .protocols import PROTOCOLS, MootError, Protocol, did_you_mean
from .protocols.counted import counted
from .protocols.diagram import floor, table


def chosen(words: list[str]) -> Protocol:
    """The protocol that `NAME KEY=VALUE...` means. Raises `MootError` for what there is not."""
    if not words:
        raise MootError(f"show protocol: which one? {did_you_mean('', PROTOCOLS)}")
    name, *pairs = words
    if name not in PROTOCOLS:
        if name not in shipped() and not name.endswith((".yaml", ".yml")):
            hint = did_you_mean(name, PROTOCOLS)
            raise MootError(f"no protocol or scenario {name!r}; {hint}")
        scenario = load_scenario(name)
        if not isinstance(scenario, Scenario):
            raise MootError(f"{name} draws its scenarios; name the protocol itself")
        return scenario.protocol.build()
    given: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise MootError(
                f"show protocol {name}: write KEY=VALUE, such as deadline=12, not {pair!r}"
            )
        given[key] = yaml.safe_load(value)
    return ProtocolChoice.model_validate({"name": name, **given}).build()


def in_words(protocol: Protocol) -> RenderableType:
    """Who takes part, and state by state who may say what and where it leads."""
    title = Text.assemble((protocol.name, "bold"), f": {protocol.summary}\n")
    title.append(f"{protocol.source}\n", style="dim")
    title.append(_seats(protocol))
    if protocol.deadline is not None:
        title.append(f"; at most {counted(protocol.deadline, 'message')}")
    parts: list[RenderableType] = [title]
    for state in protocol.states:
        parts.append(Text.assemble((f"\n{state.name}", "bold"), f"  {floor(state)}"))
        grid = Table.grid(padding=(0, 2))
        for row in table(protocol)[state.name]:
            style = "" if row.says else "dim"
            grid.add_row(Text(row.said, style=style), Text(f"-> {row.then}"), Text(row.says, "dim"))
        parts.append(Padding(grid, (0, 4)))
    return Group(*parts)


def _seats(protocol: Protocol) -> str:
    if protocol.roles is not None:
        return ", ".join(
            f"{n or 'one or more'} {role}{'' if n == 1 else 's'}"
            for role, n in protocol.roles.items()
        )
    low, high = protocol.size
    return (
        counted(low, "agent")
        if low == high
        else f"{low} {f'to {high}' if high else 'or more'} agents"
    )
