"""The decoding engine against `generate`, tokens per second on the same work, all sides in one run.

    python benchmarks/decoding.py [--threads 2] [--rounds 3] [--dialogues 64] [--turns 8] [--tokens 32]

The work: dialogues that start from a prompt of random tokens; every turn says some tokens, greedily, and then
hears 16 more. A turn's prompt is all that came before it. Lengths of turns are equal, or geometric with
the same mean. Sides, in turn in every round, medians over rounds:

    one at a time      model.generate, a message at a time (on a few of the dialogues)
    lockstep           model.generate on the batch of one turn of all dialogues, padded
    generate_batch     transformers' own continuous batching; turns join as their dialogues go on
    engine             moot's batch; keys and values of earlier turns are kept
    engine, masked     the same under a grammar of a key and free words, token by token; replies
                       close a little before their length, and none is too short to close
    engine, adapters   LoRA of one agent for all rows, and of 16 agents mixed

Then messages per second of real play with and without fast-forward, and the floor of a step. The model is
a random Llama of 4.5 M parameters in fp32; `--cuda` instead measures a random Qwen2 of 0.5 B in bf16.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from language_model import floor_of, random_llama, tables
from transformers import ContinuousBatchingConfig, GenerationConfig, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging

from moot.agents.cache import Kept
from moot.agents.decode import Batch
from moot.agents.engine import JOIN
from moot.agents.language import language_pool
from moot.agents.load import Loaded, load
from moot.agents.row import CUT, Row
from moot.agents.sampling import Sampling
from moot.environments import play
from moot.finetune.bank import AdapterBank
from moot.finetune.methods.lora import LoRA

HEARD = 16
GREEDY = Sampling(temperature=0)
AGENTS = [f"agent{k}" for k in range(16)]
WORDS = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 4000}},
    "required": ["text"],
    "additionalProperties": False,
}


class Work:
    """What is said by whom: `lengths[d][t]` tokens in turn t of dialogue d."""

    def __init__(self, dialogues: int, turns: int, tokens: int, prompt: int, ragged: bool) -> None:
        rng = np.random.default_rng(7)
        self.openings = rng.integers(5, 1500, (dialogues, prompt)).tolist()
        self.heard = rng.integers(5, 1500, (dialogues, turns, HEARD)).tolist()
        drawn = rng.geometric(1 / tokens, (dialogues, turns)).clip(1, 8 * tokens)
        self.lengths = (drawn if ragged else np.full_like(drawn, tokens)).tolist()
        self.dialogues, self.turns = dialogues, turns

    def next(self, dialogue: int, turn: int, prompt: list[int], said: list[int]) -> list[int]:
        return prompt + said + self.heard[dialogue][turn]


def settings(tokens: int) -> Any:
    """So many tokens, greedily: the end token is none of the vocabulary."""
    return GenerationConfig(
        max_new_tokens=tokens, do_sample=False, eos_token_id=1 << 20, pad_token_id=0
    )


@torch.inference_mode()
def one_at_a_time(loaded: Loaded, work: Work, dialogues: int) -> int:
    said = 0
    for d in range(dialogues):
        prompt = work.openings[d]
        for t, length in enumerate(work.lengths[d]):
            ids = torch.tensor([prompt], device=loaded.device)
            out = loaded.model.generate(
                ids, attention_mask=torch.ones_like(ids), generation_config=settings(length)
            )
            prompt = work.next(d, t, prompt, out[0, len(prompt) :].tolist())
            said += length
    return said


@torch.inference_mode()
def lockstep(loaded: Loaded, work: Work) -> int:
    prompts = list(work.openings)
    for t in range(work.turns):
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=loaded.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        most = max(lengths[t] for lengths in work.lengths)
        out = loaded.model.generate(
            ids, attention_mask=mask.to(loaded.device), generation_config=settings(most)
        )
        for d, p in enumerate(prompts):
            said = out[d, longest : longest + work.lengths[d][t]].tolist()
            prompts[d] = work.next(d, t, p, said)
    return sum(map(sum, work.lengths))


def continuous(loaded: Loaded, work: Work) -> int:
    """transformers' continuous batching, asked for the next turn as soon as one is said."""
    prompts = list(work.openings)
    turn = [0] * work.dialogues
    longest = len(prompts[0]) + max(sum(n + HEARD for n in lengths) for lengths in work.lengths)
    # By default it takes most of the memory for its cache, and a CPU's time to zero it.
    config = ContinuousBatchingConfig(
        page_size=32, num_blocks=work.dialogues * (longest // 32 + 2), max_batch_tokens=1024
    )
    with loaded.model.continuous_batching_context_manager(
        generation_config=settings(8), continuous_batching_config=config
    ) as manager:

        def ask(d: int) -> None:
            manager.add_request(prompts[d], str(d), max_new_tokens=work.lengths[d][turn[d]])

        for d in range(work.dialogues):
            ask(d)
        left = work.dialogues * work.turns
        while left:
            found = manager.get_result(timeout=60)
            if found is None:
                raise RuntimeError("generate_batch gave no result for a minute")
            d = int(found.request_id)
            prompts[d] = work.next(d, turn[d], prompts[d], list(found.generated_tokens))
            turn[d] += 1
            left -= 1
            if turn[d] < work.turns:
                ask(d)
    return sum(map(sum, work.lengths))


class Engine:
    """One way of using our batch."""

    def __init__(
        self,
        loaded: Loaded,
        work: Work,
        *,
        masked: bool = False,
        bank: Any = None,
        mixed: bool = False,
    ) -> None:
        self.loaded, self.work, self.masked, self.bank = loaded, work, masked, bank
        self.mixed = mixed
        # Only a grammar ends a reply before its length.
        self.ends = loaded.ends if masked else (-1,)
        self.least = len('{"text":"') + len(loaded.close) + CUT + 2 if masked else 1
        """Tokens in which any reply can be closed: a token has a character or more."""
        self.steps: list[float] = []
        """Seconds of each step that had all rows and no prompt to compute."""
        self.said = 0
        """Tokens of the last run."""

    def row(self, d: int, t: int, prompt: list[int]) -> Row:
        matcher, _ = self.loaded.grammars.start(WORDS)
        owner = None if self.bank is None else AGENTS[d % 16 if self.mixed else 0]
        return Row(
            d * self.work.turns + t, d, prompt, matcher, max(self.work.lengths[d][t], self.least),
            rng=np.random.default_rng(0), sampling=GREEDY, owner=owner, free=not self.masked, jump=False,
        )  # fmt: skip

    def __call__(self) -> int:
        before, self.loaded.ends = self.loaded.ends, self.ends
        try:
            self.said = self.run()
        finally:
            self.loaded.ends = before
        return self.said

    def run(self) -> int:
        """Tokens said."""
        work = self.work
        batch = Batch(self.loaded, Kept(1 << 30), self.bank)
        waiting = [self.row(d, 0, p) for d, p in enumerate(work.openings)]
        said = 0
        while waiting or batch.rows:
            more = work.dialogues - len(batch.rows)
            if waiting and min(more, len(waiting)) >= JOIN * len(batch.rows):
                batch.join(waiting[:more])
                waiting = waiting[more:]
            whole = len(batch.live) == work.dialogues
            start = time.perf_counter()
            finished = batch.step()
            if whole and len(batch.live) == work.dialogues:
                self.steps.append(time.perf_counter() - start)
            for row in finished:
                if row.error is not None:
                    raise RuntimeError(row.error)
                said += len(row.token_ids)
                d, t = divmod(row.ticket, work.turns)
                if t + 1 < work.turns:
                    prompt = work.next(d, t, row.prompt, row.token_ids)
                    waiting.append(self.row(d, t + 1, prompt))
        return said


class Clock:
    """Sides by name, their rates of every round."""

    def __init__(self) -> None:
        self.rates: dict[str, list[float]] = {}

    def time(self, name: str, side: Callable[[], int]) -> None:
        start = time.perf_counter()
        done = side()
        self.rates.setdefault(name, []).append(done / (time.perf_counter() - start))

    def median(self, name: str) -> float:
        return statistics.median(self.rates[name])

    def table(self, unit: str, against: dict[str, str]) -> None:
        for name, rates in self.rates.items():
            spread = f"{min(rates):.1f} to {max(rates):.1f}"
            over = [f"{self.median(name) / self.median(o):.2f} x {o}" for n, o in against.items()
                    if n == name and o in self.rates]  # fmt: skip
            print(f"  {name:36} {self.median(name):9.1f} {unit}  ({spread})  {', '.join(over)}")


def decoding(loaded: Loaded, given: argparse.Namespace, ragged: bool) -> None:
    work = Work(given.dialogues, given.turns, given.tokens, given.prompt, ragged)
    bank = AdapterBank(loaded.model, LoRA(rank=8), AGENTS)
    engine = Engine(loaded, work)
    masked = Engine(loaded, work, masked=True)
    sides: dict[str, Callable[[], int]] = {
        "one at a time": lambda: one_at_a_time(loaded, work, given.alone),
        "lockstep": lambda: lockstep(loaded, work),
        "generate_batch": lambda: continuous(loaded, work),
        "engine": engine,
        "engine, masked": masked,
        "engine, one adapter": Engine(loaded, work, bank=bank),
        "engine, 16 adapters": Engine(loaded, work, bank=bank, mixed=True),
    }
    for name in given.without:
        sides.pop(name, None)
    clock = Clock()
    for _ in range(given.rounds):
        for name, side in sides.items():
            clock.time(name, side)
    bank.close()
    kind = f"geometric, mean {given.tokens}" if ragged else f"{given.tokens} each"
    print(
        f"{given.dialogues} dialogues x {given.turns} turns, tokens {kind}, prompt {given.prompt}"
    )
    clock.table("tokens/s", {})
    for goal, side, other in (
        (10, "engine", "one at a time"), (2.5 if ragged else 2, "engine", "lockstep"),
        (0.85, "engine, 16 adapters", "engine, one adapter"),
        (0, "engine", "generate_batch"),
    ):  # fmt: skip
        if side in clock.rates and other in clock.rates:
            ratio = clock.median(side) / clock.median(other)
            print(f"  {side} / {other}: {ratio:.2f}" + (f" (goal {goal})" if goal else ""))
    messages = work.dialogues * work.turns
    for name, side in (("engine", engine), ("engine, masked", masked)):
        if name in clock.rates:
            rate, each = clock.median(name), side.said / messages
            print(f"  {name}: {rate / each:.1f} messages/s of {each:.1f} tokens")
    if engine.steps and masked.steps:
        plain, under = (1e3 * statistics.median(e.steps) for e in (engine, masked))
        print(
            f"  a step of all rows: {plain:.1f} ms, masked {under:.1f} ms, "
            f"{100 * (under / plain - 1):.0f} % more (goal: at most 10 %)"
        )
    tokens = sum(map(sum, work.lengths)) / work.dialogues / work.turns
    context = given.prompt + (work.turns - 1) / 2 * (tokens + HEARD) + tokens / 2
    floor_of(loaded, given.dialogues, context, given.dialogues / clock.median("engine"))


def playing(model: str, given: argparse.Namespace) -> None:
    """Messages per second of item division, replies the same with fast-forward and without."""
    clock = Clock()
    pools = {
        name: language_pool(
            model, {"temperature": 1, "fast_forward": ahead, "rows": given.dialogues}
        )
        for name, ahead in (("fast-forward", True), ("token by token", False))
    }
    for number in range(given.rounds + 1):
        for name, pool in pools.items():

            def side(pool: Any = pool, number: int = number) -> int:
                games = tables(2 * given.dialogues, number * 2 * given.dialogues, 80)
                done = play(games, {"*": pool}, concurrent=given.dialogues)
                return sum(len(episode.turns) for episode in done)

            clock.time(name, side)
        if number == 0:
            clock.rates.clear()  # warm
    print("item division, messages under their grammar")
    clock.table("messages/s", {"fast-forward": "token by token"})


def widths(loaded: Loaded, given: argparse.Namespace) -> None:
    """Tokens per second and share of the memory's bandwidth at several widths."""
    for rows in (1, 16, 64, 256):
        work = Work(rows, 1, given.tokens, given.prompt, ragged=False)
        clock = Clock()
        for _ in range(given.rounds + 1):
            clock.time("engine", Engine(loaded, work))
        rate = statistics.median(clock.rates["engine"][1:])
        print(f"{rows:4} rows: {rate:.0f} tokens/s, prefill included")
        floor_of(loaded, rows, given.prompt + given.tokens / 2, rows / rate)


def random_qwen(folder: Path) -> Loaded:
    """0.5 B parameters in bf16, with the small tokenizer of the random Llama."""
    random_llama(folder)
    with torch.device("cuda"):
        config = Qwen2Config(
            hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
            num_key_value_heads=2, eos_token_id=0, tie_word_embeddings=True, dtype=torch.bfloat16,
        )  # fmt: skip
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return load(folder, device="cuda", dtype="bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, default in (("threads", 2), ("rounds", 3), ("dialogues", 64), ("turns", 8),
                          ("tokens", 32), ("prompt", 150), ("alone", 2)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], help="sides to leave out, by name")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    random.seed(0)
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        if given.cuda:
            loaded = random_qwen(Path(scratch))
            return widths(loaded, given)
        model = str(random_llama(Path(scratch)))
        playing(model, given)
        loaded = load(model, device="cpu", dtype="float32")
    for ragged in (False, True):
        decoding(loaded, given, ragged)
    return None


if __name__ == "__main__":
    main()
