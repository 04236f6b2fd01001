"""Worlds, scenarios, and the loop that plays episodes. No torch here."""

from .environment import Environment
from .episode import Episode, Turn, scenario_of
from .play import fork, play, replay, said
from .scenario import ProtocolChoice, Role, Scenario, Template
from .world import Generator, Outcome, Solution, World
from .worlds import WORLDS

__all__ = [
    "WORLDS",
    "Environment",
    "Episode",
    "Generator",
    "Outcome",
    "ProtocolChoice",
    "Role",
    "Scenario",
    "Solution",
    "Template",
    "Turn",
    "World",
    "fork",
    "play",
    "replay",
    "said",
    "scenario_of",
]
