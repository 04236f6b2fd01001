"""`moot finetune` and `moot export`: a fine-tuning in a folder, resumed, exported, and told in a table."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from test_cli import Moot, moot
from transformers import AutoModelForCausalLM

import moot as front
from moot.agents.seats import NANO
from moot.finetune.checkpoint import Checkpoints
from moot.finetuning import Finetuning, Watching
from moot.lessons import cut
from moot.outcome import comparisons, read, recovered
from moot.protocols import MootError
from moot.tuning import Partition, load_tuning

__all__ = ["moot"]
CONFIG: dict[str, Any] = {
    "name": "small",
    "adapter": {"method": "lora", "rank": 2},
    "clients": {
        "ada": {
            "scenario": "bargain", "seat": "seller", "teacher": "scripted:boulware",
            "agents": {"buyer": "scripted:linear"}, "episodes": 3, "game": "used_bicycle",
        },
        "ben": {
            "scenario": "task_market", "seat": "bidder", "teacher": "scripted:markup",
            "agents": {"manager": "scripted:manager"}, "episodes": 3,
        },
    },
    "federation": {"rule": "fedit", "rounds": 2, "plan": {"steps": 1, "batch": 2, "lr": 0.01}},
    "play": {"episodes": 2},
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    return path


def test_a_whole_fine_tuning_ends_in_a_table_and_a_folder(moot: Moot, tmp_path: Path) -> None:
    written(tmp_path)
    status, out, err = moot("finetune", "small.yaml", "--out", "run")
    assert status == 0, err
    for word in ("base", "local", "federated", "centralised", "utility", "held-out loss", "±"):
        assert word in out
    assert "federated minus local" in out
    assert "too few to tell (want 10 games a client)" in out
    assert "aggregation error" in err
    assert "ada: scripted:boulware shows 3 games at seat seller" in err
    folder = tmp_path / "run"
    result = json.loads((folder / "result.json").read_text())
    assert list(result["variants"]) == ["base", "local", "federated", "centralised"]
    base = result["variants"]["base"]
    assert set(base["held_out_loss"]["clients"]) == {"ada", "ben"}
    assert base["metrics"]["completion_rate"]["n"] == 4
    assert json.loads((folder / "clients.json").read_text())["ada"] == {"train": 2, "held_out": 1}
    assert len((folder / "federated" / "rounds.jsonl").read_text().splitlines()) == 2
    assert list((folder / "curves").glob("events.out.tfevents.*"))
    status, out, _ = moot("show", "run/play/federated/ada")
    assert status == 0
    assert "used_bicycle" in out
    status, _, err = moot("score", "run")
    assert (status, "try run/" in err) == (2, True)
    status, out, err = moot("check", "run/play/local/ben")
    assert status == 0, err
    # What was exported is what played: seated from its folder, it says the same.
    seen = "nano?adapter=run/adapters/ada&temperature=0.3"
    again = front.simulate(
        "used_bicycle", agents={"seller": seen, "buyer": "scripted:linear"}, episodes=2, seed=0x1000000,
        out=tmp_path / "again",
    )  # fmt: skip
    for one, other in zip(
        sorted(again.episodes(), key=lambda e: e.id),
        sorted(front.Run.open(folder / "play/federated/ada").episodes(), key=lambda e: e.id),
        strict=True,
    ):
        assert [m.text for m in one.messages] == [m.text for m in other.messages]
    status, out, err = moot("finetune", "small.yaml", "--out", "run", "--resume", "--json")
    assert status == 0
    assert json.loads(out) == result
    status, _, err = moot("finetune", "small.yaml", "--out", "run")
    assert status == 2
    assert "holds a fine-tuning already; add resume=True (--resume)" in err


@pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.*:FutureWarning"
)  # peft, by the old name
def test_export_writes_what_peft_opens(moot: Moot, tmp_path: Path) -> None:
    written(tmp_path, baselines=["centralised"], play=None)
    assert moot("finetune", "small.yaml", "--out", "run")[0] == 0
    ids = torch.tensor([[5, 9, 33, 80]])
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(NANO)(input_ids=ids).logits
    for variant in ("federated", "centralised"):
        status, out, err = moot("export", "run", "ben", f"out-{variant}", "--variant", variant)
        assert status == 0, err
        assert f"adapter=out-{variant}" in out
        status, _, err = moot(
            "export", "run", "ben", f"merged-{variant}", "--variant", variant, "--merge"
        )
        assert status == 0, err
        base: Any = AutoModelForCausalLM.from_pretrained(NANO)
        with torch.no_grad():
            opened = PeftModel.from_pretrained(base, tmp_path / f"out-{variant}")(
                input_ids=ids
            ).logits
            merged = AutoModelForCausalLM.from_pretrained(tmp_path / f"merged-{variant}")
            assert torch.allclose(opened, merged(input_ids=ids).logits, atol=1e-4)
        assert not torch.allclose(opened, plain, atol=1e-3)
    for words, told in (
        (("run", "bob", "x"), "no client 'bob' in run; known: ada, ben"),
        (("run", "ben", "out-federated"), "is not empty"),
        (("run", "ben", "x", "--variant", "federate"), "did you mean 'federated'"),
        (("run", "ben", "x", "--variant", "local"), "has no rounds of local"),
        (("nowhere", "ben", "x"), "has no tuning.json"),
    ):
        status, _, err = moot("export", *words)
        assert (status, told in err) == (2, True), err
        assert len(err.splitlines()) == 1


def test_a_rule_that_moves_the_base_leaves_it_as_it_was_for_the_others(tmp_path: Path) -> None:
    federation = {**CONFIG["federation"], "rule": "fedex"}
    tuning = load_tuning(
        {**CONFIG, "federation": federation, "baselines": ["base", "centralised"], "play": None}
    )
    job = Finetuning(tuning, tmp_path / "run")
    loaded = job.load()
    before = {n: w.detach().clone() for n, w in loaded.model.named_parameters()}
    found = job.run()
    assert all(torch.equal(w, before[n]) for n, w in loaded.model.named_parameters())
    assert found["federated"].losses != found["base"].losses
    assert not (tmp_path / "run" / "adapters").exists()
    with pytest.raises(MootError, match=r"fedex moved the base.*--merge"):
        job.export("ada", tmp_path / "x")
    job.export("ada", tmp_path / "whole", merge=True)
    moved = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").state_dict()
    assert any(not torch.equal(moved[n], w) for n, w in before.items() if n in moved)
    assert all(torch.equal(w, before[n]) for n, w in loaded.model.named_parameters()), "export too"


class Killed(BaseException):
    """Not to be caught."""


@pytest.mark.parametrize("where", ["data", "step", "round", "game"])
def test_killed_anywhere_it_resumes_to_the_same_end(where: str, tmp_path: Path) -> None:
    tuning = load_tuning({**CONFIG, "baselines": ["local"]})
    whole = Finetuning(tuning, tmp_path / "whole").run()
    count = 0

    def die(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise Killed

    names = {"data": "says", "step": "step", "round": "round", "game": "game"}
    with pytest.raises(Killed):
        Finetuning(tuning, tmp_path / "cut").run(Watching(**{names[where]: die}))
    again = Finetuning(tuning, tmp_path / "cut", resume=True).run()
    assert {v: x.losses for v, x in again.items()} == {v: x.losses for v, x in whole.items()}
    for variant in ("local", "federated"):
        states = [Checkpoints(tmp_path / d / variant, "").last() for d in ("whole", "cut")]
        ours, theirs = (s.tensors["adapters"] for s in states if s is not None)
        assert all(torch.equal(ours[n], theirs[n]) for n in ours)
        for name in ("ada", "ben"):
            runs = [
                front.Run.open(tmp_path / d / "play" / variant / name) for d in ("whole", "cut")
            ]
            said = [
                sorted((e.id, [m.text for m in e.messages]) for e in r.episodes()) for r in runs
            ]
            assert said[0] == said[1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"adaptor": {}}, "unknown key 'adaptor'; did you mean 'adapter'"),
        ({"adapter": {"method": "lorra"}}, "adapter.method: got 'lorra'; did you mean 'lora'"),
        ({"adapter": {"method": "lora", "rnak": 2}}, "adapter: unknown key 'rnak'; did you mean 'rank'"),
        ({"clients": {}}, "give clients or partition"),
        ({"clients": {"a": {}}}, "clients.a: nothing to learn from"),
        ({"clients": {"a": {"scenario": "bargain"}}}, "clients.a: teacher: missing"),
        ({"clients": {"a": {"scenario": "bargain", "teacher": "nano"}}}, "clients.a: seat: missing"),
        ({"clients": {"a": {"dialogues": "nowhere"}}}, "clients.a.dialogues: no such file or run: nowhere"),
        ({"clients": {"../a": {"messages": "x"}}}, "want a name that can be a folder"),
        ({"federation": {"rule": "fedavgg"}}, "federation.rule: no 'fedavgg'; did you mean 'fedavg'"),
        ({"federation": {"plan": {"lr": -1}}}, "federation.plan.lr: got -1"),
        ({"baselines": ["centralized"]}, "baselines.0: got \"centralized\""),
        ({"base": "no-such-model"}, "no-such-model"),
        ({"federation": {"rule": "scaffold"}}, "rule scaffold reads"),
        ({"federation": {"rule": "fedadam", "settings": {"lrr": 1}}}, "no setting 'lrr'; did you mean 'lr'"),
        ({"federation": {"cohorts": {"adda": "x"}}}, "no client 'adda'; did you mean 'ada'"),
        ({"adapter": "ia3", "federation": {"rule": "fedex"}}, "averages LoRA products"),
        ({"trackers": ["tensorbored"]}, "no 'tensorbored'; did you mean 'tensorboard'"),
        ({"held_out": 1.5}, "held_out: got 1.5"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_before_anything_is_learned(
    changes: dict[str, Any], told: str, moot: Moot, tmp_path: Path
) -> None:
    written(tmp_path, **changes)
    status, out, err = moot("finetune", "small.yaml", "--out", "run")
    last = err.splitlines()[-1]
    assert (status, out) == (2, "")
    assert told in last
    assert last.startswith("moot: ")
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists(), "nothing is in the way of a second try"


def test_a_file_that_is_no_yaml_or_not_there(moot: Moot, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("clients: [")
    status, _, err = moot("finetune", "bad.yaml")
    assert (status, "bad.yaml:1: not valid YAML" in err) == (2, True), err
    status, _, err = moot("finetune", "bat.yaml")
    assert (status, "no such file; did you mean 'bad.yaml'" in err) == (2, True)


def test_messages_and_dialogues_are_data_too_and_paths_count_from_the_file(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    rows = [json.dumps({"messages": turns, "kind": "xy"[i % 2]}) for i in range(8)]
    (tmp_path / "chat.jsonl").write_text("\n".join(rows) + "\n")
    front.simulate("bargain", agents={"*": "scripted:linear"}, episodes=4, out=tmp_path / "games")
    path = tmp_path / "t.yaml"
    clients = {"a": {"messages": "chat.jsonl"}, "b": {"dialogues": "games"}}
    path.write_text(yaml.safe_dump({**CONFIG, "clients": clients, "baselines": []}))
    found = Finetuning(load_tuning(path), tmp_path / "run").run()
    assert set(found["federated"].losses) == {"a", "b"}
    assert json.loads((tmp_path / "run" / "clients.json").read_text())["b"] == {
        "train": 6,
        "held_out": 2,
    }
    results = {v: read(x.losses, x.runs, {}) for v, x in found.items()}
    assert comparisons(results) == []
    partition = {"messages": "chat.jsonl", "by": "natural", "label": "kind"}
    path.write_text(yaml.safe_dump({"partition": partition, "federation": CONFIG["federation"]}))
    job = Finetuning(load_tuning(path), tmp_path / "cut")
    results = {v: read(x.losses, x.runs, {}) for v, x in job.run().items()}
    assert job.names() == ["x", "y"]
    share = recovered(results)
    assert share is not None
    assert math.isfinite(share)
    assert Finetuning.open(tmp_path / "cut").export("x", tmp_path / "out").is_dir()


def test_partitions_give_every_dialogue_to_one_client() -> None:
    labels = ["a"] * 500 + ["b"] * 300 + ["c"] * 200

    def shares(**more: Any) -> list[Counter[str]]:
        partition = Partition(dialogues="x", **more)
        places = cut(labels, partition, 1)
        assert sorted(i for rows in places.values() for i in rows) == list(range(1000))
        assert places == cut(labels, partition, 1)
        assert places != cut(labels, partition, 2) or more["by"] == "natural"
        return [Counter(labels[i] for i in rows) for rows in places.values()]

    assert [len(c) for c in shares(by="natural")] == [1, 1, 1]
    even = shares(by="even", clients=10)
    assert all(c.total() == 100 for c in even)
    assert max(c["a"] for c in even) < 75
    alike = shares(by="dirichlet", clients=10, alpha=1e4)
    assert all(abs(c["a"] / c.total() - 0.5) < 0.15 for c in alike)
    unlike = shares(by="dirichlet", clients=10, alpha=0.05)
    assert max(c["a"] / max(c.total(), 1) for c in unlike) > 0.9
    with pytest.raises(MootError, match="3 clients for 2"):
        cut(["a", "b"], Partition(dialogues="x", clients=3), 0)
    two = cut(labels, Partition(dialogues="x", by="natural", clients=2), 0)
    assert list(two) == ["a", "b"]
