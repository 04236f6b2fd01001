"""Network defence: one attacker on a graph of hosts, a team that sees it only by alerts, some of them false.

Each round the defenders talk among themselves, then all act at once and unseen. The attacker moves to a
neighbouring host, takes what the host holds, or hides; a defender watches, inspects, isolates or restores
a host of its own part, and pays for it (`network_game.step` has the rules). Then each defender hears what
the team did and what came of it, and the alerts of its own part alone: what the attacker does gives one
with probability 1 - missed, where it does nothing there is a false one now and then.

    damage = value taken + costs of the defence;   the attacker scores damage / value of all data,
                                                   the defenders lose as much, in equal parts

Whoever forfeits loses what is left to lose: a defender all that is not yet taken, the attacker its chance
to take it. Left out: several attackers, hosts that stay cut off, thefts that are noticed by themselves.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel

from ...protocols import Act, Answer, Choice, Content, Ended, Message, Move
from ...protocols.schemas import closed
from ..scenario import STRICT, Scenario
from ..world import Notice, Outcome, Solution
from .network_game import (
    HIDE,
    INSPECT,
    ISOLATE,
    MOVE,
    RESTORE,
    TAKE,
    WATCH,
    Action,
    Defence,
    Step,
    defence,
    stage,
    step,
)
from .network_picture import drawn
from .network_scenario import ATTACKER, NetworkGenerator, NetworkScenario, solve

PAST = {
    MOVE: "moved to {}", TAKE: "took what {} holds", HIDE: "hid", WATCH: "watched",
    INSPECT: "inspected {}", ISOLATE: "isolated {}", RESTORE: "restored {}",
}  # fmt: skip
FOUND = {
    INSPECT: ("nobody there", "the attacker is there"),
    ISOLATE: ("stopped nothing", "stopped the attacker"),
    RESTORE: ("nobody there", "threw the attacker out"),
}
"""What comes of an action of a defender: when it met nobody, when it met the attacker."""


class Deed(Choice):
    """What the sender does, or tells its team that it will do."""

    model_config = STRICT
    action: str


class Alerts(Answer):
    """The hosts of the sender's part that gave an alert. A claim; nothing makes it true."""

    model_config = STRICT
    alerts: list[str]


