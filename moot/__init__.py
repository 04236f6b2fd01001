"""The front door: `import moot`, then `moot.simulate(...)`, `moot.score(run)`.

Names load when they are first used, so that `import moot` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .environments import Environment, Episode, Scenario, Template, fork, play, replay
    from .environments.check import check_environment
    from .environments.load import draw, load_scenario
    from .environments.records import Run
    from .environments.transcripts import load_scenarios, load_transcripts
    from .evaluation import score, score_path, table
    from .protocols import Act, Message, MootError, Observation, Protocol, Reply
    from .protocols.check import check_protocol
    from .simulate import Simulation, simulate

_HOME = {
    "environments": ("Environment", "Episode", "Scenario", "Template", "fork", "play", "replay"),
    "environments.check": ("check_environment",),
    "environments.load": ("draw", "load_scenario"),
    "environments.records": ("Run",),
    "environments.transcripts": ("load_scenarios", "load_transcripts"),
    "evaluation": ("score", "score_path", "table"),
    "protocols": ("Act", "Message", "MootError", "Observation", "Protocol", "Reply"),
    "protocols.check": ("check_protocol",),
    "simulate": ("Simulation", "simulate"),
}
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "Act",
    "Environment",
    "Episode",
    "Message",
    "MootError",
    "Observation",
    "Protocol",
    "Reply",
    "Run",
    "Scenario",
    "Simulation",
    "Template",
    "check_environment",
    "check_protocol",
    "draw",
    "fork",
    "load_scenario",
    "load_scenarios",
    "load_transcripts",
    "play",
    "replay",
    "score",
    "score_path",
    "simulate",
    "table",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'moot' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value
