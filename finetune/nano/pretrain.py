"""The nano model, from nothing: one seeded recipe from scripted play to a folder that transformers opens.

    block of games -> lessons (one per side) -> token ids and weights -> batches of like length -> step

One training sequence is an episode as one side saw it, rendered by the chat template exactly as it will
be asked later; only its own messages are learned. What is decided (act and content) weighs more than
the words around it, which could always have been others, and the first blocks of games are a drill
without words: more decisions in the same time. Matrices are trained by Muon, the rest by AdamW. The
learning rates warm up, stay, and fall to zero at the end (WSD, Hu et al. 2024, arXiv 2404.06395), so a
run can be resumed for more `steps`. A run that was interrupted and resumed gives the same weights, bit
for bit on a CPU.

Left out: dropout and epochs (no game is seen twice), a validation set (play is the measure, see
benchmarks/nano.py), several devices.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ...protocols import MootError
from .checkpoint import export, latest, reopened, restore, save, where
from .dialogues import Lesson, lessons
from .muon import Muon
from .tokenizer import ASSISTANT, END, render, train_tokenizer

WORDS = '"text":"'
"""In a reply, what stands before this is decided, what follows are words."""


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0)]


class Recipe(BaseModel):
    """Everything that the weights depend on, apart from the scripted agents and the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int = 1
    """Of games, initial weights and the order of batches."""
    steps: Count = 4200
    """Updates; one batch each."""
    batch: Annotated[int, Field(ge=256)] = 4096
    """Tokens in a batch, padding included."""
    worlds: dict[str, Share] = {
        "item_division": 0.44,
        "price_bargaining": 0.1,
        "task_allocation": 0.12,
        "multi_issue": 0.07,
        "mutual_friends": 0.09,
        "support_desk": 0.02,
        "lesson": 0.02,
        "auction_house": 0.03,
        "commons": 0.02,
        "matrix_game": 0.02,
        "hidden_role": 0.02,
        "crossing": 0.02,
        "rescue": 0.03,
    }
    """World -> share of the games; some worlds talk ten times as much in a game as others."""
    games: Count = 1000
    """Games in a block; a block is sorted by length."""
    drill: Annotated[int, Field(ge=0)] = 24
    """First blocks, which are item division without words: decisions are learned before talk."""
    words: Share = 0.15
    """Weight of a token of free words; most own tokens weigh 1."""
    digits: Share = 4.0
    """Weight of a digit in a content."""
    vocabulary: Annotated[int, Field(ge=261)] = 4096
    """Tokens, 261 of them bytes and marks."""
    width: Count = 192
    """Hidden size."""
    layers: Count = 4
    """Transformer layers."""
    heads: Count = 6
    """Attention heads; each is width / heads wide."""
    inner: Count = 384
    """Width of the feed-forward layers."""
    context: Annotated[int, Field(ge=64)] = 2048
    """Longest sequence, tokens; longer lessons are left out."""
    lr: Annotated[float, Field(gt=0)] = 0.014
    """Highest learning rate of matrices (Muon)."""
    lr_rest: Annotated[float, Field(gt=0)] = 0.002
    """Highest learning rate of embeddings and norms (AdamW)."""
    warmup: Annotated[int, Field(ge=0)] = 40
    """Steps of linear warm-up."""
    decay: Annotated[float, Field(ge=0, le=1)] = 0.17
    """Share of the steps, the last ones, in which the rates fall linearly to zero."""
    weight_decay: Share = 0.01
    """On matrices; times the learning rate."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    save: Count = 50
    """Steps from one checkpoint and export to the next."""

    def rate(self, step: int) -> float:
        """Learning rate of update `step`, counted from 0, as a share of the highest."""
        fall = self.steps * self.decay
        up = (step + 1) / self.warmup if self.warmup else 1.0
        down = (self.steps - step) / fall if fall else 1.0
        return min(1.0, up, down)


class Update(NamedTuple):
    """What one step reports."""

    step: int
    """Updates done, this one included."""
    steps: int
    loss: float
    """Weighted mean negative log-likelihood, nats per token learned."""
    digits: float
    """Share of the digits in contents that the model would have chosen, given all before."""
    tokens: int
    """Tokens read since the recipe began, padding not counted."""
    seconds: float
    """Since this call began."""
    saved: bool
    """Whether a checkpoint was written at this step, and the model exported."""


class Example(NamedTuple):
    """A lesson in tokens."""

    ids: list[int]
    weights: list[float]
    """0: not learned."""
    decided: list[bool]
    """Digits of own contents."""


def pretrain(
    out: Path, recipe: Recipe | None = None, *, device: str = "cpu", resume: bool = False
) -> Iterator[Update]:
    """Train, and yield after every step. `out` then opens with `from_pretrained`.

    `resume` goes on from the last checkpoint in `out`; its recipe may differ in `steps` and `save`
    alone. Raises `MootError` when `out` holds a run and `resume` is not set, or there is none to resume.
    """
    recipe = recipe or Recipe()
    began = time.monotonic()
    last = latest(out)
    if (last is not None) != resume:
        raise MootError(
            f"{out} has no checkpoint to resume; leave out --resume" if resume
            else f"{out} holds a training run; resume it with --resume or choose another folder"
        )  # fmt: skip
    state = {"step": 0, "block": 0, "batch": 0, "tokens": 0}
    if last is None:
        out.mkdir(parents=True, exist_ok=True)
        tokenizer = train_tokenizer(
            (turn["content"] for lesson in _block(recipe, recipe.drill) for turn in lesson.chat),
            recipe.vocabulary,
            context=recipe.context,
        )
    else:
        state = where(last, recipe.model_dump(), free=("steps", "save"))
        tokenizer = reopened(out)
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
        model: Any = LlamaForCausalLM(_config(recipe, tokenizer))
    model.to(device)
    model.train()
    optimizers = _optimizers(model, recipe)
    if last is not None:
        restore(last, model, optimizers)
    step, tokens = state["step"], state["tokens"]
    for block, batch, examples in _batches(recipe, tokenizer, state["block"], state["batch"]):
        if step >= recipe.steps:
            return
        loss, digits = _update(model, optimizers, examples, recipe, step)
        step += 1
        tokens += sum(len(e.ids) for e in examples)
        saved = step % recipe.save == 0 or step == recipe.steps
        if saved:
            state = {"step": step, "block": block, "batch": batch + 1, "tokens": tokens}
            try:
                export(model, tokenizer, recipe, out)
                save(out, model, optimizers, recipe.model_dump(), state)
            except (OSError, SafetensorError) as e:
                kept = "make room and resume with --resume"
                raise MootError(f"cannot write {out}: {e}; {kept}", usage=False) from None
        yield Update(step, recipe.steps, loss, digits, tokens, time.monotonic() - began, saved)


def example(
    tokenizer: PreTrainedTokenizerFast, lesson: Lesson, words: float = 1.0, digits: float = 1.0
) -> Example:
    """Ids of a lesson, and what to learn of it: own messages to their end mark.

    `words` is the weight of free words and of the end mark, `digits` that of digits in contents.
    """
    text = render(lesson.chat)
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    ids, offsets = encoding.ids, encoding.offsets
    start = cast(int, tokenizer.convert_tokens_to_ids(ASSISTANT))
    end = cast(int, tokenizer.convert_tokens_to_ids(END))
    weights, decided = [0.0] * len(ids), [False] * len(ids)
    own, words_at = False, 0
    for i, token in enumerate(ids):
        if own:
            low, high = offsets[i]
            decided[i] = low < words_at and high - low == 1 and text[low].isdigit()
            weights[i] = words if low >= words_at else digits if decided[i] else 1.0
            own = token != end
        elif token == start:
            own = True
            words_at = text.index(WORDS, offsets[i][1]) + len(WORDS)
    return Example(ids, weights, decided)


def _block(recipe: Recipe, block: int) -> list[Lesson]:
    drill = block < recipe.drill
    return lessons(recipe.seed, block, recipe.games, recipe.worlds, drill)


def _batches(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, block: int, skip: int
) -> Iterator[tuple[int, int, list[Example]]]:
    """(block, number in it, examples) without end, from batch `skip` of `block` on."""
    while True:
        found = [
            example(tokenizer, one, recipe.words, recipe.digits) for one in _block(recipe, block)
        ]
        found = [e for e in found if len(e.ids) <= recipe.context]
        random.Random(f"{recipe.seed}|{block}|order").shuffle(found)
        found.sort(key=lambda e: len(e.ids))
        batches: list[list[Example]] = [[]]
        for e in found:
            if batches[-1] and (len(batches[-1]) + 1) * len(e.ids) > recipe.batch:
                batches.append([])
            batches[-1].append(e)
        random.Random(f"{recipe.seed}|{block}|batches").shuffle(batches)
        for number, batch in enumerate(batches):
            if number >= skip and batch:
                yield block, number, batch
        block, skip = block + 1, 0


def _update(
    model: LlamaForCausalLM,
    optimizers: Sequence[torch.optim.Optimizer],
    examples: Sequence[Example],
    recipe: Recipe,
    step: int,
) -> tuple[float, float]:
    """Update number `step`; (loss, share of content digits right).

    Rows are padded on the right, where a causal model does not look; no mask is needed.
    """
    device = model.device
    longest = max(len(e.ids) for e in examples)
    ids_BT = torch.zeros(len(examples), longest, dtype=torch.long)
    weights_BT = torch.zeros(len(examples), longest)
    decided_BT = torch.zeros(len(examples), longest, dtype=torch.bool)
    for b, e in enumerate(examples):
        n = len(e.ids)
        ids_BT[b, :n] = torch.tensor(e.ids)
        weights_BT[b, :n] = torch.tensor(e.weights)
        decided_BT[b, :n] = torch.tensor(e.decided)
    learned_BT = weights_BT[:, 1:] > 0
    targets_N = ids_BT[:, 1:][learned_BT].to(device)
    weights_N = weights_BT[:, 1:][learned_BT].to(device)
    with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
        hidden_BTD = cast(
            Tensor, model.model(input_ids=ids_BT.to(device), use_cache=False).last_hidden_state
        )
        logits_NV = cast(Tensor, model.lm_head(hidden_BTD[:, :-1][learned_BT.to(device)])).float()
    nll_N = torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
    loss = (weights_N * nll_N).sum() / weights_N.sum()
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    digit_N = decided_BT[:, 1:][learned_BT].to(device)
    right = (logits_NV.argmax(-1) == targets_N)[digit_N].float().mean().item()
    return loss.item(), right


def _config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        intermediate_size=recipe.inner,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=cast(int, tokenizer.eos_token_id),
        pad_token_id=cast(int, tokenizer.pad_token_id),
    )


def _optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim < 2 or "embed" in n]
    found: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=recipe.lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.lr_rest, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimizer in found:
        for group in optimizer.param_groups:
            group["highest"] = group["lr"]
    return found
