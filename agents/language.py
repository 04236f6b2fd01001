"""The language-model agent: observations in, replies decoded under the mask of the legal moves out.

`LanguagePool` has the two verbs of every pool. `ask` queues; `poll` decodes the waiting questions
together, up to `rows` of them, until at least one reply is ready, and goes on with the others at the next
`poll`. Questions that come meanwhile join the batch as rows fall free. A pool is one way of asking a
model: its sampling, and with a bank of adapters whose adapter replies (see `adapters`). Pools `beside` it
ask in other ways, and one batch decodes for all of them. Left out: adapters of different banks in one batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..protocols import MootError, Observation, Reply
from .adapters import Bank, Owners, owner_by
from .engine import Engine, Engines
from .load import Loaded, load, places
from .options import LanguageOptions
from .question import Question


def language_pool(
    model: str | Loaded,
    options: LanguageOptions | Mapping[str, Any] | None = None,
    *,
    bank: Bank | None = None,
    owners: Owners | None = None,
) -> LanguagePool:
    """A pool for the model at a local folder or hub id, or one that is loaded.

    `bank` holds adapters on that very model, and `owners` tells whose adapter replies: seat name, else
    role, else `*` -> agent of the bank or None for the base model; or a function of the observation.
    Training the bank between two polls is safe. Raises `MootError` where the model cannot be loaded or
    the bank does not belong to it.
    """
    options = _read(options)
    if options.adapter is not None:
        raise MootError(
            "a pool takes its adapters as a bank; seat the spec instead: adapter=FOLDER works with "
            "moot.simulate and --agents"
        )
    if (bank is None) != (owners is None):
        raise MootError("a pool takes a bank and owners together; owners={'*': NAME} seats one")
    if options.devices and (bank is not None or isinstance(model, Loaded)):
        what = "a bank" if bank is not None else "a model that is loaded"
        raise MootError(
            f"{what} is on a device already; leave out devices, or give a model's folder"
        )
    copies = [model] if isinstance(model, Loaded) else load_with(model, options)
    if bank is not None and bank.model is not copies[0].model:
        raise MootError(
            f"the bank's model is not the one that {copies[0].name} was loaded as; make the bank on "
            "loaded.model and give the pool that `loaded`"
        )
    banks = [bank] * len(copies)
    return LanguagePool(engines(copies, options, banks), options, owners)


def load_with(path: str, options: LanguageOptions) -> list[Loaded]:
    """The model as the options want it, once for each device. Raises `MootError` if it cannot be loaded."""
    if options.devices and (options.device or options.device_map):
        raise MootError("give one of device, devices and device_map: devices has a copy on each")
    named: list[str | None] = [*places(options.devices)] or [options.device]
    return [
        load(
            path,
            dtype=options.dtype,
            device=device,
            device_map=options.device_map,
            attention=options.attention,
            load_in_4bit=options.load_in_4bit,
            trust_remote_code=options.trust_remote_code,
            revision=options.revision,
            copy=named[:i].count(device),
        )
        for i, device in enumerate(named)
    ]


def engines(
    copies: Sequence[Loaded], options: LanguageOptions, banks: Sequence[Bank | None]
) -> Engines:
    """An engine for each copy of a model, with its own copy of the bank."""
    pairs = zip(copies, banks, strict=True)
    return Engines([Engine(loaded, options, bank) for loaded, bank in pairs])


class LanguagePool:
    """Asks the engines of one model in one way."""

    def __init__(
        self, engines: Engines, options: LanguageOptions, owners: Owners | None = None
    ) -> None:
        self.engines, self.options = engines, options
        bank = engines.all[0].bank
        self._owner = None if bank is None else owner_by(owners or {}, bank.agents)
        self._ready: list[tuple[int, Reply]] = []

    @property
    def loaded(self) -> Loaded:
        """The model; of several copies, the first."""
        return self.engines.all[0].loaded

    def beside(
        self, options: LanguageOptions | Mapping[str, Any], owners: Owners | None = None
    ) -> LanguagePool:
        """Another pool of the same engines, with its own sampling and owners (by default the base model's,
        where there is a bank). Raises `MootError` for an option that the engines have already settled."""
        options = _read(options)
        mine, theirs = self.options.shared.model_dump(), options.shared.model_dump()
        settled = [name for name in mine if mine[name] != theirs[name]]
        if settled:
            raise MootError(
                f"{', '.join(settled)}: settled by the pool that this one stands beside"
            )
        return LanguagePool(self.engines, options, owners or {"*": None})

    def ask(self, ticket: int, observation: Observation) -> None:
        """Queue a question. Raises `MootError` where nobody owns its seat."""
        owner = None if self._owner is None else self._owner(observation)
        self.engines.ask(Question(ticket, observation, owner, self.options, self._ready))

    def poll(self, wait: float = 0.0) -> list[tuple[int, Reply]]:
        """At least one reply, if any question is open, unless others that ask the same engines have one
        first: working is no waiting, so `wait` has no part."""
        if not self._ready:
            self.engines.run()
        ready = self._ready.copy()
        self._ready.clear()
        return ready

    def forget(self) -> None:
        """Keep no keys and values, and begin open replies anew: the weights have changed.

        A change of the bank is noticed; one of the base model's own weights is the caller's to tell.
        """
        self.engines.forget()


def _read(options: LanguageOptions | Mapping[str, Any] | None) -> LanguageOptions:
    return options if isinstance(options, LanguageOptions) else LanguageOptions.parse(options or {})
