"""A support desk: a customer who wants something, an agent with tools and a policy, the shop's databases.

The task of tau-bench's retail domain (Yao et al. 2024, arXiv:2406.12045) as a talk between two agents.
The customer knows who it is and what it wants, the desk knows the policy, neither knows the databases:
the desk looks them up by tools whose results it alone is told. The case is judged by the state in which
the databases end, which must be the one that the scenario's expected calls lead to:

    both score 1 if the case was closed (the customer confirmed or left, or was handed to a human), the
    databases are as expected, and whatever must be said was said; else 0.

Beyond tau-bench: a case in which nothing may change and nothing must be said is served only when the
desk said no (refused, or handed over), and a hand-over that is expected must have happened; so silence
scores nothing. Left out: times, stock that sells out, and customers who change their minds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict

from ...protocols import Act, Answer, Content, Ended, Message, Move, OfferSpace, Question, Task
from ...protocols.schemas import closed, fits
from ..scenario import STRICT, Scenario
from ..world import Notice, Outcome, Solution
from .desk_scenario import CUSTOMER, DESK, Call, DeskScenario, arguments, solve
from .desk_shop import DeskGenerator
from .desk_store import Store
from .desk_tools import TOOLS, TRANSFER, ToolError

CLOSED = (Ended.AGREED, Ended.WALKED_AWAY, Ended.DONE)
ABOUT = ("identity", "wishes", "agreement")


class Use(Task):
    """A tool call of the desk."""

    model_config = STRICT
    tool: str
    arguments: dict[str, Any]


class Ask(Question):
    """What the desk asks about: who the customer is, what it wants, whether it agrees to what was said."""

    model_config = STRICT
    about: str


class Told(Answer):
    """What the customer tells: `about`, and `identity` (a mapping), `wishes` (a list) or `agreed`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    about: str


