"""From chat turns to prompt tokens: the tokenizer's own template, or plain text for models without one.

What agents say must not be able to end a turn or open another: the spelling of a special token inside a
content is broken by a space ("<|im_end|>" becomes "< |im_end|>") before it is put into the template. The
date that some templates print is fixed, since a reply may depend on nothing but its key.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..protocols import MootError
from .prompt import ChatTurn

OPEN, CLOSE = "<think>", "</think>"
TODAY = datetime.date(2026, 1, 1)
NOW = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
LABELS = {"system": "System", "user": "User", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class ChatForm:
    """How one tokenizer writes a chat. Made by `ChatForm.of`."""

    tokenizer: Any
    style: Literal["template", "merged", "plain"]
    """`template`: as its chat template has it. `merged`: the template knows no system turn (Gemma), whose
    text then opens the first user turn. `plain`: it has no template; each turn is its label and a
    colon on one line, its text below, and an empty line:

        System:
        ...

        User:
        ...

        Assistant:
    """
    special: re.Pattern[str]
    """Spellings that must not stand in a content."""
    template: str | None
    """Its chat template, with today's date replaced."""

    @classmethod
    def of(cls, tokenizer: Any, name: str = "the model") -> ChatForm:
        """The form of this tokenizer, found by trying. Raises `MootError` if its template refuses."""
        special = _special(tokenizer)
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()
        if not tokenizer.chat_template:
            return cls(tokenizer, "plain", special, None)
        try:
            template = NOW.sub(lambda m: repr(TODAY.strftime(m[2])), tokenizer.get_chat_template())
        except ValueError as e:  # several named templates, none of them the default
            raise MootError(f"{name}: {str(e).splitlines()[0]}") from e
        trial: list[ChatTurn] = [
            {"role": "system", "content": "seen-rules"},
            {"role": "user", "content": "seen-a"},
            {"role": "assistant", "content": "seen-b"},
            {"role": "user", "content": "seen-c"},
        ]
        why = ""
        for style in ("template", "merged"):
            form = cls(tokenizer, style, special, template)
            try:
                text = form.text(trial)
            except Exception as e:  # templates raise whatever their authors chose
                why = str(e).splitlines()[0] if str(e) else type(e).__name__
                continue
            if all(turn["content"] in text for turn in trial):
                return form
            why = "it leaves turns out"
        raise MootError(
            f"{name}: its chat template does not write a chat of user and assistant turns ({why}); "
            "remove chat_template from the tokenizer's folder to use plain labels"
        )

    def text(self, turns: Sequence[ChatTurn], think: bool = False) -> str:
        """The prompt, up to where the reply starts; with `think`, to where the thought starts."""
        safe: list[dict[str, str]] = [
            {"role": t["role"], "content": self.harmless(t["content"])} for t in turns
        ]
        if self.style == "merged" and safe[0]["role"] == "system":
            system, user, *rest = safe
            merged = f"{system['content']}\n\n{user['content']}"
            safe = [{"role": "user", "content": merged}, *rest]
        if self.style == "plain":
            text = "".join(f"{LABELS[t['role']]}:\n{t['content']}\n\n" for t in safe)
            text += f"{LABELS['assistant']}:\n"
        else:
            text = str(
                self.tokenizer.apply_chat_template(
                    safe,
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=think,
                    date_string=TODAY.strftime("%d %b %Y"),
                )
            )
        opened = text.rstrip().endswith(OPEN)
        if think and not opened:
            return f"{text}{OPEN}\n"
        if opened and not think:
            return f"{text.rstrip()}\n\n{CLOSE}\n\n"
        return text

    def ids(self, turns: Sequence[ChatTurn], think: bool = False) -> list[int]:
        """`text` as tokens."""
        return self.encode([self.text(turns, think)])[0]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Prompts as tokens. A template writes its own first token; plain text gets the tokenizer's."""
        backend, plain = self.tokenizer.backend_tokenizer, self.style == "plain"
        return [e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=plain)]

    def spelled(self, ids: Sequence[int]) -> str:
        """Tokens as text, special ones spelled out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def thought_end(self, cut: bool) -> list[int]:
        """What stands between thought and reply; with `cut`, the closing mark is still to be written."""
        text = f"\n{CLOSE}\n\n" if cut else "\n\n"
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def harmless(self, content: str) -> str:
        """The content with every special token's spelling broken, and half characters (lone surrogates,
        which JSON can spell) replaced; other content is left as it is."""
        content = content.encode(errors="replace").decode()
        while self.special.search(content):
            content = self.special.sub(lambda m: f"{m[0][0]} {m[0][1:]}", content)
        return content


def _special(tokenizer: Any) -> re.Pattern[str]:
    added = [str(t) for t in getattr(tokenizer, "added_tokens_decoder", {}).values()]
    spellings = {s.strip() for s in (*added, *tokenizer.all_special_tokens, OPEN, CLOSE)}
    longest_first = sorted((s for s in spellings if len(s) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))
