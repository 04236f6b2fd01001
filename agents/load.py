"""A causal language model and its tokenizer, from a local folder or a hub id.

Safetensors only, never pickle; nobody else's code unless asked. What cannot be loaded is a `MootError`
that names the folder and the remedy. Seats that ask for the same model with the same options share one.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedTokenizerFast,
)  # fmt: skip
from transformers.cache_utils import Cache, DynamicCache
from transformers.utils import logging

from ..protocols import MootError, did_you_mean
from .cache import LayerShape, Slab, shapes
from .masks import Grammars
from .render import ChatForm
from .source import check_folder, folder_of, offline, unread

DTYPES = {
    "float32": torch.float32, "fp32": torch.float32,
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16,
}  # fmt: skip


class Loaded:
    """A model ready to be asked: eval mode, no gradients, its chat form and its grammars."""

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.device: torch.device = model.get_input_embeddings().weight.device
        config = model.config.get_text_config()
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        """Most tokens of prompt and reply together; None where the model sets no limit."""
        self._takes = set(inspect.signature(model.forward).parameters)
        self.layers, self.vocab = self._probe()
        self.ends = _ends(model, tokenizer, self.vocab)
        """Tokens that end a reply."""
        self.alone = not self.layers
        """Whether it keeps more than keys and values, so that rows cannot share a batch."""
        if not self.ends:
            raise MootError(f"{name}: no end token; set eos_token_id in its generation_config.json")
        if len(tokenizer) > self.vocab:
            raise MootError(
                f"{name}: the tokenizer has {len(tokenizer)} tokens, the model {self.vocab}; "
                "use the tokenizer that the model was trained with"
            )
        self.form = ChatForm.of(tokenizer, name)
        self.grammars = Grammars(tokenizer, self.vocab, self.ends)
        self.close: list[int] = self.grammars.tokens.greedy_tokenize('"}')
        """What ends the words of a reply, and the reply."""

    def next_logits(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        """Logits (B, V) after the last of `ids` (B, T), whose keys and values go into `cache`.

        `mask` (B, slots) tells the slots that hold tokens, `positions` (B, T) the tokens' own places.
        """
        given: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        more = {k: v for k, v in given.items() if k in self._takes}
        out = self.model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **more
        )
        return out.logits[:, -1]

    def slab(self, rows: int, slots: int) -> Slab:
        """Room for keys and values; `rows` is 1 where the model is asked `alone`."""
        whole = DynamicCache(config=self.model.config) if self.alone else None
        return Slab(self.layers, rows, slots, whole)

    @torch.inference_mode()
    def _probe(self) -> tuple[list[LayerShape], int]:
        """Shapes of the keys and values, none where layers keep something else, and the width of the
        logits: from one token's forward."""
        one = torch.ones((1, 1), dtype=torch.long, device=self.device)
        failures = (ValueError, TypeError, AttributeError, IndexError)
        try:
            cache = DynamicCache()
            logits = self.next_logits(one, one, one - 1, cache)
            return shapes(cache), logits.shape[-1]
        except failures:
            pass
        try:
            if "past_key_values" not in self._takes:
                raise ValueError("it takes no past_key_values")
            cache = DynamicCache(config=self.model.config)
            return [], self.next_logits(one, one, one - 1, cache).shape[-1]
        except failures as e:
            raise MootError(f"{self.name}: cannot be decoded token by token ({e})") from e