class SupportDesk:
    """One case."""

    name: ClassVar[str] = "support_desk"
    summary: ClassVar[str] = "a customer and an agent with tools; judged by the shop's databases"
    Scenario: ClassVar[type[Scenario]] = DeskScenario
    Generator: ClassVar[type[BaseModel]] = DeskGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {
        Task: Use, Question: Ask, Answer: Told
    }  # fmt: skip

    def __init__(self, scenario: DeskScenario) -> None:
        self.scenario = scenario
        self.desk, self.customer = scenario.seat(DESK), scenario.seat(CUSTOMER)
        self.store = Store(scenario.tables)
        self._known: dict[str, list[str]] = {}
        self._schema: dict[str, Any] | None = None
        self._result: str | None = None
        self._writes: list[Call] = []
        self._counts = {"tool_calls": 0.0, "tool_errors": 0.0}
        self._said: list[str] = []
        self._refused = self._transferred = False

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(DeskScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`best` holds the expected calls."""
        calls = [c.model_dump() for c in cast(DeskScenario, scenario).expected]
        return solve().model_copy(update={"best": {"calls": calls}})

    def roles(self) -> Mapping[str, str]:
        return {a: self.scenario.side(a) for a in self.scenario.roles}

    def public(self) -> Mapping[str, Any]:
        return {"tools": list(self.scenario.tools)}

    def private(self, agent: str) -> Mapping[str, Any]:
        role = self.scenario.roles[agent]
        if agent == self.desk:
            return {"policy": role.policy}
        return {
            "wish": role.wish,
            "identity": dict(role.identity),
            "wishes": [dict(w) for w in role.wishes],
            "expected": [c.model_dump() for c in self.scenario.expected],
            "outputs": list(self.scenario.outputs),
        }

    def describe(self, agent: str) -> tuple[str, str]:
        role = self.scenario.roles[agent]
        everyone = (
            f"{self.customer} is a customer of a shop, {self.desk} works at its service desk."
        )
        if agent == self.desk:
            tools = "\n".join(
                f"- {name}({', '.join(TOOLS[name].takes)})"
                + (f": {TOOLS[name].says}" if self.scenario.explained else "")
                for name in self.scenario.tools
            )
            return everyone, f"Policy:\n{role.policy}\nTools:\n{tools}"
        known = ", ".join(f"{key} {value}" for key, value in role.identity.items())
        facts = f"\nYou are known by: {known}." if known else ""
        return everyone, f"{role.wish}{facts}"

    def explain(self, move: Move) -> str:
        words: dict[object, str] = {
            Task: '{"tool": name, "arguments": {parameter: value}}',
            Question: '{"about": "identity", "wishes" or "agreement"}',
            Answer: '{"about": what you tell, then "identity", "wishes" or "agreed"}',
        }
        return words[move.content]

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        if move.content is Question:
            return closed({"about": {"enum": list(ABOUT)}})
        if move.content is Answer:
            return self._tellable()
        if self._schema is None:
            known = self._known if self.scenario.narrow else None
            taken = ((name, arguments(name, known)) for name in self.scenario.tools)
            calls = [
                closed({"tool": {"const": name}, "arguments": schema})
                for name, schema in taken
                if schema is not None
            ]
            self._schema = {"anyOf": calls}
        return self._schema if self._schema["anyOf"] else None

    def _tellable(self) -> dict[str, Any]:
        """What the customer can tell, truly: claims that are not true are left to words."""
        role = self.scenario.roles[self.customer]
        told = [closed({"about": {"const": "agreement"}, "agreed": {"type": "boolean"}})]
        if role.identity:
            facts = {key: {"const": value} for key, value in role.identity.items()}
            told.append(closed({"about": {"const": "identity"}, "identity": closed(facts)}))
        if role.wishes:
            told.append(closed({"about": {"const": "wishes"}, "wishes": {"const": role.wishes}}))
        return {"anyOf": told}

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        schema = self.schema(agent, move, None)
        if schema is not None and fits(schema, content.model_dump()):
            return None
        if not isinstance(content, Use):
            return self.explain(move)
        takes = TOOLS[content.tool].takes if content.tool in self.scenario.tools else None
        if takes is None:
            return f"a tool of {', '.join(self.scenario.tools)}"
        ids = "; ids that you have come across" if self.scenario.narrow else ""
        return f"{content.tool} with {', '.join(takes) or 'no arguments'}{ids}"

    def hear(self, message: Message) -> None:
        content = message.content
        if isinstance(content, Use):
            self._use(Call(tool=content.tool, arguments=content.arguments))
        elif message.sender == self.desk:
            self._said.append(message.text)
            self._refused = self._refused or message.act is Act.REFUSE
        else:
            self._learn(message.text)
            if content is not None:
                self._learn(json.dumps(content.model_dump()))

    def _use(self, call: Call) -> None:
        tool = TOOLS[call.tool]
        self._counts["tool_calls"] += 1
        try:
            result = tool.run(self.store, **call.arguments)
        except ToolError as error:
            self._counts["tool_errors"] += 1
            result = f"Error: {error}"
        else:
            self._transferred = call.tool == TRANSFER
            if tool.writes:
                self._writes.append(call)
        self._result = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        self._learn(self._result)

    def _learn(self, text: str) -> None:
        """Ids that the desk comes across may be used in its calls."""
        if not self.scenario.narrow:
            return
        for key, kind in self.scenario.tables.named(text):
            known = self._known.setdefault(kind, [])
            if key not in known:
                known.append(key)
                self._schema = None

    def tell(self) -> Sequence[Notice]:
        """The result of a tool call, to the desk alone."""
        if self._result is None:
            return ()
        text, self._result = self._result, None
        return (Notice((self.desk,), text, {"result": json.loads(text)}),)

    def over(self) -> Ended | None:
        """A customer who was handed over to a human is gone."""
        return Ended.DONE if self._transferred else None

    def outcome(self, ended: Ended) -> Outcome:
        """`results`: tool calls, those that failed, and writes that no expected call is."""
        s, done = self.scenario, list(self._writes)
        served = ended in CLOSED and self._served()
        if self._transferred:
            done.append(Call(tool=TRANSFER, arguments={}))
        wanted = [same(call) for call in s.expected]
        wrong = 0
        for call in map(same, self._writes):
            if call in wanted:
                wanted.remove(call)
            else:
                wrong += 1
        calls = [call.model_dump() for call in done]
        return Outcome(
            completed=served,
            deal={"calls": calls} if calls or served else None,
            utilities=dict.fromkeys(s.roles, 1.0 if served else 0.0),
            results={**self._counts, "wrong_writes": float(wrong)},
        )

    def _served(self) -> bool:
        s = self.scenario
        changes = s.end().changes()
        if self.store.changes() != changes or (s.transfers() and not self._transferred):
            return False
        said = " ".join(self._said).lower().replace(",", "")
        if not all(output.lower().replace(",", "") in said for output in s.outputs):
            return False
        return bool(changes or s.outputs) or self._refused or self._transferred

    def space(self, agent: str) -> OfferSpace | None:
        return None


def same(call: Call) -> tuple[str, str]:
    """The same for calls that do the same: in whatever order their items are named."""
    given = dict(call.arguments)
    if "new_item_ids" in given:
        pairs = sorted(zip(given["item_ids"], given.pop("new_item_ids"), strict=True))
        given["item_ids"] = pairs
    elif "item_ids" in given:
        given["item_ids"] = sorted(given["item_ids"])
    return call.tool, json.dumps(given, sort_keys=True)
