"""From a word on the command line to a pool of agents.

    scripted:linear                     a scripted strategy (`moot list agents`)
    nano                                the shipped model
    hf:PATH_OR_ID?temperature=0.7       any causal LM, a local folder or a hub id
    openai:MODEL@URL?timeout=30         a model behind an OpenAI-compatible server
    human                               a person at this terminal

Options follow as a query string. In Python, an object with `reply(observation)` (a user's own agent)
or a pool is a spec too. Seats with the same spec share one pool, so that their rows share batches.
Models load only when a seat needs them: listing names never imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import parse_qsl

from ..protocols import Agent, MootError, Pool, did_you_mean
from .pools import ScriptedPool, ThreadPool
from .scripted.strategies import STRATEGIES

NANO = Path(__file__).parent.parent / "models" / "nano"
KINDS = {
    "scripted": "scripted:NAME, a strategy that needs no model",
    "nano": "the small language model that ships with moot",
    "hf": "hf:PATH_OR_ID, any Hugging Face causal language model",
    "openai": "openai:MODEL@URL, a model behind an OpenAI-compatible server",
    "human": "a person at this terminal",
}

Spec = str | Agent | Pool


class Seat(NamedTuple):
    """Who plays, and how the record names it."""

    spec: str
    pool: Pool
    sees_all: bool = False
    human: bool = False
    """A person at this terminal: one dialogue at a time, and nothing else on the screen."""


def seat(spec: Spec) -> Seat:
    """Raises `MootError` for a spec that names nothing, or an option that its kind does not have."""
    if not isinstance(spec, str):
        return _own(spec)
    head, _, query = spec.partition("?")
    kind, _, name = head.partition(":")
    try:
        options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        raise MootError(f"agent {spec!r}: options are written ?key=value&key=value") from None
    if kind == "scripted":
        return _scripted(spec, name, options)
    if kind == "nano" and not name:
        return Seat(spec, _language(str(NANO), {"temperature": "0.3", **options}))
    if kind == "hf" and name:
        return Seat(spec, _language(name, options))
    if kind == "openai":
        return Seat(spec, _remote(spec, name, options))
    if kind == "human" and not name:
        from .human import human_pool

        return Seat(spec, human_pool(), human=True)
    if kind in KINDS:
        raise MootError(f"agent {spec!r} is incomplete; write {KINDS[kind].split(',')[0]}")
    if head in STRATEGIES:
        raise MootError(f"unknown agent {spec!r}; did you mean 'scripted:{head}'?")
    raise MootError(f"unknown agent {spec!r}; {did_you_mean(kind, KINDS)}")


def seat_all(specs: Mapping[str, Spec]) -> dict[str, Seat]:
    """One seat per entry; equal specs share a pool."""
    made: dict[str, Seat] = {}
    seats: dict[str, Seat] = {}
    for name, spec in specs.items():
        key = spec if isinstance(spec, str) else str(id(spec))
        if key not in made:
            made[key] = seat(spec)
        seats[name] = made[key]
    return seats


def _own(agent: Agent | Pool) -> Seat:
    name = f"python:{type(agent).__module__}.{type(agent).__qualname__}"
    if hasattr(agent, "ask") and hasattr(agent, "poll"):
        return Seat(name, cast(Pool, agent))
    if callable(getattr(agent, "reply", None)):
        own = cast(Agent, agent)
        return Seat(name, ThreadPool(own), bool(getattr(own, "sees_all", False)))
    raise MootError(
        f"an agent is a spec such as 'scripted:linear', an object with reply(observation), or a pool "
        f"with ask and poll; got {agent!r}"
    )


def _scripted(spec: str, name: str, options: Mapping[str, str]) -> Seat:
    if name not in STRATEGIES:
        raise MootError(f"unknown strategy {name!r}; {did_you_mean(name, STRATEGIES)}")
    if options:
        raise MootError(f"agent {spec!r}: scripted agents have no options; write scripted:{name}")
    agent = STRATEGIES[name]()
    return Seat(spec, ScriptedPool(agent), bool(getattr(agent, "sees_all", False)))


def _language(path: str, options: Mapping[str, str]) -> Pool:
    from .language import LanguageOptions, language_pool

    return language_pool(path, LanguageOptions.parse(options))


def _remote(spec: str, name: str, options: Mapping[str, str]) -> Pool:
    """Asks the server for its models at once, so that a dead one is known before a run begins."""
    model, at, url = name.partition("@")
    if not (model and at and url.startswith(("http://", "https://"))):
        raise MootError(f"agent {spec!r}: write openai:MODEL@http://HOST:PORT/v1")
    from .remote import RemoteOptions, remote_pool

    pool = remote_pool(model, url, RemoteOptions.parse(options))
    pool.check()
    return pool
