"""The nano model's tokenizer: byte-level BPE whose tokens may be whole phrases of the protocol.

Every prompt repeats the same rules, and every reply the same JSON skeleton. Let a rule, or everything
up to the first free choice of a reply, be one piece for BPE, and frequent pieces become one token: a
dialogue shrinks to about a third, so a small model on a laptop sees three times as many of them.
Digits always stand alone (a count is read digit by digit, never as an opaque number), and all 256
bytes are in the vocabulary, so that any text encodes and decodes unchanged.

Left out: Unicode normalisation, since a model must be able to repeat what it read byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ...agents.prompt import ChatTurn

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"

PIECES = "|".join(
    (
        r"\p{N}",  # a digit, alone
        r'- "[a-z-]+":[^\n\p{N}]*\n?',  # a rule of the protocol, to its end
        r"(?:Reply with one|At most) [^\n\p{N}]*\n?",  # the rules' opening lines
        r" messages are said in all\.\n?",
        r"\.? Without a deal you get ",
        r"(?!You are )[A-Z][\p{L} ',/()-]{24,}[.:;]? ?",  # a longer sentence without numbers
        r"[A-Z][\p{L}' ]*:[ ]?",  # a heading: `Points per item for you: `
        r' ?\{"act":"[a-z-]+"(?:,"content":\{"[a-z]+":[{\[]?"?)?',  # a reply, to its first choice
        r'(?:",|,)"to":"|"?,"content":\{"[a-z]+":[{\[]?"?|\},"most":',
        r'[}\],"]*,"text":"',  # from the last choice to the words
        r"[,.:;]? (?=\p{N})",  # marks before a number
        r" ?\p{L}+",  # a word
        r"'(?:s|t|re|ve|m|ll|d)\b",
        r" ?[^\s\p{L}\p{N}]+\n?",  # marks
        r"\s+",
    )
)
"""Where text is cut before BPE, first match first; tokens never reach over a cut."""

TEMPLATE = (
    "{% for turn in messages %}"
    "{{ '<|' + turn['role'] + '|>' }}"
    "{% if turn['role'] == 'assistant' %}"
    "{% generation %}{{ turn['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ turn['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""ChatML in five special tokens: `<|role|>`, the words, `<|end|>`."""


def train_tokenizer(
    texts: Iterable[str], vocabulary: int, *, context: int = 1024
) -> PreTrainedTokenizerFast:
    """A tokenizer of `vocabulary` tokens (5 special ones and 256 bytes among them) for these texts.

    Deterministic in its texts. `context` is the longest input that it reports, in tokens.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def render(chat: Iterable[ChatTurn]) -> str:
    """A whole chat as `TEMPLATE` writes it, without a generation prompt."""
    return "".join(f"<|{turn['role']}|>{turn['content']}{END}" for turn in chat)
