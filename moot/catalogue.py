"""What `moot list` lists: names and one-line summaries, from the declarations themselves."""

from __future__ import annotations

from .agents.scripted.players import names
from .agents.seats import KINDS as AGENT_KINDS
from .environments import WORLDS
from .environments.load import shipped
from .evaluation import METRICS, ON_REQUEST
from .protocols import PROTOCOLS

KINDS = ("scenarios", "protocols", "environments", "agents", "metrics", "methods", "rules")


METHODS = {
    "lora": "low-rank terms beside linear layers (Hu et al. 2021)",
    "lora_xs": "a small matrix between frozen factors; fedavg on it is Fed-SB (Balazy et al. 2024)",
    "bottleneck": "small layers after attention and MLP (Houlsby et al. 2019; Pfeiffer et al. 2021)",
    "prefix": "keys and values of its own in every layer (Li and Liang 2021)",
    "prompt": "embeddings of its own before the prompt (Lester et al. 2021)",
    "ia3": "scales of keys, values and MLP activations (Liu et al. 2022)",
}
"""Adapter methods; their options are in docs/finetuning.md."""


def catalogue(kind: str) -> dict[str, str]:
    """Name -> summary for one of `KINDS`."""
    match kind:
        case "scenarios":
            return shipped()
        case "protocols":
            return {name: make().summary for name, make in PROTOCOLS.items()}
        case "environments":
            return {name: world.summary for name, world in WORLDS.items()}
        case "agents":
            scripted = {f"scripted:{name}": summary for name, summary in names().items()}
            others = {
                k: v.partition(", ")[2] or v for k, v in AGENT_KINDS.items() if k != "scripted"
            }
            return scripted | others
        case "methods":
            return METHODS
        case "rules":
            from .finetune.aggregation import RULES

            return {name: rule.summary for name, rule in RULES.items()}
        case _:
            return {name: m.summary for name, m in {**METRICS, **ON_REQUEST}.items()}
