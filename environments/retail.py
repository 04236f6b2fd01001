"""The retail tasks of tau-bench as scenarios of support desk, on the databases that lie beside them.

A folder holds `users.json`, `orders.json`, `products.json` (each maybe `.gz`), the policy `wiki.md`, and
files of tasks: JSON lists of `{"user_id", "instruction", "actions": [{"name", "kwargs"}], "outputs"}`.
A scenario names the folder and does not copy it, so its records can be replayed only where the folder is.
Left out: tau-bench's simulated user, whose place any agent takes, told the task's instruction.

Source: Yao et al. 2024, arXiv:2406.12045; github.com/sierra-research/tau-bench (MIT licence).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ..protocols import MootError
from .journal import reading
from .records import first_error
from .scenario import ProtocolChoice, Scenario
from .worlds.desk_scenario import Call, DeskRole, DeskScenario
from .worlds.desk_store import read_tables

DEADLINE = 60
"""Most messages: about the 30 steps that tau-bench gives the desk, and the customer's as many."""
TASKS = "*tasks*.json"
LONGEST = 1500
"""Characters of one message: an instruction may be said at once."""


class Action(BaseModel):
    """One expected call."""

    name: str
    kwargs: dict[str, Any]


class TaskRow(BaseModel):
    """One task. Fields that are not read here are let through."""

    instruction: str
    actions: list[Action]
    outputs: list[str] = []


def is_retail(path: Path) -> bool:
    """Whether this is a folder of retail tasks, or one of its files of tasks."""
    folder = path if path.is_dir() else path.parent
    tasks = path.suffix == ".json" if path.is_file() else path.is_dir()
    return tasks and (folder / "users.json").is_file() and any(folder.glob(TASKS))


def retail_scenarios(path: Path) -> list[Scenario]:
    """The tasks of a file, or of every file of tasks in a folder, in their order.

    `source` is the file's name and the task's number from 0. Raises `MootError` naming what is missing.
    """
    files = sorted(path.glob(TASKS)) if path.is_dir() else [path]
    folder = (path if path.is_dir() else path.parent).resolve()
    read_tables(str(folder))  # what is missing is said before any task is blamed for it
    wiki = folder / "wiki.md"
    policy = wiki.read_text(encoding="utf-8").strip() if wiki.is_file() else ""
    return [
        _scenario(file, number, row, str(folder), policy)
        for file in files
        for number, row in enumerate(_rows(file))
    ]


def _rows(file: Path) -> list[TaskRow]:
    with reading(file) as opened:
        raw = opened.read()
    try:
        rows = TypeAdapter(list[TaskRow]).validate_json(raw)
    except ValidationError as error:
        raise MootError(f"{file}: want a JSON list of tasks: {first_error(error)}") from None
    if not rows:
        raise MootError(f"{file} is empty: want a JSON list of tasks")
    return rows


def _scenario(file: Path, number: int, row: TaskRow, folder: str, policy: str) -> Scenario:
    try:
        return DeskScenario(
            name="support_desk",
            protocol=ProtocolChoice.model_validate({"name": "service", "deadline": DEADLINE}),
            folder=folder,
            narrow=False,
            expected=[Call(tool=a.name, arguments=a.kwargs) for a in row.actions],
            outputs=row.outputs,
            roles={
                "customer": DeskRole(wish=row.instruction.strip()),
                "desk": DeskRole(policy=policy),
            },
            max_text=LONGEST,
            source=f"{file.stem}-{number}",
        )
    except ValidationError as error:
        raise MootError(f"{file}: task {number}: {first_error(error)}") from None
