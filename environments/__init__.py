"""Worlds, scenarios, and the loop that plays episodes. No torch here."""

from .environment import Environment
from .episode import Episode, Turn, scenario_of
from .play import fork, play, replay, said
from .scenario import ProtocolChoice, Role, Scenario, Template
from .world import Drawing, Ending, Generator, Notice, Outcome, Solution, Telling, World
from .worlds import WORLDS

__all__ = [
    "WORLDS",
    "Drawing",
    "Ending",
    "Environment",
    "Episode",
    "Generator",
    "Notice",
    "Outcome",
    "ProtocolChoice",
    "Role",
    "Scenario",
    "Solution",
    "Telling",
    "Template",
    "Turn",
    "World",
    "fork",
    "play",
    "replay",
    "said",
    "scenario_of",
]
