"""Tiny random-weight models of several architectures, saved as folders and loaded by the ordinary path.

Their tokenizer is a byte-level BPE of some 500 tokens, trained here on a few sentences; the weights are
scaled up so that the next token is far from uniform and caches, masks and positions matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MptConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)  # fmt: skip

ARCHITECTURES = ("llama", "qwen3", "gemma3", "gpt2", "mistral")
OTHERS = ("mamba", "bloom", "gptj", "falcon", "mpt")
"""Those whose attention is their own, or that have none; `generate` writes their replies."""
WINDOW = 24
"""Sliding window of the tiny Gemma 3 and Mistral, shorter than any prompt."""
SENTENCES = (
    'Reply with one JSON object: {"act", "content" if shown, "text": your words}.',
    "At most 10 messages are said in all. Points per item for you: book 2, hat 1, ball 0.",
    '- "propose": content {"take": {item: count}}, what you get, the other gets the rest; make an',
    ' offer. - "accept-proposal": accept the other\'s last offer: the deal is closed.',
    '- "reject-proposal": turn the other\'s offer down. - "cancel": leave without a deal.',
    '- "query-ref": ask what the other values. - "inform": only talk; say what you value.',
    '- "cfp": call for proposals. - "refuse": make no bid. - "failure": report that you failed.',
    '{"act":"propose","content":{"take":{"book":1,"hat":0,"ball":3}},"text":"I take the books."}',
    '{"act":"accept-proposal","to":"bidder","text":"That is fair, we have a deal."}',
    '{"act":"inform","content":{"values":{"book":10,"hat":0,"ball":2}},"text":"Books are dear to me."}',
    '{"act":"reject-proposal","to":"manager","text":"No, I need the balls."} {"price":110} {"limit":90}',
    '{"prices":{"task":12},"most":2} {"tasks":["task"]} report your tasks as done to the manager',
    "Divide these items between the two of you: 2 book, 3 hat, 1 ball. (9 left)",
    "You are ann, with bob. Without a deal you get 0 points. Seller, buyer, price, tasks, capacity.",
    "Voilà, ein Preis für 你好 und 😀.",
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN3 = CHATML.replace(
    "<|im_start|>assistant\n' }}{% endif %}",
    "<|im_start|>assistant\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}",
)
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != "
    "(loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' "
    "+ m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
TEMPLATES = {"qwen3": QWEN3, "gemma3": GEMMA, "gpt2": None}
"""Architecture -> chat template; ChatML for those not named."""
SPECIAL = [
    "<|endoftext|>",
    "<bos>",
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<end_of_turn>",
]


def tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    """The tokenizer of every tiny model, with this chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    bpe.decoder = decoders.ByteLevel()  # pyright: ignore
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        SENTENCES * 2,
        trainers.BpeTrainer(
            vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<bos>",
        eos_token="<|endoftext|>" if template in (None, GEMMA) else "<|im_end|>",
    )  # fmt: skip
    made.chat_template = template
    return made


def model(architecture: str, vocab: int, context: int = 2048, **more: Any) -> Any:
    """A seeded random model; the global generator is left as it was."""
    size: dict[str, Any] = {
        "vocab_size": vocab, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": context, "bos_token_id": 1, "eos_token_id": 0,
    }  # fmt: skip
    grouped = {**size, "num_key_value_heads": 1, "intermediate_size": 64, "head_dim": 16}
    config: Any = {
        "llama": lambda: LlamaConfig(**grouped, **more),
        "qwen3": lambda: Qwen3Config(**grouped, **more),
        "mistral": lambda: MistralConfig(**grouped, sliding_window=WINDOW, **more),
        "gemma3": lambda: Gemma3TextConfig(
            **grouped, sliding_window=WINDOW, query_pre_attn_scalar=16,
            layer_types=["sliding_attention", "full_attention"], **more,
        ),
        "gpt2": lambda: GPT2Config(**size, **more),
        "bloom": lambda: BloomConfig(vocab_size=vocab, hidden_size=32, n_layer=2, n_head=2, **more),
        "gptj": lambda: GPTJConfig(**size, rotary_dim=8, **more),
        "falcon": lambda: FalconConfig(**size, **more),
        "mpt": lambda: MptConfig(
            vocab_size=vocab, d_model=32, n_layers=2, n_heads=2, max_seq_len=context, **more
        ),
        "mamba": lambda: MambaConfig(
            vocab_size=vocab, hidden_size=32, num_hidden_layers=2, state_size=4, **more
        ),
        "lfm2": lambda: Lfm2Config(**grouped, layer_types=["conv", "full_attention"], **more),
    }[architecture]()  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(17)
        made: Any = AutoModelForCausalLM.from_config(config)
        for name, weight in made.named_parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.5 if "embed" in name or "wte" in name else 0.25)
    return made


def save(folder: Path, architecture: str = "llama", **more: Any) -> Path:
    """A folder as `save_pretrained` writes it; the logits are wider than the tokenizer."""
    words = tokenizer(TEMPLATES.get(architecture, CHATML))
    made = model(architecture, len(words) + 9, **more)
    made.generation_config.eos_token_id = (
        [words.eos_token_id, words.convert_tokens_to_ids("<end_of_turn>")]
        if architecture == "gemma3"
        else words.eos_token_id
    )
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
