"""Scenarios of a support desk: the shop, what the customer wants, what the desk may do, the right end.

The right end is told by the calls that would serve the customer as the policy says (`expected`):
the databases must end as they would after these calls, however the desk got there (Yao et al. 2024).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from ...protocols import did_you_mean
from ...protocols.schemas import closed, fits
from ..scenario import STRICT, Role, Scenario
from ..world import Solution
from .desk_store import Shop, Store, Tables, read_tables
from .desk_tools import REASONS, TOOLS, TRANSFER, ToolError

CUSTOMER, DESK = "customer", "desk"
MOST_ITEMS = 8
LONG = 200
"""Most characters of a thought or a summary; of other text arguments a half."""


class Call(BaseModel):
    """A tool and its arguments."""

    model_config = STRICT

    tool: str = Field(description="Name of a tool.")
    arguments: dict[str, Any] = Field(description="Parameter -> value.")


class DeskRole(Role):
    """The customer has a wish and knows who it is; the desk has a policy."""

    role: str = Field(
        default="", description="customer or desk; empty: the seat `customer` is the customer."
    )
    wish: str = Field(default="", description="Customer: what it wants, in words.")
    identity: dict[str, str] = Field(
        default={}, description="Customer: what it can tell of itself (name, zip, email, ...)."
    )
    wishes: list[dict[str, Any]] = Field(
        default=[],
        description="Customer: the wish again, for scripted agents: `want`, `order`, `items`, `to`, "
        "`reason`, `address`.",
    )
    policy: str = Field(default="", description="Desk: what it may do, in words.")


class DeskScenario(Scenario):
    """One customer with one wish, at the desk of one shop."""

    world: str = "support_desk"
    shop: Shop | None = Field(default=None, description="Users, orders and products.")
    folder: str = Field(
        default="", description="Instead of `shop`: a folder that holds them as JSON files."
    )
    tools: list[str] = Field(
        default=list(TOOLS), description="What the desk works with.", validate_default=True
    )
    explained: bool = Field(
        default=True, description="Whether the desk is told what each tool does, beside its name."
    )
    narrow: bool = Field(
        default=True,
        description="Ids in tool calls are those that the desk has come across; false: any text.",
    )
    expected: list[Call] = Field(
        description="Calls that would serve the customer; they tell how the databases should end."
    )
    outputs: list[str] = Field(
        default=[], description="Words that the desk must tell the customer besides."
    )
    roles: dict[str, DeskRole] = Field(description="One customer, one desk.")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.protocol.name != "service":
            raise ValueError(f"protocol: got {self.protocol.name!r}, want service")
        sides = sorted(map(self.side, self.roles))
        if sides != [CUSTOMER, DESK]:
            raise ValueError(f"roles: want one customer and one desk, got {', '.join(sides)}")
        if (self.shop is None) == (not self.folder):
            raise ValueError("shop: want either a shop or a folder")
        for tool in self.tools:
            if tool not in TOOLS:
                raise ValueError(f"tools: no tool {tool!r}; {did_you_mean(tool, TOOLS)}")
        store = Store(self.tables)
        for number, call in enumerate(self.expected):
            where = f"expected.{number}"
            if call.tool not in self.tools:
                hint = did_you_mean(call.tool, self.tools)
                raise ValueError(f"{where}: no tool {call.tool!r}; {hint}")
            want = arguments(call.tool, None)
            if want is None or not fits(want, call.arguments):
                raise ValueError(f"{where}: {call.tool} takes {', '.join(TOOLS[call.tool].takes)}")
            try:
                TOOLS[call.tool].run(store, **call.arguments)
            except ToolError as error:
                if self.shop is not None:  # in tau-bench, a call that fails just changes nothing
                    raise ValueError(f"{where}: {call.tool}: {error}") from None
        return self

    @cached_property
    def tables(self) -> Tables:
        """What the shop has stored."""
        return self.shop.tables() if self.shop is not None else read_tables(self.folder)

    def side(self, agent: str) -> str:
        """`customer` or `desk`."""
        return self.roles[agent].role or (CUSTOMER if agent == CUSTOMER else DESK)

    def seat(self, side: str) -> str:
        """Who sits on that side."""
        return next(a for a in self.roles if self.side(a) == side)

    def end(self) -> Store:
        """The store as it should end."""
        store = Store(self.tables)
        for call in self.expected:
            with suppress(ToolError):
                TOOLS[call.tool].run(store, **call.arguments)
        return store

    def transfers(self) -> bool:
        """Whether the customer should be handed over to a human."""
        return any(call.tool == TRANSFER for call in self.expected)


def arguments(tool: str, known: dict[str, list[str]] | None) -> dict[str, Any] | None:
    """JSON Schema of a tool's arguments. `known` maps a kind of id to those that may be used (None: any
    text); the schema is None when there is none of a kind that the tool needs."""
    fields: dict[str, Any] = {}
    for name, kind in TOOLS[tool].takes.items():
        each = "item" if kind == "items" else kind
        if kind in ("text", "long"):
            fields[name] = {"type": "string", "maxLength": LONG if kind == "long" else LONG // 2}
            continue
        if kind == "reason":
            fields[name] = {"enum": list(REASONS)}
            continue
        ids: dict[str, Any] = {"type": "string", "maxLength": 40}
        if known is not None:
            if not known.get(each):
                return None
            ids = {"enum": list(known[each])}
        fields[name] = ids
        if kind == "items":
            fields[name] = {"type": "array", "items": ids, "minItems": 1, "maxItems": MOST_ITEMS}
    return closed(fields)


def solve() -> Solution:
    """Served or not: both score 1, or both 0."""
    return Solution(disagreement=(0.0, 0.0), frontier=((1.0, 1.0),), max_joint=2.0, max_nash=1.0)
