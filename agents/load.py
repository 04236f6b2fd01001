"""A causal language model and its tokenizer, from a local folder or a hub id.

Safetensors only, never pickle; nobody else's code unless asked. What cannot be loaded is a `MootError`
that names the folder and the remedy. Seats that ask for the same model with the same options share one.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from threading import Lock
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
from transformers.cache_utils import DynamicCache
from transformers.utils import logging as bars

from ..protocols import MootError, did_you_mean
from .attend import Feed, through
from .cache import LayerShape, Slab, shapes
from .masks import Grammars
from .render import ChatForm
from .source import check_folder, folder_of, offline, unread

DTYPES = {
    "float32": torch.float32, "fp32": torch.float32,
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16,
}  # fmt: skip


LENGTHS = ("max_position_embeddings", "max_seq_len")
"""What configurations call the most tokens of a text."""
FAILURES = (ValueError, TypeError, AttributeError, LookupError, RuntimeError, AssertionError)
"""What models raise that are given what they do not know."""


class Loaded:
    """A model ready to be asked: eval mode, no gradients, its chat form and its grammars."""

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.lock = Lock()
        """Held by whoever sends something through the model, where threads may."""
        self.device: torch.device = model.get_input_embeddings().weight.device
        config = model.config.get_text_config()
        self.context: int | None = next(
            (getattr(config, name) for name in LENGTHS if getattr(config, name, None)), None
        )
        """Most tokens of prompt and reply together; None where the model sets no limit."""
        self._config: Any = config
        self._takes = set(inspect.signature(model.forward).parameters)
        self.layers, self.vocab, self.why_alone = self._probe()
        """Shapes of the keys and values; width of the logits; and why rows cannot share a batch, if so."""
        self.ends = _ends(model, tokenizer, self.vocab)
        """Tokens that end a reply."""
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

    @property
    def alone(self) -> bool:
        """Whether it is asked through `model.generate`, one reply at a time."""
        return self.why_alone is not None

    def next_logits(self, ids: Tensor, feed: Feed, slab: Slab) -> Tensor:
        """Logits (B, V) after the last of `ids` (B, T), whose keys and values go where `feed` says."""
        given: dict[str, Any] = {"position_ids": feed.positions, "logits_to_keep": 1}
        more = {k: v for k, v in given.items() if k in self._takes}
        # A mask that is ready is passed on untouched, and `attend` has its own.
        ready = torch.ones((1, 1, 1, 1), dtype=torch.bool, device=ids.device)
        with through(self._config, feed):
            out = self.model(
                input_ids=ids, attention_mask=ready, past_key_values=slab.cache(feed),
                use_cache=True, **more,
            )  # fmt: skip
        return out.logits[:, -1]

    @torch.inference_mode()
    def _probe(self) -> tuple[list[LayerShape], int, str | None]:
        """Six tokens through the model as it is, and again by way of `attend`, in pieces."""
        ids = torch.arange(6, device=self.device)[None]
        try:
            plain: Tensor = self.model(input_ids=ids, use_cache=False).logits[0, -1]
        except FAILURES as e:
            raise MootError(f"{self.name}: cannot be asked ({e})") from e
        vocab = plain.shape[-1]
        kinds = set[str](getattr(self._config, "layer_types", None) or ())
        try:
            if kinds - {"full_attention", "sliding_attention"}:
                raise ValueError(f"layers of type {', '.join(sorted(kinds))}")
            cache = DynamicCache()
            self.model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
            layers = shapes(cache)
            slab = Slab(layers, 1, 6)
            self.next_logits(ids[:, :3], Feed.block([0], [3], 3, self.device), slab)
            feed = Feed.steps([3], [3], self.device)
            found = self.next_logits(ids[0, [5, 3, 4], None], feed, slab)[0]
        except torch.OutOfMemoryError:
            raise
        except FAILURES as e:
            return [], vocab, _first_line(e)
        if len(feed.windows) != len(layers):
            return [], vocab, "it has an attention of its own"
        if "sliding_attention" in kinds and not any(feed.windows):
            return [], vocab, "its sliding windows are its own"
        near = 0.01 if plain.dtype == torch.float32 else 0.3
        if not (found - plain).abs().max() <= near * plain.float().std() + 1e-6:
            return [], vocab, "its layers want more than keys, values and places"
        return layers, vocab, None


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
    copy: int = 0,
) -> Loaded:
    """The model at a folder or hub id; the same object for the same arguments while anyone holds it.

    `device` is by default cuda, else mps, else cpu; `dtype` float32 on a CPU, else bfloat16;
    `copy` numbers those on one device;
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
        name, kind, str(place), device_map, attention, load_in_4bit, trust_remote_code, revision, copy,
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
    if made.alone:
        logger.warning(
            "%s: its replies are generated one at a time (%s)", made.name, made.why_alone
        )
    _LOADED[key] = made
    return made


_LOADED: WeakValueDictionary[tuple[object, ...], Loaded] = WeakValueDictionary()


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars: a local folder loads in a moment. Downloads keep theirs."""
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _read(
    name: str, folder: Path | None, where: dict[str, Any], arguments: dict[str, Any]
) -> tuple[Any, Any]:
    """Configuration first, so that an id nobody knows fails before anything large is fetched."""
    try:
        config = _from(AutoConfig, name, **where)
        tokenizer = _from(AutoTokenizer, name, **where)
    except Exception as e:  # the hub, JSON and tokenizers each raise their own kinds
        raise MootError(unread(name, folder, e)) from e
    if getattr(config, "is_encoder_decoder", False):
        raise MootError(
            f"{name}: an encoder-decoder model; agents are causal language models, such as Qwen/Qwen3-0.6B"
        )
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


def places(named: Sequence[str]) -> list[str]:
    """The devices of a model's copies; `auto` is every GPU that accelerate finds, else a CPU."""
    if "auto" not in named:
        return list(named)
    if len(named) > 1:
        raise MootError(f"devices={','.join(named)}: auto is all of them; give it alone")
    get_max_memory: Any = import_module("accelerate.utils").get_max_memory
    found = [i for i in get_max_memory() if isinstance(i, int)]
    return [str(torch.device(i)) for i in found] or [str(_place(None))]


def _first_line(e: Exception) -> str:
    return str(e).splitlines()[0] if str(e) else type(e).__name__


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


logger = logging.getLogger(__name__)
