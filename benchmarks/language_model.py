"""Messages per second of the language-model agent: 64 episodes at once against one message at a time.

Both sides are the same pool on the same weights in one process, in turns, so that whatever else the machine
does hits both; medians over rounds. The third line is one message at a time without the keys and
values kept from earlier turns: what a plain loop over `generate` would have to compute.

    python benchmarks/language_model.py [--model FOLDER] [--threads 2] [--rounds 5] [--profile]

Without a model folder it takes models/nano, or, while there is none, a random Llama of that size.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from moot.agents.language import LanguagePool, language_pool
from moot.agents.load import Loaded
from moot.agents.prompt import chat
from moot.environments import WORLDS, Environment, play
from moot.protocols import Act, Reply

NANO = Path(__file__).parents[1] / "models" / "nano"
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
GOAL = 8.0


def tables(count: int, first: int, max_text: int) -> Iterator[Environment]:
    generator: Any = WORLDS["item_division"].Generator()
    for i in range(first, first + count):
        scenario = generator.draw(random.Random(i))
        yield Environment(scenario.model_copy(update={"max_text": max_text}), seed=1, episode=i)


def random_llama(folder: Path) -> Path:
    """4.4 M parameters and a tokenizer of 2,048 tokens trained on chats of random legal offers."""
    chats: list[str] = []
    for table in tables(300, 0, 160):
        rng = random.Random(table.episode_id)
        for _ in range(4):
            view = table.observe()
            offer = rng.choice(view.space.offers)  # type: ignore[union-attr]
            table.step(
                Reply(act=Act.PROPOSE, content=offer, text="I would like the books, and you?")
            )
        chats += [turn["content"] for turn in chat(table.observe())]
    bpe: Any = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        chats,
        trainers.BpeTrainer(
            vocab_size=2048, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    words = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>")
    words.chat_template = TEMPLATE
    words.save_pretrained(folder)
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "vocab_size": 2048, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 5,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
        "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": 0,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**size)).save_pretrained(folder)
    return folder


class Side:
    """One way of asking; remembers messages per second of every round."""

    def __init__(
        self, name: str, pool: LanguagePool, episodes: int, concurrent: int, max_text: int
    ) -> None:
        self.name, self.pool, self.episodes, self.max_text = name, pool, episodes, max_text
        self.concurrent = concurrent
        self.rates: list[float] = []
        self.said = self.tokens = self.read = 0
        self.seconds = 0.0

    def round(self, number: int) -> None:
        start, said = time.perf_counter(), 0
        games = tables(self.episodes, number * self.episodes, self.max_text)
        for episode in play(games, {"*": self.pool}, concurrent=self.concurrent):
            for turn in episode.turns:
                assert turn.message is not None
                assert turn.reply is not None
                self.tokens += turn.reply.completion_tokens or 0
                self.read += turn.reply.prompt_tokens or 0
            said += len(episode.turns)
        seconds = time.perf_counter() - start
        self.said += said
        self.seconds += seconds
        self.rates.append(said / seconds)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def floor_of(loaded: Loaded, rows: int, context: float, seconds: float) -> None:
    """Operations and bytes of one decoding step of a full batch with `context` tokens a row, beside the
    `seconds` that were measured."""
    weights = sum(p.numel() for p in loaded.model.parameters())
    size = next(loaded.model.parameters()).element_size()
    per_token = sum((s.keys + s.values) * s.heads * s.dtype.itemsize for s in loaded.layers)
    # One multiply and one add per weight and row; the same for each cached key and value and query head.
    heads = loaded.model.config.num_attention_heads / loaded.layers[0].heads
    operations = 2 * rows * (weights + context * per_token / size * heads)
    moved = weights * size + rows * context * per_token
    device, dtype = loaded.device, loaded.layers[0].dtype
    a = torch.randn(1024, 1024, device=device, dtype=dtype)
    big = torch.randn(32 << 20, device=device)

    def best(work: Any) -> float:
        times: list[float] = []
        for _ in range(7):
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return min(times)

    flops = 2 * 1024**3 / best(lambda: a @ a)
    bandwidth = big.numel() * 4 / best(big.sum)
    least = max(operations / flops, moved / bandwidth)
    print(
        f"  floor of a step of {rows} rows: {operations / 1e9:.2f} Gop at {flops / 1e9:.0f} Gop/s = "
        f"{operations / flops * 1e3:.1f} ms; {moved / 1e6:.0f} MB at {bandwidth / 1e9:.1f} GB/s = "
        f"{moved / bandwidth * 1e3:.1f} ms\n"
        f"  measured: {seconds * 1e3:.1f} ms per {rows} tokens, prompts and all: "
        f"{100 * least / seconds:.0f} % of the floor's speed"
    )


def floor(side: Side) -> None:
    """The floor of a step, and what the side took."""
    rows, context = side.pool.options.rows, side.read / side.said + side.tokens / side.said / 2
    steps = side.tokens / side.said
    floor_of(side.pool.loaded, rows, context, side.seconds / side.said / steps * rows)
    print(f"  {steps:.1f} tokens per message, {side.read / side.said:.0f} in its prompt")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--max-text", type=int, default=160)
    parser.add_argument(
        "--profile", action="store_true", help="where the time of one batch round goes"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        nano = (NANO / "model.safetensors").is_file()
        model = given.model or str(NANO if nano else random_llama(Path(scratch)))
        together = language_pool(model, {"temperature": 1, "rows": given.episodes})
        alone = language_pool(model, {"temperature": 1, "rows": 1})
        plain = language_pool(model, {"temperature": 1, "rows": 1, "reuse": 0})
    many = given.episodes
    sides = [
        Side(f"{many} episodes at once", together, 5 * many, many, given.max_text),
        Side("one message at a time", alone, 4, 1, given.max_text),
        Side("one at a time, nothing kept", plain, 4, 1, given.max_text),
    ]
    if given.profile:
        sides[0].round(0)
        profile = cProfile.Profile()
        profile.runcall(sides[0].round, 1)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    for side in sides:
        side.round(1000)  # warm
        side.rates.clear()
    for number in range(given.rounds):
        for side in sides:
            side.round(number)
    for side in sides:
        spread = f"{min(side.rates):.1f} to {max(side.rates):.1f}"
        print(f"{side.name:28} {side.rate:8.1f} messages/s  ({spread})")
    floor(sides[0])
    ratio = sides[0].rate / sides[1].rate
    print(
        f"ratio {ratio:.1f} (goal {GOAL:.0f}); against nothing kept {sides[0].rate / sides[2].rate:.1f}"
    )


if __name__ == "__main__":
    main()
