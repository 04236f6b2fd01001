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

    @classmethod
    def of(cls, tokenizer: Any, name: str = "the model") -> ChatForm:
        """The form of this tokenizer, found by trying. Raises `MootError` if its template refuses."""
        special = _special(tokenizer)
        if not getattr(tokenizer, "chat_template", None):
            return cls(tokenizer, "plain", special)
        trial: list[ChatTurn] = [
            {"role": "system", "content": "seen-rules"},
            {"role": "user", "content": "seen-a"},
            {"role": "assistant", "content": "seen-b"},
            {"role": "user", "content": "seen-c"},
        ]
        why = ""
        for style in ("template", "merged"):
            form = cls(tokenizer, style, special)
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
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=think,
                    strftime_now=TODAY.strftime,
                )
            )
        opened = text.rstrip().endswith(OPEN)
        if think and not opened:
            return f"{text}{OPEN}\n"
        if opened and not think:
            return f"{text.rstrip()}\n\n{CLOSE}\n\n"
        return text

    def ids(self, turns: Sequence[ChatTurn], think: bool = False) -> list[int]:
        """`text` as tokens. A template writes its own first token; plain text gets the tokenizer's."""
        text = self.text(turns, think)
        return list(self.tokenizer(text, add_special_tokens=self.style == "plain")["input_ids"])

    def harmless(self, content: str) -> str:
        """The content with every special token's spelling broken; other content is left as it is."""
        while self.special.search(content):
            content = self.special.sub(lambda m: f"{m[0][0]} {m[0][1:]}", content)
        return content


def _special(tokenizer: Any) -> re.Pattern[str]:
    added = [str(t) for t in getattr(tokenizer, "added_tokens_decoder", {}).values()]
    spellings = {s.strip() for s in (*added, *tokenizer.all_special_tokens, OPEN, CLOSE)}
    longest_first = sorted((s for s in spellings if len(s) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))