class NetworkDefence:
    """One attack."""

    name: ClassVar[str] = "network_defence"
    summary: ClassVar[str] = "an attacker on a network, a team of defenders with partial alerts"
    Scenario: ClassVar[type[Scenario]] = NetworkScenario
    Generator: ClassVar[type[BaseModel]] = NetworkGenerator
    contents: ClassVar[Mapping[type[Content], type[Content]]] = {Choice: Deed, Answer: Alerts}

    def __init__(self, scenario: NetworkScenario) -> None:
        self.scenario, self._network = scenario, scenario.network
        self._hosts, self._sides, self._team = scenario.hosts, scenario.sides(), scenario.team()
        self._attacker = next(a for a, side in self._sides.items() if side == ATTACKER)
        self._order, self._said = scenario.order(), 0
        self._state = self._network.start()
        self._trail = [self._state.at]
        self._chosen: dict[str, Action] = {}
        self._played = self._loot = self._costs = self._false = 0
        self._alerted: set[int] = set()
        self._last: Defence | None = None
        self._news: list[Notice] = []

    @classmethod
    def build(cls, scenario: Scenario) -> Self:
        return cls(cast(NetworkScenario, scenario))

    @classmethod
    def solve(cls, scenario: Scenario) -> Solution:
        """`reference`: what the damage is between when both sides play their best."""
        return solve(cast(NetworkScenario, scenario))

    def roles(self) -> Mapping[str, str]:
        return self._sides

    def public(self) -> Mapping[str, Any]:
        s = self.scenario
        return {
            "rounds": s.rounds,
            "entry": s.entry,
            "links": {host: list(s.neighbours(host)) for host in s.hosts},
            "values": dict(s.values),
            "parts": {agent: list(s.parts[agent]) for agent in self._team},
            "attacker": self._attacker,
            "costs": {
                "inspect": s.inspect_cost,
                "isolate": s.isolate_cost,
                "restore": s.restore_cost,
            },
            "missed": s.missed,
            "false_alarms": s.false_alarms,
        }

    def private(self, agent: str) -> Mapping[str, Any]:
        """Nothing at first; what an agent comes to know it is told."""
        return {}

    def describe(self, agent: str) -> tuple[str, str]:
        s = self.scenario
        links = ", ".join(f"{a}-{b}" for a, b in s.links)
        values = ", ".join(f"{host} {value}" for host, value in s.values.items())
        parts = "; ".join(f"{a}: {', '.join(s.parts[a])}" for a in self._team)
        everyone = (
            f"Links of a network: {links}. {self._attacker} attacks it from {s.entry}. Worth taking:"
            f" {values}. Defenders and their parts: {parts}. Rounds: {s.rounds}; in each all act at once."
            " The attacker moves along a link, takes or hides. A defender watches, or acts on a host of its"
            f" part: inspect (cost {s.inspect_cost}) tells whether the attacker is there after the round;"
            f" isolate ({s.isolate_cost}) cuts the host off for the round, so that nobody comes in, goes out"
            f" or takes; restore ({s.restore_cost}) throws whoever is there after the round out to"
            f" {s.entry}. Moving to a host or taking there gives an alert, unless it is missed"
            f" ({s.missed:.0%}); without a cause a host gives one in {s.false_alarms:.0%} of rounds. The"
            f" attacker scores what it takes and what the defence costs, over {s.total}; defenders lose it."
        )
        if agent == self._attacker:
            return everyone, f"You are the attacker, at {s.entry}. You do not hear the defenders."
        return everyone, f"You defend {', '.join(s.parts[agent])}. Nobody else sees your alerts."

    def explain(self, move: Move) -> str:
        if move.content is Answer:
            return '{"alerts": [hosts of your part that gave an alert last round]}'
        return (
            '{"action": one of yours, such as "hide", "take", "move HOST", "watch", "isolate HOST"}'
        )

    def schema(self, agent: str, move: Move, to: str | None) -> dict[str, Any] | None:
        if move.content is Answer:
            part = list(self.scenario.parts[agent])
            items = {"type": "array", "items": {"enum": part}, "maxItems": len(part)}
            return closed({"alerts": items})
        return closed({"action": {"enum": [self._named(a) for a in self._actions(agent)]}})

    def check(self, agent: str, content: Content, move: Move, to: tuple[str, ...]) -> str | None:
        if isinstance(content, Alerts):
            part, said = self.scenario.parts[agent], content.alerts
            if set(said) <= set(part) and len(said) <= len(part):
                return None
            return f"at most {len(part)} of {', '.join(part)}"
        names = [self._named(a) for a in self._actions(agent)]
        return None if cast(Deed, content).action in names else f"action {' or '.join(names)}"

    def _actions(self, agent: str) -> list[Action]:
        """What an agent may do now."""
        if agent == self._attacker:
            return self._network.attacks(self._state)
        return self._network.duties(self._team.index(agent))

    def _host(self, action: Action) -> str:
        return "" if action.do == WATCH else self._hosts[action.host]

    def _named(self, action: Action) -> str:
        bare = action.do in (TAKE, HIDE, WATCH)
        return action.do if bare else f"{action.do} {self._host(action)}"

    def hear(self, message: Message) -> None:
        self._said += 1
        if message.act is not Act.REQUEST:
            return
        wanted, agent = cast(Deed, message.content).action, message.sender
        self._chosen[agent] = next(a for a in self._actions(agent) if self._named(a) == wanted)
        if len(self._chosen) == len(self._sides):
            self._round()

    def _round(self) -> None:
        """All act; who is where, what is gone, what was seen."""
        before, attack = self._state, self._chosen.pop(self._attacker)
        team = defence(self._network, tuple(self._chosen[a] for a in self._team))
        after = step(self._network, before, attack, team.isolated, team.restored)
        there = attack.host if after.done else before.at
        self._chosen, self._last, self._state = {}, team, after.state
        self._played += 1
        self._loot += after.loot
        self._costs += team.cost
        self._trail += [there, after.state.at] if after.evicted else [there]
        near = before.at, attack.host
        self._false += sum(a.do == ISOLATE and a.host not in near for a in team.actions)
        touched = None if attack.do == HIDE else attack.host
        self._alerted = {h for h in range(len(self._hosts)) if self._alert(h, h == touched)}
        found: dict[str, bool] = {}
        for agent, action in zip(self._team, team.actions, strict=True):
            if action.do == ISOLATE:
                found[agent] = not after.done and action.host in near
            elif action.do != WATCH:
                found[agent] = action.host == there
        to_go = 0 if self.over() else self.scenario.rounds - self._played
        self._report(team, found, to_go)
        self._felt(attack, after, to_go)
        if not to_go:
            lost = {"taken": self._loot, "of": self.scenario.total, "costs": self._costs}
            text = "It is over. Taken: {taken} of {of}; the defence cost {costs}.".format(**lost)
            self._news.append(Notice(tuple(self._sides), text, lost))

    def _alert(self, host: int, touched: bool) -> bool:
        """Drawn from the scenario's number, the round and the host, whatever else happens."""
        s = self.scenario
        chance = random.Random(f"{s.seed}|{self._played}|{host}").random()
        return chance < (1 - s.missed if touched else s.false_alarms)

    def _report(self, team: Defence, found: Mapping[str, bool], to_go: int) -> None:
        """Tell each defender what the team did, what came of it, and the alerts of its own part."""
        did = ", ".join(
            f"{agent} {PAST[action.do].format(self._host(action))}"
            + (f" ({FOUND[action.do][found[agent]]})" if agent in found else "")
            for agent, action in zip(self._team, team.actions, strict=True)
        )
        actions = dict(zip(self._team, map(self._named, team.actions), strict=True))
        data = {"round": self._played, "actions": actions, "found": found, "to_go": to_go}
        for agent in self._team:
            own = [h for h in self.scenario.parts[agent] if self._hosts.index(h) in self._alerted]
            text = f"Round {self._played}: {did}. Alerts in your part: {', '.join(own) or 'none'}."
            self._news.append(Notice((agent,), f"{text} {to_go} to go.", {**data, "alerts": own}))

    def _felt(self, attack: Action, after: Step, to_go: int) -> None:
        """Tell the attacker how it went."""
        at = self._hosts[after.state.at]
        did = f"you {PAST[attack.do].format(self._host(attack))}"
        did += f", worth {after.loot}" if after.loot else ""
        if not after.done:
            did = f"you were cut off and could not {self._named(attack)}"
        thrown = " You were thrown out." if after.evicted else ""
        text = (
            f"Round {self._played}: {did}.{thrown} You are at {at}; {self._loot} taken;"
            f" {to_go} to go."
        )
        data = {
            "round": self._played,
            "action": self._named(attack),
            "done": after.done,
            "evicted": after.evicted,
            "at": at,
            "gained": after.loot,
            "taken": self._loot,
            "to_go": to_go,
        }
        self._news.append(Notice((self._attacker,), text, data))

    def tell(self) -> Sequence[Notice]:
        news, self._news = self._news, []
        return news

    def over(self) -> Ended | None:
        done = self._played == self.scenario.rounds or not self._state.left
        return Ended.DONE if done else None

    def reveal(self) -> Mapping[str, Any]:
        """Where the attacker is, what is left, the value of the game from here on, and how both sides
        would play it if the team saw all."""
        to_go = self.scenario.rounds - self._played
        best = stage(self._network, to_go, self._state)
        return {
            "at": self._hosts[self._state.at],
            "left": [h for i, h in enumerate(self._hosts) if self._state.left >> i & 1],
            "to_go": to_go,
            "value": best.value / self.scenario.total,
            "attack": {self._named(a): p for a, p in best.attacks},
            "defence": [
                {"actions": dict(zip(self._team, map(self._named, d.actions), strict=True)), "p": p}
                for d, p in best.defences
            ],
        }

    def outcome(self, ended: Ended) -> Outcome:
        """`damage`: the attacker's score. `exfiltrated`: share of the value that was taken; `compromised`:
        hosts behind the entry that the attacker has stood on; `false_isolations`: hosts isolated while
        the attacker neither was there nor came; `spent`: what the defence cost, as a share of the value."""
        s, over = self.scenario, self.over() is not None
        damage = self._loot + self._costs
        if not over and self._order[self._said % len(self._order)] in self._team:
            damage += s.total - self._loot
        results = {
            "damage": damage / s.total,
            "exfiltrated": self._loot / s.total,
            "spent": self._costs / s.total,
            "compromised": float(len(set(self._trail) - {self._network.entry})),
            "false_isolations": float(self._false),
            "rounds": float(self._played),
        }
        deal = {
            "rounds": self._played,
            "taken": self._loot,
            "costs": self._costs,
            "trail": [self._hosts[h] for h in self._trail],
        }
        return Outcome(
            completed=over and not self._loot,
            deal=deal if self._said else None,
            utilities=s.utilities(damage),
            results=results,
        )

    def space(self, agent: str) -> None:
        """None: what is done is no offer."""

    def picture(self) -> str:
        """The network now, with the attacker, and what the team did and saw in the last round."""
        last = self._last
        return drawn(
            self.scenario,
            at=self._state.at,
            left=self._state.left,
            isolated=last.isolated if last else 0,
            restored=last.restored if last else 0,
            alerted=self._alerted,
        )
