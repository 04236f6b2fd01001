"""Several seats on one engine, several engines behind one seat, and the memory that they may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from test_language import answers, observations, tables

from moot.agents.cache import Kept, Slab
from moot.agents.decode import Batch
from moot.agents.language import LanguagePool, language_pool
from moot.agents.question import Question
from moot.agents.seats import seat_all
from moot.environments import play
from moot.finetune.bank import AdapterBank
from moot.finetune.methods.lora import LoRA
from moot.finetune.opened import open_banks
from moot.protocols import MootError, Observation, Reply

Asked = Mapping[str, list[Observation]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save(tmp_path_factory.mktemp("llama")))


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every step of every batch."""
    seen: list[int] = []
    step = Batch.step

    def counted(self: Batch) -> Any:
        seen.append(len(self.rows))
        return step(self)

    monkeypatch.setattr(Batch, "step", counted)
    return seen


def together(pools: Mapping[str, Any], asked: Asked) -> dict[str, list[Reply]]:
    """Everything is asked before anything is answered; a poll may find that another has the reply."""
    for name, questions in asked.items():
        for ticket, observation in enumerate(questions):
            pools[name].ask(ticket, observation)
    got: dict[str, dict[int, Reply]] = {name: {} for name in asked}
    while any(len(got[name]) < len(asked[name]) for name in asked):
        found = 0
        for name, pool in pools.items():
            ready = dict(pool.poll(0.0))
            assert not got[name].keys() & ready.keys()
            got[name] |= ready
            found += len(ready)
        assert found, "no pool had a reply"
    return {name: [got[name][t] for t in sorted(got[name])] for name in asked}


def said(replies: list[Reply]) -> list[tuple[int, ...]]:
    assert [r.error for r in replies] == [None] * len(replies)
    return [r.token_ids for r in replies]


WAYS = {
    "cold": "temperature=0",
    "hot": "temperature=1",
    "narrow": "temperature=0.8&top_p=0.5&max_tokens=50",
    "free": "mask=false&max_tokens=20&temperature=0.5",
    "thoughtful": "think=8&temperature=1&fast_forward=false",
}


def test_seats_that_sample_unlike_decode_in_one_batch(folder: str, widths: list[int]) -> None:
    specs = {name: f"hf:{folder}?device=cpu&{way}" for name, way in WAYS.items()}
    views = observations(4, max_text=12)
    alone = {name: said(answers(seat_all({"*": s})["*"].pool, views)) for name, s in specs.items()}  # type: ignore[arg-type]
    assert len({tuple(tokens) for tokens in alone.values()}) == len(WAYS)
    widths.clear()
    pools: dict[str, Any] = {name: seat.pool for name, seat in seat_all(specs).items()}
    assert len({p.engines for p in pools.values()}) == 1
    found = together(pools, dict.fromkeys(specs, views))
    assert {name: said(replies) for name, replies in found.items()} == alone
    assert max(widths) == len(WAYS) * len(views)


def test_two_nanos_of_unlike_temperature_play_in_one_batch(widths: list[int]) -> None:
    specs = {"a": "nano?temperature=0", "b": "nano?temperature=1", "*": "nano?temperature=0"}
    seats = seat_all(specs)
    pools: dict[str, Any] = {name: seat.pool for name, seat in seats.items()}
    assert pools["a"].engines is pools["b"].engines
    assert pools["*"] is pools["a"] is not pools["b"]
    assert {name: seat.spec for name, seat in seats.items()} == specs
    views = observations(2)[:1]
    found = together({"a": pools["a"], "b": pools["b"]}, {"a": views, "b": views})
    assert max(widths) == 2
    for name in "ab":
        alone: Any = seat_all({"*": specs[name]})["*"].pool
        assert said(found[name]) == said(answers(alone, views))
    assert set(found["a"][0].logprobs) == {0.0} != set(found["b"][0].logprobs)


def test_other_engine_options_make_another_engine_of_the_same_weights(folder: str) -> None:
    spec = f"hf:{folder}?device=cpu"
    seats = seat_all({"a": spec, "b": f"{spec}&rows=3", "c": f"{spec}&top_k=4"})
    pools: dict[str, Any] = {name: seat.pool for name, seat in seats.items()}
    assert pools["a"].engines is pools["c"].engines is not pools["b"].engines
    assert pools["a"].loaded is pools["b"].loaded


def test_a_pool_beside_another_samples_in_its_own_way(folder: str) -> None:
    hot = language_pool(folder, {"temperature": 1, "device": "cpu"})
    cold = hot.beside({"temperature": 0, "device": "cpu"})
    views = observations(3, max_text=12)
    found = together({"hot": hot, "cold": cold}, {"hot": views, "cold": views})
    for name, temperature in (("hot", 1), ("cold", 0)):
        alone = language_pool(folder, {"temperature": temperature, "device": "cpu"})
        assert said(found[name]) == said(answers(alone, views))
    with pytest.raises(MootError, match="rows: settled by the pool that this one stands beside"):
        hot.beside({"rows": 3, "device": "cpu"})


def stored(batch: Batch, slab: Slab, kept: Kept) -> int:
    """Bytes of the storages of all keys and values."""
    tensors = [*batch.slab.keys, *batch.slab.values, *slab.keys, *slab.values]
    for past in kept._pasts.values():
        tensors += [*past.keys, *past.values]
    storages = (t.untyped_storage() for t in tensors)
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


