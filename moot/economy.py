"""What the talk of a scenario achieves, and how much of it is needed: one run for every arm of the question.

    DIR/talk/           the scenario as it is
    DIR/silent/         no moves that only talk, no words beside the others
    DIR/oracle/         agents that are shown everybody's secrets
    DIR/text-40/        at most 40 characters a message
    DIR/deadline-6/     at most 6 messages

All arms play the same games with the same random numbers. What is there is not played again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from .cells import finished, played, started
from .environments import Episode, ProtocolChoice, Scenario, Template
from .environments.journal import write_whole
from .environments.load import draw, load_scenario
from .environments.records import Run
from .evaluation.efficiency import ORACLE, SILENT, Arm, efficiency
from .evaluation.metrics import chosen, described
from .evaluation.written import written
from .protocols import PROTOCOLS, MootError
from .simulation import chosen_specs, seated

HEADER, RESULT = "efficiency.json", "result.json"
TALK = "talk"


class Economy:
    """The arms being played: iterate over it for its episodes, then ask for its `result`.

    `max_text` and `deadline` are budgets that become arms of their own. Raises `MootError` before anything
    is played for everything that can be wrong with what was asked.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any] | Scenario | Template,
        *,
        agents: Mapping[str, str] | None = None,
        oracle: str = "scripted:oracle",
        max_text: Sequence[int] = (),
        deadline: Sequence[int] = (),
        metric: str = "utility",
        episodes: int = 50,
        seed: int = 0,
        out: str | Path | None = None,
        concurrent: int = 256,
        command: str = "",
    ) -> None:
        self.metric = described(metric, chosen([metric]))
        self.episodes, self.seed = episodes, seed
        self.concurrent, self.command = concurrent, command
        if episodes < 1:
            raise MootError(f"episodes: got {episodes}, want a number >= 1")
        source = load_scenario(scenario)
        self.name, first = source.name, draw(source, seed, 0)
        own = chosen_specs(first, agents or {})
        self.arms: dict[str, tuple[Scenario | Template, dict[str, Any]]] = {
            TALK: (source, own),
            SILENT: (quiet(source, first.protocol), own),
            ORACLE: (source, {"*": oracle}),
        }
        for most in max_text:
            self.arms[f"text-{most}"] = source.model_copy(update={"max_text": most}), own
        for most in deadline:
            self.arms[f"deadline-{most}"] = bounded(source, first.protocol, deadline=most), own
        plain = {
            name: [s.model_dump(mode="json", exclude_unset=True, exclude_none=True), a]
            for name, (s, a) in self.arms.items()
        }
        asked = {"name": self.name, "arms": plain, "seed": seed, "episodes": episodes}
        text = json.dumps(asked, indent=2, ensure_ascii=False) + "\n"
        digest = hashlib.blake2b(text.encode()).hexdigest()[:4]
        self.folder = Path(out) if out else Path("runs") / f"efficiency-{self.name}-{digest}"
        open_ = [a for n, (_, a) in self.arms.items() if not finished(self.folder / n, episodes)]
        self._shared = [seated(a, first.world) for a in open_]  # models stay loaded
        if any(s.human for seats in self._shared for s in seats.values()):
            raise MootError(
                "efficiency is for agents; a person plays with moot simulate SEAT=human"
            )
        started(self.folder, HEADER, text)

    @property
    def wanted(self) -> int:
        """Episodes in all."""
        return len(self.arms) * self.episodes

    def __iter__(self) -> Iterator[tuple[str, Episode | None]]:
        """Play what is missing: an arm and its next episode, or None for one that was there already."""
        for name, (source, agents) in self.arms.items():
            for episode in played(
                self.folder / name, source, agents, self.episodes,
                seed=self.seed, concurrent=self.concurrent, command=self.command,
            ):  # fmt: skip
                yield name, episode

    def result(self) -> dict[str, Arm]:
        """What every arm came to; `result.json` keeps it."""
        found = efficiency(
            {name: Run.open(self.folder / name).episodes() for name in self.arms}, self.metric
        )
        if not found:
            raise MootError(f"no episode of {self.name} says anything of {self.metric.name}")
        write_whole(self.folder / RESULT, written(self.data(found), indent=2) + "\n")
        return found

    def data(self, found: Mapping[str, Arm]) -> dict[str, Any]:
        """For JSON."""
        arms = {name: arm.data() for name, arm in found.items()}
        return {"folder": str(self.folder), "metric": self.metric.name, "arms": arms}


def quiet(source: Scenario | Template, protocol: ProtocolChoice) -> Scenario | Template:
    """The scenario without talk: no words, and no moves that only talk where the protocol has any."""
    parameters = get_type_hints(inspect.unwrap(PROTOCOLS[protocol.name]))
    if "talk" in parameters:
        source = bounded(source, protocol, talk=False if parameters["talk"] is bool else 0)
    return source.model_copy(update={"max_text": 0})


def bounded(
    source: Scenario | Template, protocol: ProtocolChoice, **parameters: Any
) -> Scenario | Template:
    """The scenario under the same protocol with other parameters. Raises `MootError` for unknown ones."""
    given: dict[str, Any] = {**(protocol.model_extra or {}), **parameters}
    choice = ProtocolChoice(name=protocol.name, **given)
    choice.build()
    return source.model_copy(update={"protocol": choice})


def talk_efficiency(
    scenario: str | Path | Mapping[str, Any] | Scenario | Template,
    *,
    agents: Mapping[str, str] | None = None,
    oracle: str = "scripted:oracle",
    max_text: Sequence[int] = (),
    deadline: Sequence[int] = (),
    metric: str = "utility",
    episodes: int = 50,
    seed: int = 0,
    out: str | Path | None = None,
) -> dict[str, Arm]:
    """Arm -> score, words, tokens and eta = (S - S_silent) / (S_oracle - S_silent) with intervals.

    The arms are `talk`, `silent`, `oracle` and one for every budget. `out`: default
    `runs/efficiency-NAME-XXXX`; what is there already is not played again. Raises `MootError`.
    """
    economy = Economy(
        scenario, agents=agents, oracle=oracle, max_text=max_text, deadline=deadline,
        metric=metric, episodes=episodes, seed=seed, out=out,
    )  # fmt: skip
    for _ in economy:
        pass
    return economy.result()