def load(
    spec: str | Path,
    *,
    dtype: str | None = None,
    device: str | None = None,
    device_map: str | None = None,
    attention: str | None = None,
    load_in_4bit: bool = False,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> Loaded:
    """The model at a folder or hub id; the same object for the same arguments while anyone holds it.

    `device` is by default cuda, else mps, else cpu; `dtype` float32 on a CPU, else bfloat16;
    `device_map` ("auto", ...) spreads a model over devices with accelerate; `attention` is the
    `attn_implementation` of transformers; 4-bit loading (NF4, Dettmers et al. 2023, arXiv 2305.14314)
    needs bitsandbytes. Raises `MootError` for anything that cannot be loaded.
    """
    name = str(spec)
    folder = folder_of(name)
    if folder is not None:
        name = str(folder)
        check_folder(folder)
    place = _place(device)
    kind = _dtype(dtype, place)
    key = (
        name, kind, str(place), device_map, attention, load_in_4bit, trust_remote_code, revision,
    )  # fmt: skip
    found = _LOADED.get(key)
    if found is not None:
        return found
    arguments: dict[str, Any] = {"dtype": kind, "use_safetensors": True}
    if attention is not None:
        arguments["attn_implementation"] = attention
    if load_in_4bit:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise MootError(f"{name}: 4-bit loading needs bitsandbytes; pip install bitsandbytes")
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=kind
        )
        device_map = device_map or str(place)
    if device_map is not None:
        arguments["device_map"] = device_map
    where: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    if folder is None and offline():
        where["local_files_only"] = True
    with _quiet() if folder else nullcontext():
        model, tokenizer = _read(name, folder, where, arguments)
    if device_map is None:
        model.to(place)
    model.eval().requires_grad_(False)
    made = Loaded(Path(name).name if folder else name, model, tokenizer)
    _LOADED[key] = made
    return made


_LOADED: WeakValueDictionary[tuple[object, ...], Loaded] = WeakValueDictionary()


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars: a local folder loads in a moment. Downloads keep theirs."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read(
    name: str, folder: Path | None, where: dict[str, Any], arguments: dict[str, Any]
) -> tuple[Any, Any]:
    """Configuration first, so that an id nobody knows fails before anything large is fetched."""
    try:
        config = _from(AutoConfig, name, **where)
        tokenizer = _from(AutoTokenizer, name, **where)
    except Exception as e:  # the hub, JSON and tokenizers each raise their own kinds
        raise MootError(unread(name, folder, e)) from e
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or not len(tokenizer):
        raise MootError(
            f"{name}: no fast tokenizer; save one beside the model (tokenizer.json) with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
        )
    try:
        model = _from(AutoModelForCausalLM, name, config=config, **where, **arguments)
    except torch.OutOfMemoryError as e:
        raise MootError(
            f"{name}: does not fit into memory; load a smaller model, or use device_map=auto or "
            "load_in_4bit=true",
            usage=False,
        ) from e
    except Exception as e:  # likewise: a bad file must not look like our bug
        raise MootError(unread(name, folder, e)) from e
    return model, tokenizer


def _from(auto: Any, name: str, **arguments: Any) -> Any:
    """The `from_pretrained` of a transformers class, whose types are unknown."""
    return auto.from_pretrained(name, **arguments)


def _place(device: str | None) -> torch.device:
    if device is None:
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as e:
        why = str(e).splitlines()[0]
        raise MootError(
            f"device {device!r} is not here ({why}); known: cuda, cuda:N, mps, cpu"
        ) from e
    return place


def _dtype(dtype: str | None, place: torch.device) -> torch.dtype:
    if dtype is None:
        return torch.float32 if place.type == "cpu" else torch.bfloat16
    if dtype not in DTYPES:
        raise MootError(f"unknown dtype {dtype!r}; {did_you_mean(dtype, DTYPES)}")
    return DTYPES[dtype]


def _ends(model: Any, tokenizer: Any, vocab: int) -> tuple[int, ...]:
    """The generation config's end tokens (a chat model's end of turn is among them), then the
    tokenizer's."""
    found: list[int] = []
    declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    for ids in (declared, tokenizer.eos_token_id):
        if isinstance(ids, int):
            found.append(ids)
        elif isinstance(ids, Sequence):
            found.extend(cast("Sequence[int]", ids))
    return tuple(i for i in dict.fromkeys(found) if 0 <= i < vocab)
