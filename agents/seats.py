"""From a word on the command line to a pool of agents.

    scripted:linear                     a scripted strategy (`moot list agents`)
    nano                                the shipped model
    hf:PATH_OR_ID?temperature=0.7       any causal LM, a local folder or a hub id
    nano?adapter=DIR                    either of them with a trained adapter
    openai:MODEL@URL?timeout=30         a model behind an OpenAI-compatible server
    human                               a person at this terminal

Options follow as a query string. In Python, an object with `reply(observation)` (a user's own agent)
or a pool is a spec too. Seats with the same spec share one pool. Seats of one language model whose specs
differ in sampling or adapter only have a pool each, but share its weights and its engine, so that their
rows share batches. Models load only when a seat needs them: listing names never imports torch. What opens
adapters is given by the caller, since the bank is not of this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import parse_qsl
from weakref import finalize

from ..protocols import Agent, MootError, Pool, did_you_mean
from .pools import ScriptedPool, ThreadPool
from .scripted import players

if TYPE_CHECKING:
    from .adapters import Bank, Opener
    from .options import LanguageOptions

NANO = Path(__file__).parent.parent / "models" / "nano"
KINDS = {
    "scripted": "scripted:NAME, a strategy that needs no model",
    "nano": "the small language model that ships with moot",
    "hf": "hf:PATH_OR_ID, any Hugging Face causal language model",
    "openai": "openai:MODEL@URL, a model behind an OpenAI-compatible server",
    "human": "a person at this terminal",
}

Spec = str | Agent | Pool


def _any_world(world: str) -> bool:
    return True


class Seat(NamedTuple):
    """Who plays, and how the record names it."""

    spec: str
    pool: Pool
    sees_all: bool = False
    human: bool = False
    """A person at this terminal: one dialogue at a time, and nothing else on the screen."""
    plays: Callable[[str], bool] = _any_world
    """Whether it knows what to do in the world of this name."""


class _Words(NamedTuple):
    """A seat for a language model, before the model is loaded."""

    spec: str
    path: str
    options: LanguageOptions


def seat(spec: Spec, adapters: Opener | None = None) -> Seat:
    """Raises `MootError` for a spec that names nothing, or an option that its kind does not have."""
    return seat_all({"*": spec}, adapters)["*"]


def seat_all(specs: Mapping[str, Spec], adapters: Opener | None = None) -> dict[str, Seat]:
    """One seat per entry; equal specs share a pool, and those of one language model its engines.

    `adapters` opens the folders of trained adapters. Raises `MootError` as `seat` does.
    """
    made: dict[str, Seat | _Words] = {}
    models: dict[tuple[str, LanguageOptions], dict[str, _Words]] = {}
    seats: dict[str, Seat] = {}
    for name, spec in specs.items():
        key = spec if isinstance(spec, str) else str(id(spec))
        found = made[key] = made[key] if key in made else _seat(spec)
        if isinstance(found, Seat):
            seats[name] = found
        else:
            models.setdefault((found.path, found.options.shared), {})[name] = found
    for (path, options), words in models.items():
        seats |= _language(path, options, words, adapters)
    return {name: seats[name] for name in specs}


def _seat(spec: Spec) -> Seat | _Words:
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
    if (kind == "nano" and not name) or (kind == "hf" and name):
        if kind == "hf":
            from .source import folder_of

            folder_of(name)  # a missing folder is said before torch is loaded
        from .options import LanguageOptions

        if kind == "nano":
            name, options = str(NANO), {"temperature": "0.3", **options}
        return _Words(spec, name, LanguageOptions.parse(options))
    if kind == "openai":
        return Seat(spec, _remote(spec, name, options))
    if kind == "human" and not name:
        from .human import human_pool

        return Seat(spec, human_pool(), human=True)
    if kind in KINDS:
        raise MootError(f"agent {spec!r} is incomplete; write {KINDS[kind].split(',')[0]}")
    if head in players.names():
        raise MootError(f"unknown agent {spec!r}; did you mean 'scripted:{head}'?")
    raise MootError(f"unknown agent {spec!r}; {did_you_mean(kind, KINDS)}")


def _language(
    path: str, options: LanguageOptions, words: Mapping[str, _Words], opener: Opener | None
) -> dict[str, Seat]:
    """Seats of one model: the same engines, or as many as it takes banks to hold the adapters."""
    from .adapters import adapter_folder

    folders = {
        name: adapter_folder(word.options.adapter) if word.options.adapter is not None else None
        for name, word in words.items()
    }
    wanted = {str(folder): folder for folder in folders.values() if folder is not None}
    if wanted and opener is None:
        raise MootError(
            "adapter=FOLDER needs something that opens it; in Python give seat_all "
            "adapters=moot.finetune.opened.open_banks, as moot.simulate does"
        )
    from .language import LanguagePool, engines, load_with  # torch, once all else is right

    copies = load_with(path, options)
    # Of each copy its own banks; the base model speaks with the adapters of the first kind.
    banks: list[Sequence[Bank | None]] = [[None]] * len(copies)
    if wanted and opener is not None:
        banks = [opener(loaded.model, wanted) for loaded in copies]
    seats: dict[str, Seat] = {}
    for number, kind in enumerate(zip(*banks, strict=True)):
        shared = engines(copies, options, kind)
        known: Sequence[str] = []
        for bank in filter(None, kind):
            finalize(shared, bank.close).atexit = False
            known = bank.agents
        pools: dict[LanguageOptions, LanguagePool] = {}
        for name, word in words.items():
            folder = folders[name]
            owner = None if folder is None else str(folder)
            if owner in known or (owner is None and number == 0):
                if word.options not in pools:
                    pools[word.options] = LanguagePool(shared, word.options, {"*": owner})
                seats[name] = Seat(word.spec, pools[word.options])
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
    agent = players.Scripted(name)
    if options:
        raise MootError(f"agent {spec!r}: scripted agents have no options; write scripted:{name}")
    return Seat(spec, ScriptedPool(agent), agent.sees_all, plays=agent.plays)


def _remote(spec: str, name: str, options: Mapping[str, str]) -> Pool:
    """Asks the server for its models at once, so that a dead one is known before a run begins."""
    model, at, url = name.partition("@")
    if not (model and at and url.startswith(("http://", "https://"))):
        raise MootError(f"agent {spec!r}: write openai:MODEL@http://HOST:PORT/v1")
    from .remote import RemoteOptions, remote_pool

    pool = remote_pool(model, url, RemoteOptions.parse(options))
    pool.check()
    return pool