@pytest.mark.parametrize("rows", [64, 3])
def test_all_keys_and_values_stay_within_the_memory(
    folder: str, rows: int, monkeypatch: pytest.MonkeyPatch, widths: list[int]
) -> None:
    asked, most = observations(16, max_text=12), 1 << 20
    options = {"temperature": 1, "rows": rows, "device": "cpu"}
    wide = language_pool(folder, {**options, "memory": 512})
    expected = said(answers(wide, asked))
    pool = language_pool(folder, {**options, "memory": 1})
    kept = pool.engines.all[0].kept
    assert kept is not None
    seen: list[tuple[int, int]] = []
    forward = Batch._forward

    def measured(self: Batch, slab: Slab, *given: Any) -> torch.Tensor:
        seen.append((stored(self, slab, kept), kept.bytes))
        return forward(self, slab, *given)

    monkeypatch.setattr(Batch, "_forward", measured)
    widths.clear()
    assert said(answers(pool, asked)) == expected
    assert 0.6 * most < max(there for there, _ in seen) <= most
    if rows == 64:
        assert 1 < max(widths) < len(asked), "as many as there is memory for"
    else:
        assert max(widths) == rows
        kept_by_then = [size for _, size in seen]
        assert max(kept_by_then) > kept_by_then[-1] > 0, "what was not used for longest goes"


def test_one_reply_is_written_in_whatever_memory(folder: str) -> None:
    asked = observations(3)
    pool = language_pool(folder, {"temperature": 0, "device": "cpu"})
    expected = said(answers(pool, asked))
    pool.engines.all[0].memory = 1
    pool.forget()
    assert said(answers(pool, asked)) == expected


def test_copies_on_several_devices_say_what_one_says(folder: str) -> None:
    def games(**options: Any) -> tuple[LanguagePool, dict[int, str]]:
        pool = language_pool(folder, {"temperature": 1, "rows": 8, **options})
        done = play(tables(8, max_text=12), {"*": pool}, concurrent=8)
        return pool, {e.id: " ".join(m.model_dump_json() for m in e.messages) for e in done}

    _, one = games(device="cpu")
    pool, two = games(devices="cpu,cpu")
    assert one == two
    assert len(pool.engines.all) == 2
    first, second = pool.engines.all
    assert first.loaded is not second.loaded
    weights = [e.loaded.model.get_input_embeddings().weight for e in pool.engines.all]
    assert weights[0].data_ptr() != weights[1].data_ptr()
    for engine in pool.engines.all:
        assert engine.load == 0
        assert engine.kept is not None
        assert engine.kept.bytes > 0


def test_a_talk_goes_on_where_its_past_is_kept(folder: str) -> None:
    pool = language_pool(folder, {"temperature": 0, "devices": "cpu,cpu"})
    views = observations(6, max_text=12)
    answers(pool, views)
    where = [
        next(e for e in pool.engines.all if e.knows(Question(0, view, None, pool.options, [])))
        for view in views
    ]
    assert len(set(where)) == 2, "the least busy engine comes first"
    for view, engine in zip(views, where, strict=True):
        pool.ask(0, view)
        assert [e.load for e in pool.engines.all if e is engine] == [1]
        pool.poll()


def test_every_copy_has_its_own_adapters(folder: str, tmp_path: Path) -> None:
    model = tiny.model("llama", 521)
    bank = AdapterBank(model, LoRA(rank=2), ["ann"])
    with torch.no_grad():
        for t in bank.tensors.values():
            t.add_(0.3 * torch.randn(t.shape, generator=torch.Generator().manual_seed(1)))
    adapter = bank.export("ann", tmp_path / "ann")
    views = observations(6, max_text=12)

    def replies(where: str) -> dict[str, list[tuple[int, ...]]]:
        base = f"hf:{folder}?temperature=0&{where}"
        seats = seat_all({"base": base, "ann": f"{base}&adapter={adapter}"}, open_banks)
        pools = {name: seat.pool for name, seat in seats.items()}
        found = together(pools, dict.fromkeys(pools, views))
        return {name: said(r) for name, r in found.items()}

    one = replies("device=cpu")
    assert one == replies("devices=cpu,cpu")
    assert one["base"] != one["ann"]


BAD: dict[str, tuple[Callable[[str], object], str]] = {
    "device too": (
        lambda f: language_pool(f, {"devices": "cpu", "device": "cpu"}),
        "one of device, devices and device_map",
    ),
    "auto and more": (lambda f: language_pool(f, {"devices": "auto,cpu"}), "give it alone"),
    "strange": (lambda f: language_pool(f, {"devices": "cpu,tpu9"}), "device 'tpu9' is not here"),
    "loaded": (
        lambda f: language_pool(language_pool(f).loaded, {"devices": "cpu,cpu"}),
        "a model that is loaded is on a device already",
    ),
    "bank": (
        lambda f: language_pool(
            f, {"devices": "cpu,cpu"}, bank=AdapterBank(tiny.model("llama", 9), LoRA(), ["a"]),
            owners={"*": "a"},
        ),
        "a bank is on a device already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_devices_that_make_no_sense_are_told(folder: str, case: str) -> None:
    how, message = BAD[case]
    with pytest.raises(MootError, match=message):
        how(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto means the GPUs that are here")
def test_auto_without_a_gpu_is_the_device_that_is_there(folder: str) -> None:
    pool = language_pool(folder, {"devices": "auto"})
    assert len(pool.engines.all) == 1
