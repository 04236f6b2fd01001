"""A scenario: the frozen description of one game to be played. Data only; its world has the rules.

Each world adds its own fields in a subclass (`ItemDivision.Scenario` and so on). A `Template` names a
world's generator instead and draws a new scenario for every episode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import unwrap
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    SerializeAsAny,
    ValidationError,
    model_serializer,
)

from ..protocols import PROTOCOLS, MootError, Protocol, did_you_mean

STRICT = ConfigDict(frozen=True, extra="forbid")


class ProtocolChoice(BaseModel):
    """Name of a protocol and its parameters, flat: `{name: alternating_offers, deadline: 12}`.

    Parameters may be protocols too: `{name: sequence, of: [group_chat, {name: voting, rounds: 1}]}`, or
    just that list.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(description="One of `moot list protocols`.")

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        # A record leaves out what is None, but `deadline: null` is not the default: it must stay.
        return {"name": self.name, **(self.model_extra or {})}

    def build(self) -> Protocol:
        """The automaton. Raises `MootError` for an unknown name or parameter."""
        make = PROTOCOLS.get(self.name)
        if make is None:
            raise MootError(f"unknown protocol {self.name!r}; {did_you_mean(self.name, PROTOCOLS)}")
        given: dict[str, Any] = dict(self.model_extra or {})
        kinds = _parameters(make)
        for key, value in given.items():
            if key not in kinds:
                raise MootError(
                    f"protocol {self.name} has no parameter {key!r}; {did_you_mean(key, kinds)}"
                )
            given[key] = _argument(self.name, key, kinds[key], value)
        return make(**given)


@cache
def _parameters(make: Callable[..., Protocol]) -> dict[str, Any]:
    """Parameter of a protocol -> its type."""
    kinds = get_type_hints(unwrap(make), include_extras=True)
    return {name: kind for name, kind in kinds.items() if name != "return"}


def _argument(name: str, key: str, kind: Any, value: object) -> object:
    """The value as the protocol takes it. Raises `MootError` unless it is of the parameter's type."""
    if kind is str:
        if not isinstance(value, str):
            raise MootError(f"protocol {name}: {key} is a word, got {value!r}")
    elif Protocol not in get_args(kind):
        _plausible(name, key, kind, value)
    elif get_origin(kind) is not tuple:
        return _part(name, key, value)
    elif not isinstance(value, list | tuple) or not value:
        raise MootError(f"protocol {name}: {key} is a list of protocols, got {value!r}")
    else:
        return tuple(_part(name, key, v) for v in cast(Sequence[object], value))
    return value


def _part(name: str, key: str, value: object) -> Protocol:
    try:
        return ProtocolChoice.model_validate(_choice(value)).build()
    except ValidationError:
        raise MootError(
            f"protocol {name}: {key} holds {value!r}; write a protocol's name, or {{name: ...}} with"
            " its parameters"
        ) from None


def _plausible(name: str, key: str, kind: Any, value: object) -> None:
    """Raise `MootError` unless the value is one of the parameter's type; whole numbers are counts
    from 1, or from 0 where the type says so (`NonNegativeInt`)."""
    kinds = get_args(kind) or (kind,)
    if value is None and NoneType in kinds:
        return
    if get_origin(kind) is Literal:
        if value not in kinds:
            hint = did_you_mean(str(value), map(str, kinds))
            raise MootError(f"protocol {name}: {key} cannot be {value!r}; {hint}")
        return
    if bool in kinds:
        if not isinstance(value, bool):
            raise MootError(f"protocol {name}: {key} is true or false, got {value!r}")
        return
    least = 0 if kind == NonNegativeInt else 1
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        what = "a number of messages" if key == "deadline" else "a whole number"
        raise MootError(f"protocol {name}: {key} is {what} >= {least}, got {value!r}")


def _choice(value: object) -> object:
    """A name alone is a protocol without parameters, a list is one protocol after the other."""
    if isinstance(value, list):
        return {"name": "sequence", "of": cast(list[object], value)}
    return {"name": value} if isinstance(value, str) else value


ProtocolField = Annotated[ProtocolChoice, BeforeValidator(_choice)]


class Role(BaseModel):
    """What every role of every world has; worlds add private values in a subclass."""

    model_config = STRICT

    brief: str = Field(default="", description="Private words for this agent alone.")
    role: str = Field(
        default="", description="Role in the world or protocol; empty: from the seat's name."
    )


COACH = "coach"
"""Name and role of a coach's seat; no other seat is called so."""


class Coach(BaseModel):
    """A seat that whispers advice to one agent before each of its moves."""

    model_config = STRICT

    of: str = Field(description="The seat that hears the advice.")
    brief: str = Field(default="", description="What the coach is after, in words.")


class Scenario(BaseModel):
    """Fields that every world shares."""

    model_config = STRICT

    name: str = Field("scenario", description="Short name; names the run's folder.")
    world: str = Field(description="Which rules: one of `moot list environments`.")

    protocol: ProtocolField = Field(description="Who may say what when: name and parameters.")
    brief: str = Field(default="", description="What everyone is told.")
    roles: dict[str, SerializeAsAny[Role]] = Field(description="Seat name -> its private part.")
    agents: dict[str, str] = Field(
        default_factory=dict,
        description="Seat or `*` -> agent spec, unless --agents says otherwise.",
    )
    max_text: int = Field(
        default=160, ge=0, description="Most characters of free text in one message."
    )
    patience: int = Field(
        default=2,
        ge=0,
        description="Illegal replies in a row that are asked again before the agent forfeits.",
    )
    source: str = Field(default="", description="Where it comes from, e.g. an id in a data file.")
    coach: Coach | None = Field(
        default=None,
        description="A further seat, `coach`, that whispers to one agent: `of`, `brief`.",
    )

    def model_post_init(self, context: Any) -> None:
        # A record leaves out what was not set; without its world it could not be read again.
        self.__pydantic_fields_set__.add("world")


class Template(BaseModel):
    """A scenario whose private part is drawn anew for every episode."""

    model_config = STRICT

    name: str = Field("scenario", description="Short name; names the run's folder.")
    world: str = Field(description="Whose generator: one of `moot list environments`.")
    generate: dict[str, Any] = Field(description="Parameters of the world's generator.")
    protocol: ProtocolField | None = Field(
        default=None, description="Overrides the generator's protocol."
    )
    brief: str | None = Field(default=None, description="Overrides the generator's brief.")
    agents: dict[str, str] = Field(
        default_factory=dict,
        description="Seat or `*` -> agent spec, unless --agents says otherwise.",
    )
    max_text: int | None = Field(default=None, ge=0, description="Overrides the generator's limit.")
    patience: int | None = Field(
        default=None, ge=0, description="Overrides the generator's patience."
    )
    coach: Coach | None = Field(default=None, description="As in a scenario.")
