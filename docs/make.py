"""Write what the docs say of the code from the code itself. `python docs/make.py`; a test runs it dry.

It stands between a marker and `<!-- end -->`; the text around it is written by hand. Markers:

    <!-- fields: MODEL -->                     the table of a model's fields
    <!-- protocol: NAME -->                    a protocol's parameters, words, source and diagram
    <!-- diagram: NAME [KEY=VALUE ...] -->     the diagram of a protocol alone
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import sys
import textwrap
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from moot.agents.language import LanguageOptions
from moot.agents.remote import RemoteOptions
from moot.environments import WORLDS
from moot.environments.scenario import Role, Scenario, Template
from moot.finetune.methods.bottleneck import Bottleneck
from moot.finetune.methods.ia3 import IA3
from moot.finetune.methods.lora import LoRA
from moot.finetune.methods.lora_xs import LoRAXS
from moot.finetune.methods.prefix import Prefix, Prompt
from moot.finetune.rounds import Federation, Round
from moot.finetune.train import Plan
from moot.protocol_view import chosen
from moot.protocols import PROTOCOLS
from moot.suite import Entry, Suite
from moot.tuning import Client, Partition, Play, Tuning

DOCS = Path(__file__).parent


def models() -> dict[str, type[BaseModel]]:
    """Everything that has a table, by the name in its marker."""
    found: dict[str, type[BaseModel]] = {
        m.__name__: m
        for m in (
            Scenario, Template, Role, Suite, Entry, LanguageOptions, RemoteOptions, Tuning, Client,
            Partition, Play, Federation, Round, Plan, LoRA, LoRAXS, Bottleneck, Prefix, Prompt, IA3,
        )
    }  # fmt: skip
    for world in WORLDS.values():
        role = world.Scenario.model_fields["roles"].annotation.__args__[1]
        for model in (world.Scenario, world.Generator, role):
            found[model.__name__] = model
    return found


def told(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the docstring that stands under it, where its description does not say it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body
    return {
        above.target.id: " ".join(below.value.value.split())
        for above, below in itertools.pairwise(body)
        if isinstance(above, ast.AnnAssign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    return "" if value in (None, "", {}) else f"`{value}`"


def table(model: type[BaseModel]) -> str:
    """One row a field; those that every scenario or role has are told once."""
    words = told(model)
    shared = Scenario if issubclass(model, Scenario) else Role if issubclass(model, Role) else None
    rows = ["| field | default | |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if shared is None or shared is model or name not in shared.model_fields:
            said = " ".join((field.description or words.get(name, "")).split())
            rows.append(f"| `{name}` | {default(field)} | {said} |")
    return "\n".join(rows)


def protocol(name: str) -> str:
    """How a scenario writes it with its defaults, what its docstring says, its source and diagram."""
    make = PROTOCOLS[name]
    defaults = {k: p.default for k, p in inspect.signature(make).parameters.items()}
    written = ", ".join(f"{k}: {json.dumps(v)}" for k, v in {"name": name, **defaults}.items())
    said = inspect.getdoc(inspect.unwrap(make))
    source = f"Source: {make().source}."
    plain = written.replace('""', "''").replace('"', "")
    return f"`{{{plain}}}`\n\n{said}\n\n{source}\n\n{diagram(name)}"


def diagram(words: str) -> str:
    return f"```mermaid\n{chosen(words.split()).mermaid()}```"


def made(text: str) -> str:
    """The page with everything between markers made afresh."""
    known = models()
    makers = {"fields": lambda name: table(known[name]), "protocol": protocol, "diagram": diagram}
    return re.sub(
        r"(<!-- (fields|protocol|diagram): ([\w= ]+) -->\n)(?:(?!<!--).)*?(\n<!-- end -->)",
        lambda m: m[1] + makers[m[2]](m[3]) + m[4],
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    stale = 0
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        fresh = made(text)
        if fresh != text:
            stale += 1
            if "--check" not in sys.argv:
                page.write_text(fresh, encoding="utf-8")
                print(f"wrote {page.name}")
    sys.exit(
        f"{stale} page(s) are stale: python docs/make.py" if "--check" in sys.argv and stale else 0
    )


if __name__ == "__main__":
    main()
