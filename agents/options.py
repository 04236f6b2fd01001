"""What may follow `nano?` and `hf:PATH?`: how a model is opened, how its engine works, how a reply is drawn.

Options of the last kind are each seat's own. Seats of one model that differ in those alone, or in their
adapter, share its weights and its engine, and their replies are decoded in one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..protocols import MootError, did_you_mean

OWN = (
    "adapter", "temperature", "top_k", "top_p", "min_p", "stop", "mask", "max_tokens", "think",
    "context", "fast_forward",
)  # fmt: skip
"""Options that each seat has for itself."""


def _texts(given: object) -> object:
    """One text, as a spec gives it, or several."""
    return (given,) if isinstance(given, str) else given


def _parted(given: object) -> object:
    """Several names, as a spec gives them, between commas."""
    return tuple(given.split(",")) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn from the masked logits."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most probable legal token."""
    top_k: int = 0
    """Keep this many most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Then keep the smallest set of most probable tokens that holds this much probability (nucleus
    sampling, Holtzman et al. 2020, arXiv 1904.09751)."""
    min_p: float = 0.0
    """Then keep tokens at least this fraction as probable as the best one (Nguyen et al. 2024, arXiv
    2407.01082)."""


class LanguageOptions(BaseModel):
    """What may follow `hf:PATH?` as `key=value`. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    adapter: str | None = None
    """Folder of a trained adapter, as `bank.export` or peft writes it; None: the model as it is. Adapters
    of one kind speak in one batch."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.7
    """Logits are divided by it before drawing; 0: always the most probable legal token."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Draw from this many most probable legal tokens; 0: all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw from the smallest set of most probable legal tokens that holds this probability."""
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Draw from tokens at least this fraction as probable as the best one."""
    stop: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    """Where a reply that is written without the mask ends: before the first of these texts."""
    mask: bool = True
    """Decode under the grammar of the legal replies. Without it the model writes what it likes, and what is
    not legal is an error in the record, told to the agent, which may try again."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of one reply, thought not counted; its words are closed before that. None: as many
    as the longest legal reply has characters."""
    think: Annotated[int, Field(ge=0)] = 0
    """Most tokens of private thought before a reply; 0: none, also for models that would."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of prompt and reply; None: what the model's configuration says."""
    fast_forward: bool = True
    """Tokens that the grammar forces, such as the names of fields, go through the model together. The
    replies are the same without."""
    rows: Annotated[int, Field(ge=1)] = 64
    """Most replies decoded together."""
    memory: Annotated[int, Field(ge=1)] | None = None
    """MiB of keys and values in all, those of the replies that are being written and those kept. Where
    replies at full length would not fit, fewer are decoded together. None: 4096, on a GPU half of what is
    free."""
    reuse: Annotated[int, Field(ge=0)] = 1024
    """MiB of these that earlier turns may keep, so that only new talk is computed; 0: none."""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """Most prompt tokens computed between two steps of the replies that are being written. None: 1024
    on a CPU, else 8192."""
    dtype: str | None = None
    """float32, bfloat16 or float16. None: float32 on a CPU, else bfloat16."""
    device: str | None = None
    """cuda, cuda:N, mps or cpu. None: the first of these that is there."""
    devices: Annotated[tuple[str, ...], BeforeValidator(_parted)] = ()
    """Several devices with commas, `cuda:0,cuda:1`, or `auto`, all GPUs: a copy of the model and an engine
    on each. Memory is for each of them."""
    device_map: str | None = None
    """`auto` spreads the model over all devices (accelerate)."""
    attention: str | None = None
    """`attn_implementation` of transformers (sdpa, eager, flash_attention_2 ...), for training and for
    models that are asked one reply at a time; a batch of replies attends by itself."""
    load_in_4bit: bool = False
    """Weights in 4 bits; needs bitsandbytes."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Options from strings or values. Raises `MootError` for an unknown key or a bad value."""
        for key in options:
            if key not in cls.model_fields:
                hint = did_you_mean(key, cls.model_fields)
                raise MootError(f"a language model has no option {key!r}; {hint}")
        try:
            return cls.model_validate(dict(options))
        except ValidationError as e:
            first = e.errors(include_url=False)[0]
            key = first["loc"][0]
            raise MootError(
                f"option {key}={first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}"
            ) from None

    @property
    def shared(self) -> Self:
        """The same with every option that is a seat's own at its default."""
        fields = type(self).model_fields
        return self.model_copy(update={name: fields[name].default for name in OWN})

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p)
