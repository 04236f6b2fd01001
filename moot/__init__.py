"""The front door: `import moot`, then `moot.simulate(...)`, `moot.score(run)`.

Names load when they are first used, so that `import moot` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents.language import language_pool
    from .agents.load import load
    from .economy import Economy, talk_efficiency
    from .environments import Environment, Episode, Scenario, Template, fork, play, replay
    from .environments.check import check_environment
    from .environments.load import draw, load_scenario
    from .environments.records import Run
    from .environments.transcripts import load_scenarios, load_transcripts
    from .evaluation import compare, score, score_path, table
    from .evaluation.dataset import to_dataset, write_parquet
    from .evaluation.judges import agreement, judged, preferred
    from .evaluation.report import report
    from .evaluation.value import MessageValue, message_value, message_values
    from .finetune.bank import AdapterBank
    from .finetune.examples import Writer, examples, from_messages
    from .finetune.federated import federate
    from .finetune.methods.bottleneck import Bottleneck
    from .finetune.methods.ia3 import IA3
    from .finetune.methods.lora import LoRA
    from .finetune.methods.lora_xs import LoRAXS
    from .finetune.methods.prefix import Prefix, Prompt
    from .finetune.opened import open_bank
    from .finetune.rounds import Federation, Round
    from .finetune.train import Plan, evaluate, train
    from .finetuning import Finetuning
    from .protocols import Act, Message, MootError, Observation, Protocol, Reply
    from .protocols.check import check_protocol
    from .simulation import Simulation, simulate
    from .suite import Evaluation, evaluate_suite, load_suite
    from .tournament import Tournament, crossplay
    from .tuning import Tuning, load_tuning

_HOME = {
    "economy": ("Economy", "talk_efficiency"),
    "environments": ("Environment", "Episode", "Scenario", "Template", "fork", "play", "replay"),
    "environments.check": ("check_environment",),
    "environments.load": ("draw", "load_scenario"),
    "environments.records": ("Run",),
    "environments.transcripts": ("load_scenarios", "load_transcripts"),
    "evaluation": ("compare", "score", "score_path", "table"),
    "evaluation.dataset": ("to_dataset", "write_parquet"),
    "evaluation.judges": ("agreement", "judged", "preferred"),
    "evaluation.value": ("MessageValue", "message_value", "message_values"),
    "evaluation.report": ("report",),
    "finetune.bank": ("AdapterBank",),
    "finetune.examples": ("Writer", "examples", "from_messages"),
    "finetune.federated": ("federate",),
    "finetune.methods.bottleneck": ("Bottleneck",),
    "finetune.methods.ia3": ("IA3",),
    "finetune.methods.lora": ("LoRA",),
    "finetune.methods.lora_xs": ("LoRAXS",),
    "finetune.methods.prefix": ("Prefix", "Prompt"),
    "finetune.opened": ("open_bank",),
    "finetune.rounds": ("Federation", "Round"),
    "finetune.train": ("Plan", "evaluate", "train"),
    "finetuning": ("Finetuning",),
    "tuning": ("Tuning", "load_tuning"),
    "agents.language": ("language_pool",),
    "agents.load": ("load",),
    "protocols": ("Act", "Message", "MootError", "Observation", "Protocol", "Reply"),
    "protocols.check": ("check_protocol",),
    "simulation": ("Simulation", "simulate"),
    "suite": ("Evaluation", "evaluate_suite", "load_suite"),
    "tournament": ("Tournament", "crossplay"),
}
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "IA3",
    "Act",
    "AdapterBank",
    "Bottleneck",
    "Economy",
    "Environment",
    "Episode",
    "Evaluation",
    "Federation",
    "Finetuning",
    "LoRA",
    "LoRAXS",
    "Message",
    "MessageValue",
    "MootError",
    "Observation",
    "Plan",
    "Prefix",
    "Prompt",
    "Protocol",
    "Reply",
    "Round",
    "Run",
    "Scenario",
    "Simulation",
    "Template",
    "Tournament",
    "Tuning",
    "Writer",
    "agreement",
    "check_environment",
    "check_protocol",
    "compare",
    "crossplay",
    "draw",
    "evaluate",
    "evaluate_suite",
    "examples",
    "federate",
    "fork",
    "from_messages",
    "judged",
    "language_pool",
    "load",
    "load_scenario",
    "load_scenarios",
    "load_suite",
    "load_transcripts",
    "load_tuning",
    "message_value",
    "message_values",
    "open_bank",
    "play",
    "preferred",
    "replay",
    "report",
    "score",
    "score_path",
    "simulate",
    "table",
    "talk_efficiency",
    "to_dataset",
    "train",
    "write_parquet",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'moot' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value
