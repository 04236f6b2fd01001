"""What clients learn from: demonstrations, recorded dialogues, messages, or parts of one file.

A client's examples are its own: nothing here is seen by another client, only by the loss of its adapter.
Demonstrations are ordinary runs, kept with the fine-tuning, so that they can be read and scored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from .environments import Episode
from .environments.journal import lines
from .environments.transcripts import episodes_of
from .finetune.examples import Example, Writer, examples, from_messages, split, view
from .finetune.keyed import number
from .protocols import MootError, did_you_mean
from .protocols.counted import counted
from .simulation import Simulation
from .tuning import Client, Partition, Tuning

Examples = dict[str, list[Example]]


class Lessons(NamedTuple):
    """Everybody's examples."""

    train: Examples
    held_out: Examples


def lessons(
    tuning: Tuning, writer: Writer, folder: Path, tell: Callable[[str], None] = lambda _: None
) -> Lessons:
    """The examples of every client; demonstrations are played into `folder`, or read from there.

    `tell` hears of each step in words. Raises `MootError` for a source that cannot be read, and for a
    client that is left without a single example.
    """
    if tuning.partition is not None:
        parts = _parts(tuning.partition, tuning, writer)
    else:
        parts: Examples = {}
        for name, client in tuning.clients.items():
            tell(f"{name}: {_words(client)}")
            parts[name] = _examples(tuning, name, client, writer, folder)
    train: Examples = {}
    held_out: Examples = {}
    for name, found in parts.items():
        if not found:
            raise MootError(
                f"client {name} has no example: nothing was said at its seat, or every text is longer "
                f"than the model's context of {writer.context} tokens"
            )
        train[name], held_out[name] = split(found, tuning.held_out, seed=tuning.seed, agent=name)
        if not held_out[name]:
            tell(f"{name}: one example only, so none is held out and no loss is measured")
    return Lessons(train, held_out)


def _words(client: Client) -> str:
    if client.dialogues or client.messages:
        return f"reads {client.dialogues or client.messages}"
    return f"{client.teacher} shows {counted(client.episodes, 'game')} at seat {client.seat}"


def _examples(
    tuning: Tuning, name: str, client: Client, writer: Writer, folder: Path
) -> list[Example]:
    if client.messages is not None:
        try:
            return from_messages(_rows(client.messages), writer)
        except MootError as e:
            raise MootError(f"{client.messages}: {e}") from None
    if client.dialogues is not None:
        episodes = list(episodes_of(client.dialogues))
    else:
        episodes = list(demonstrations(tuning, name, client, folder))
    episodes.sort(key=lambda e: e.id)
    if client.seat is None:
        return [
            e
            for episode in episodes
            for a in episode.scenario.roles
            for e in _of(episode, a, writer)
        ]
    return examples(episodes, client.seat, writer)


def demonstrations(tuning: Tuning, name: str, client: Client, folder: Path) -> Iterable[Episode]:
    """The teacher's games, played once and kept; the same names give the same games."""
    assert client.scenario is not None
    assert client.seat is not None
    assert client.teacher is not None
    simulation = Simulation(
        cast(Any, client.scenario),
        agents={**client.agents, client.seat: client.teacher},
        episodes=client.episodes,
        seed=number("demonstrations", tuning.seed, name) & 0xFFFFFF,
        out=folder / name,
        resume=(folder / name).exists(),
    )
    for _ in simulation:
        pass
    return simulation.run.episodes()


def _of(episode: Episode, agent: str, writer: Writer) -> list[Example]:
    return writer.write(view(episode, agent))


def _rows(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for at, line, _ in lines(Path(path)):
        try:
            row: object = json.loads(line)
        except ValueError as e:
            raise MootError(f"{path}: line {at}: not JSON: {e}") from None
        if not isinstance(row, dict):
            raise MootError(f"{path}: line {at}: want an object with `messages`")
        found.append(cast("dict[str, Any]", row))
    if not found:
        raise MootError(f"{path}: is empty")
    return found


def _parts(partition: Partition, tuning: Tuning, writer: Writer) -> Examples:
    """One file, cut: every dialogue with its label goes to one client."""
    found = (
        _labelled_rows(partition, writer)
        if partition.messages
        else _labelled_seats(partition, writer)
    )
    if partition.most is not None:
        order = sorted(range(len(found)), key=lambda i: number("most", tuning.seed, i))
        found = [found[i] for i in sorted(order[: partition.most])]
    labels = [label for label, _ in found]
    places = cut(labels, partition, tuning.seed)
    return {name: [e for i in rows for e in found[i][1]] for name, rows in places.items() if rows}


def _labelled_rows(partition: Partition, writer: Writer) -> list[tuple[str, list[Example]]]:
    rows = _rows(str(partition.messages))
    field = partition.label
    if field is not None and rows and field not in rows[0]:
        raise MootError(f"partition.label: rows have no {field!r}; {did_you_mean(field, rows[0])}")
    return [(str(row[field]) if field else "", from_messages([row], writer)) for row in rows]


def _labelled_seats(partition: Partition, writer: Writer) -> list[tuple[str, list[Example]]]:
    found: list[tuple[str, list[Example]]] = []
    for episode in episodes_of(str(partition.dialogues)):
        for agent, role in episode.scenario.roles.items():
            written = _of(episode, agent, writer)
            if written:
                found.append(
                    (agent if partition.label == "seat" else _leaning(agent, role), written)
                )
    return found


def _leaning(agent: str, role: Any) -> str:
    """What a speaker values most; its seat where nothing is valued by kind."""
    values: Mapping[str, float] | None = getattr(role, "values", None)
    return agent if not values else max(sorted(values), key=lambda kind: values[kind])


def cut(labels: Sequence[str], partition: Partition, seed: int) -> dict[str, list[int]]:
    """Client -> indices of its dialogues, each dialogue with one client.

    Dirichlet: client k's share of a label is that of its draw p_k ~ Dir(alpha) among all clients' draws.
    """
    if partition.by != "natural" and (partition.clients or 0) > len(labels):
        many = counted(partition.clients or 0, "client")
        raise MootError(
            f"partition.clients: {many} for {counted(len(labels), 'dialogue')}; want fewer"
        )
    kinds = sorted(set(labels))
    rng = np.random.default_rng(number("partition", seed) & 0xFFFFFFFF)
    if partition.by == "natural":
        sizes = {kind: labels.count(kind) for kind in kinds}
        chosen = sorted(kinds, key=lambda kind: (-sizes[kind], kind))[: partition.clients]
        return {kind: [i for i, x in enumerate(labels) if x == kind] for kind in sorted(chosen)}
    count = partition.clients or 1
    names = [f"client{k:02d}" for k in range(count)]
    places: dict[str, list[int]] = {name: [] for name in names}
    if partition.by == "even":
        for at, i in enumerate(rng.permutation(len(labels))):
            places[names[at % count]].append(int(i))
        return {name: sorted(rows) for name, rows in places.items()}
    shares = rng.dirichlet([partition.alpha] * len(kinds), size=count)
    for column, kind in enumerate(kinds):
        weight = shares[:, column] + 1e-9
        mine = [i for i, x in enumerate(labels) if x == kind]
        for i, k in zip(
            mine, rng.choice(count, size=len(mine), p=weight / weight.sum()), strict=True
        ):
            places[names[int(k)]].append(i)
    return {name: sorted(rows) for name, rows in places.items()}
