"""The federated loop: what a round does to every client, and that nothing can stop it from going on."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from test_bank import AGENTS, VOCABULARY
from test_train import drawn
from torch import Tensor

from moot.finetune import checkpoint
from moot.finetune.aggregation import PLAIN, PRODUCT, RULES
from moot.finetune.bank import AdapterBank
from moot.finetune.clients import LocalClients, Order, Update, Watch
from moot.finetune.examples import Example
from moot.finetune.federated import federate
from moot.finetune.methods.bottleneck import Bottleneck
from moot.finetune.methods.ia3 import IA3
from moot.finetune.methods.lora import LoRA
from moot.finetune.methods.lora_xs import LoRAXS
from moot.finetune.methods.prefix import Prefix, Prompt
from moot.finetune.rounds import Federation, Round
from moot.finetune.train import Plan, evaluate, train
from moot.protocols import MootError

LORA = LoRA(rank=2, alpha=4, targets="all-linear")
METHODS = {
    "lora": LORA, "bottleneck": Bottleneck(size=2), "prefix": Prefix(tokens=2),
    "prompt": Prompt(tokens=2), "ia3": IA3(), "lora_xs": LoRAXS(rank=3),
}  # fmt: skip
PLAN = Plan(steps=2, batch=2, lr=5e-3)
SGD = Plan(steps=3, batch=2, lr=0.05, optimizer="sgd", clip=None)
NEEDS: dict[str, dict[str, Any]] = {
    "scaffold": {"plan": SGD}, "fedprox": {"prox": 0.1},
    "krum": {"settings": {"bad": 0}}, "multi_krum": {"settings": {"bad": 0, "keep": 2}},
}  # fmt: skip


def bank(spec: Any = LORA, agents: Any = AGENTS, **more: Any) -> AdapterBank:
    return AdapterBank(tiny.model("llama", VOCABULARY), spec, agents, **more)


def data(agents: Any = AGENTS) -> dict[str, list[Example]]:
    return {a: drawn(a, 4 + 3 * i) for i, a in enumerate(agents)}


def held_out(agents: Any = AGENTS) -> dict[str, list[Example]]:
    return {a: drawn(a, 3, seed=9) for a in agents}


def run(
    spec: Any = LORA, made: AdapterBank | None = None, **fields: Any
) -> tuple[AdapterBank, list[Round]]:
    made = made or bank(spec)
    given: dict[str, Any] = {"plan": PLAN, "rounds": 2, "held_out": held_out(), **fields}
    return made, list(federate(made, data(), **given))


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("rule", sorted(set(RULES)))
def test_every_rule_runs_on_lora_and_reports(rule: str) -> None:
    made, rounds = run(rule=rule, **NEEDS.get(rule, {}))
    assert [r.number for r in rounds] == [0, 1]
    assert [r.ended for r in rounds] == [None, "last"]
    for r in rounds:
        assert set(r.after) == set(r.before) == set(r.trained) == set(AGENTS)
        assert r.tokens > 0
        assert set(r.seconds) == {"train", "aggregate", "evaluate"}
        assert (r.bytes_up > 0) == (r.bytes_down > 0) == (rule != "local")
        assert all(torch.isfinite(t).all() for t in made.tensors.values())
        if rule not in ("fedsa", "local"):
            assert r.error is not None
            assert r.size is not None
            assert r.rank is not None
            assert set(r.norms) == set(AGENTS)
            assert min(r.norms.values()) > 0
    assert rounds[1].before == rounds[0].after


@pytest.mark.parametrize("rule", sorted(PLAIN))
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"lora"}))
def test_plain_rules_average_every_method(rule: str, method: str) -> None:
    made, rounds = run(METHODS[method], rule=rule, rounds=1, **NEEDS.get(rule, {}))
    for t in made.tensors.values():
        assert torch.equal(t[0], t[1])
        assert torch.equal(t[0], t[2])
    assert rounds[0].error is None
    assert min(rounds[0].norms.values()) > 0


def test_one_round_of_fedavg_is_training_apart_and_then_the_weighted_mean() -> None:
    made, rounds = run(rule="fedavg", rounds=1)
    alone = bank()
    for _ in train(alone, data(), PLAN, round=0):
        pass
    share = torch.tensor([4.0, 7, 10]) / 21
    for n, t in alone.tensors.items():
        mean = torch.einsum("k,k...->...", share, t.detach())
        assert torch.allclose(made.tensors[n][1], mean, atol=1e-7)
    assert rounds[0].trained == evaluate(alone, held_out())
    assert rounds[0].after == evaluate(made, held_out())


def test_alone_in_the_world_federated_is_local_training() -> None:
    for rule in ("fedavg", "local", "fedit"):
        made = bank(agents=["ann"])
        list(federate(made, {"ann": drawn("ann", 5)}, rule=rule, rounds=2, plan=PLAN))
        alone = bank(agents=["ann"])
        for n in range(2):
            list(train(alone, {"ann": drawn("ann", 5)}, PLAN, round=n))
        assert same(made.state(), alone.state())


def test_local_is_every_client_alone() -> None:
    made, _ = run(rule="local")
    for agent in AGENTS:
        alone = bank()
        list(federate(alone, {agent: data()[agent]}, rule="local", rounds=2, plan=PLAN))
        assert all(
            torch.allclose(made.slice(agent)[n], t, atol=1e-6)
            for n, t in alone.slice(agent).items()
        )


def dense(made: AdapterBank, agent: str, layer: str) -> Tensor:
    """The weight that this client's model multiplies with."""
    k = made.index(agent)
    a, b = (made.tensors[f"{layer}.lora_{x}"].detach()[k].double() for x in "AB")
    return made.fitted.layers[layer].weight.double() + float(made.fitted.scales[k]) * (b @ a)


@pytest.mark.parametrize(
    ("rule", "exact"),
    [
        ("fedex", True),
        ("flora", True),
        ("flexlora", False),
        ("fedit", False),
        ("ffa", True),
        ("rolora", True),
    ],
)
def test_exact_rules_give_the_mean_of_the_models_and_the_error_says_how_far_the_others_are(
    rule: str, exact: bool
) -> None:
    plan = PLAN.model_copy(update={"steps": 6, "lr": 0.05})
    made, rounds = run(rule=rule, plan=plan, rounds=1)
    alone = bank()
    frozen = {"ffa": "lora_A", "rolora": "lora_A"}.get(rule, "nothing")
    list(train(alone, data(), plan, only=lambda n: not n.endswith(frozen), round=0))
    share = torch.tensor([4.0, 7, 10], dtype=torch.float64) / 21
    off = 0.0
    for layer in alone.fitted.layers:
        models = [dense(alone, a, layer) for a in AGENTS]
        mean = torch.einsum("k,kij->ij", share, torch.stack(models))
        off += float((dense(made, "bob", layer) - mean).square().sum())
    error = rounds[0].error
    assert error is not None
    if exact:
        assert off**0.5 < 1e-4
    if rule == "fedit":
        assert off**0.5 == pytest.approx(error, rel=1e-3)
        assert error > 1e-3


def test_mixed_ranks_are_averaged_by_the_rules_that_can_and_refused_by_the_others() -> None:
    spec = LoRA(rank={"ann": 1, "bob": 3, "cleo": 2}, targets="all-linear")
    for rule in ("flora", "flexlora", "hetlora", "local", "krum"):
        made, rounds = run(spec, rule=rule, **NEEDS.get(rule, {}))
        assert not made.tensors["model.layers.0.self_attn.q_proj.lora_A"][0, 1:].any()
        assert rounds[0].bytes_up < 3 * sum(t[0].numel() * 4 for t in made.tensors.values())
    with pytest.raises(MootError, match=r"fedit needs equal ranks.*flexlora"):
        run(spec, rule="fedit")
    with pytest.raises(MootError, match="one size"):
        run(Bottleneck(size={"ann": 1, "bob": 2, "cleo": 2}), rule="fedavg")


def test_personal_parts_and_personal_rules_keep_them_at_home() -> None:
    pattern = "model.layers.1.*"
    made, rounds = run(rule="fedavg", local=(pattern,))
    _whole, all_rounds = run(rule="fedavg")
    assert rounds[0].bytes_up < all_rounds[0].bytes_up
    for n, t in made.tensors.items():
        assert torch.equal(t[0], t[1]) != (".layers.1." in n)
    made, rounds = run(rule="fedsa")
    for n, t in made.tensors.items():
        assert torch.equal(t[0], t[1]) == n.endswith("lora_A")
    assert rounds[0].error is None


def test_cohorts_are_averaged_apart() -> None:
    made, _ = run(rule="fedadam", cohorts={"ann": "sellers", "cleo": "sellers", "bob": "buyers"})
    for t in made.tensors.values():
        assert torch.equal(t[0], t[2])
    assert any(not torch.equal(t[0], t[1]) for t in made.tensors.values())
    two = bank(agents=["ann", "cleo"])
    list(federate(two, {a: data()[a] for a in two.agents}, rule="fedadam", rounds=2, plan=PLAN))
    for n, t in two.tensors.items():
        assert torch.allclose(t[0], made.tensors[n][0], atol=1e-6)


def test_ditto_pulls_personal_models_to_the_common_one() -> None:
    def distance(strength: float) -> float:
        made = bank()
        clients = LocalClients(made, data(), held_out())
        list(federate(made, clients, rule="fedavg", ditto=strength, rounds=2, plan=SGD))
        off = sum(float((clients.personal[n] - t).square().sum()) for n, t in made.state().items())
        common, _ = run(rule="fedavg", plan=SGD)
        assert same(made.state(), common.state()), "the common model is as without Ditto"
        return off

    assert distance(10.0) < 0.5 * distance(1e-6)


def test_a_strong_prox_holds_clients_near_what_they_were_sent() -> None:
    _free, loose = run(rule="fedavg", plan=SGD, rounds=1)
    _held, tight = run(rule="fedprox", prox=15.0, plan=SGD, rounds=1)
    assert sum(tight[0].norms.values()) < 0.9 * sum(loose[0].norms.values())


@pytest.mark.parametrize("select", ["uniform", "weighted"])
def test_selection_draws_a_share_and_absent_clients_take_part_in_what_comes_of_it(
    select: Any,
) -> None:
    made, rounds = run(rule="fedavg", select=select, fraction=0.34, rounds=12, plan=PLAN)
    assert all(len(r.selected) == 1 for r in rounds)
    assert {r.selected[0] for r in rounds} == set(AGENTS)
    for t in made.tensors.values():
        assert torch.equal(t[0], t[1])
        assert torch.equal(t[0], t[2])
    assert all(set(r.after) == set(AGENTS) for r in rounds)


def test_weighted_selection_goes_by_examples() -> None:
    from moot.finetune.federated import Server

    made = bank()
    clients = LocalClients(
        made, {"ann": drawn("ann", 1), "bob": drawn("bob", 3), "cleo": drawn("cleo", 6)}
    )
    server = Server(made, clients, Federation(select="weighted", fraction=0.34))
    counts = dict.fromkeys(AGENTS, 0)
    for n in range(3000):
        counts[server._select(n)[0][0]] += 1  # pyright: ignore[reportPrivateUsage]
    for agent, want in {"ann": 0.1, "bob": 0.3, "cleo": 0.6}.items():
        assert counts[agent] / 3000 == pytest.approx(want, abs=0.04)


def test_dropouts_are_recorded_and_one_always_answers() -> None:
    _, rounds = run(rule="fedavg", dropout=0.5, rounds=8)
    assert len({len(r.dropped) for r in rounds}) > 1
    assert all(len(r.dropped) < 3 for r in rounds)
    for r in rounds:
        assert set(r.norms) == set(AGENTS) - set(r.dropped)
    _, rounds = run(rule="fedavg", dropout=1.0, rounds=1)
    assert len(rounds[0].dropped) == 2


def test_a_client_without_examples_is_carried_along() -> None:
    made = bank()
    given = {**data(), "bob": []}
    rounds = list(federate(made, given, rule="fedavg", rounds=2, plan=PLAN, held_out=held_out()))
    assert rounds[0].selected == ["ann", "cleo"]
    assert "bob" in rounds[0].after
    for t in made.tensors.values():
        assert torch.equal(t[0], t[1])
    with pytest.raises(MootError, match="no client has an example"):
        list(federate(bank(), {a: [] for a in AGENTS}, plan=PLAN))


class Broken(LocalClients):
    """Some clients answer nonsense from a round on."""

    spoil: dict[str, float]
    since = 0

    def fit(self, orders: Mapping[str, Order], watch: Watch | None = None) -> dict[str, Update]:
        updates = super().fit(orders, watch)
        for name, value in self.spoil.items():
            if next(iter(orders.values())).round >= self.since:
                tensors = {n: torch.full_like(x, value) for n, x in updates[name].tensors.items()}
                updates[name] = updates[name]._replace(tensors=tensors)
        return updates


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_a_broken_client_is_set_aside_with_the_reason(value: float) -> None:
    made = bank()
    clients = Broken(made, data(), held_out())
    clients.spoil = {"bob": value}
    (one,) = federate(made, clients, rule="fedavg", rounds=1, plan=PLAN)
    assert [a.client for a in one.aside] == ["bob"]
    assert set(one.norms) == {"ann", "cleo"}
    assert "bob set aside" in str(one)
    two = bank()
    rest = {a: data()[a] for a in ("ann", "cleo")}
    list(federate(two, rest, rule="fedavg", rounds=1, plan=PLAN))
    assert all(
        torch.allclose(made.slice("bob")[n], t, atol=1e-6) for n, t in two.slice("ann").items()
    )


def test_when_nobody_sends_anything_usable_the_last_good_state_stays(tmp_path: Path) -> None:
    made = bank()
    clients = Broken(made, data(), held_out())
    clients.spoil, clients.since = dict.fromkeys(AGENTS, float("nan")), 1
    rounds = federate(made, clients, rule="fedavg", rounds=3, plan=PLAN, folder=tmp_path / "r")
    next(rounds)
    good = made.state()
    with pytest.raises(MootError, match="no client of 3 sent a usable update"):
        next(rounds)
    assert same(made.state(), good)
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["round-0001"]


def test_a_client_whose_training_explodes_keeps_its_own_part() -> None:
    made = bank()
    plan = Plan(steps=2, batch=2, lr=1e30, optimizer="sgd", clip=None)
    with pytest.raises(MootError, match="no client of 3"):
        list(
            federate(made, data(), rule="fedavg", local=("model.layers.1.*",), rounds=1, plan=plan)
        )
    assert same(made.state(), bank().state())


RESUMED: dict[str, dict[str, Any]] = {
    "fedavg": {"select": "uniform", "fraction": 0.7, "dropout": 0.3},
    "fedadam": {}, "scaffold": {"plan": SGD}, "fedex": {}, "rolora": {}, "fedsa": {}, "local": {},
    "ditto": {"rule": "fedavg", "ditto": 0.1}, "fedper": {"rule": "fedavg", "local": ("*.layers.1.*",)},
    "decay": {"rule": "fedavg", "decay": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(RESUMED))
def test_a_killed_run_resumes_to_the_same_bits(case: str, tmp_path: Path) -> None:
    fields = {"rule": case, **RESUMED[case], "rounds": 4}
    spec = LORA.model_copy(update={"dropout": 0.1})
    whole, rounds = run(spec, folder=tmp_path / "whole", **fields)
    interrupted = bank(spec)
    given: dict[str, Any] = {
        "plan": PLAN,
        "held_out": held_out(),
        "folder": tmp_path / "cut",
        **fields,
    }
    # Two rounds are kept; the third is cut off in the middle of its training.
    killed = federate(interrupted, data(), **given, watch=die(after=5))
    with pytest.raises(Killed):
        list(killed)
    assert sorted(p.name for p in (tmp_path / "cut").iterdir())[-1] in ("round-0001", "round-0002")
    again = bank(spec)
    rest = list(federate(again, data(), **given, resume=True))
    assert same(again.state(), whole.state())
    assert rest[-1].number == 3
    assert len(rest) < 4
    for one, other in zip(rest, rounds[-len(rest) :], strict=True):
        assert (one.selected, one.dropped, one.ended) == (
            other.selected,
            other.dropped,
            other.ended,
        )
        assert one.after == pytest.approx(other.after, rel=1e-6)
        assert one.norms == pytest.approx(other.norms, rel=1e-4)
    base = dict(whole.model.named_parameters())
    assert all(torch.equal(w, base[n]) for n, w in again.model.named_parameters())
    assert list(federate(bank(spec), data(), **given, resume=True)) == [], "nothing is left to do"


class Killed(BaseException):
    """Not to be caught."""


def die(after: int) -> Watch:
    steps = itertools.count()

    def watch(step: object) -> None:
        if next(steps) == after:
            raise Killed

    return watch


def test_a_torn_checkpoint_never_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    given: dict[str, Any] = {"plan": PLAN, "rule": "fedavg", "rounds": 3, "folder": folder}
    real = checkpoint.os.replace

    def torn(source: Any, target: Any) -> None:
        if str(target).endswith("0002"):
            raise Killed
        real(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", torn)
    with pytest.raises(Killed):
        list(federate(bank(), data(), **given))
    monkeypatch.undo()
    assert [p.name for p in folder.glob("round-*")] == ["round-0001"]
    again = bank()
    rest = list(federate(again, data(), **given, resume=True))
    assert [r.number for r in rest] == [1, 2]
    whole = bank()
    list(federate(whole, data(), **{**given, "folder": None}))
    assert same(again.state(), whole.state())
    assert sorted(p.name for p in folder.iterdir()) == ["round-0002", "round-0003"], "two are kept"


def test_resuming_with_more_rounds_goes_on_and_with_other_settings_is_refused(
    tmp_path: Path,
) -> None:
    given: dict[str, Any] = {"plan": PLAN, "rule": "fedavg", "folder": tmp_path / "r"}
    list(federate(bank(), data(), **given, rounds=2))
    (more,) = federate(bank(), data(), **given, rounds=3, resume=True)
    assert more.number == 2
    assert more.ended == "last"
    with pytest.raises(MootError, match="begun with other settings"):
        list(federate(bank(), data(), **{**given, "rule": "fedit"}, rounds=4, resume=True))
    with pytest.raises(MootError, match="holds rounds already; add resume=True"):
        list(federate(bank(), data(), **given))
    (tmp_path / "r" / "round-0003" / "adapters.safetensors").write_bytes(b"torn")
    with pytest.raises(MootError, match=r"round-0003 is damaged.*delete it"):
        list(federate(bank(), data(), **given, rounds=4, resume=True))
    shutil.rmtree(tmp_path / "r" / "round-0003")
    assert [r.number for r in federate(bank(), data(), **given, rounds=3, resume=True)] == [2]


def test_it_stops_at_a_target_and_on_a_plateau() -> None:
    _, rounds = run(rule="fedavg", rounds=9, target=1e9)
    assert [r.ended for r in rounds] == ["target"]
    still = PLAN.model_copy(update={"lr": 0.0})
    _, rounds = run(rule="fedavg", rounds=9, patience=2, plan=still)
    assert [r.ended for r in rounds] == [None, None, "plateau"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rule": "fedavgg"}, "no aggregation rule 'fedavgg'; did you mean 'fedavg'"),
        ({"rule": "fedavgm", "settings": {"momentun": 1}}, "no setting 'momentun'; did you mean 'momentum'"),
        ({"rule": "fedavg", "settings": {"lr": 1}}, "no setting 'lr'; it takes none"),
        ({"rule": "scaffold"}, "scaffold reads.*optimizer: sgd"),
        ({"rule": "fedprox"}, "set prox"),
        ({"rule": "fedsb"}, "use that method and rule fedavg"),
        ({"rule": "krum", "settings": {"merge": "fedix"}}, "merge 'fedix'.*'fedit'"),
        ({"cohorts": {"anne": "x"}}, "no client 'anne'; did you mean 'ann'"),
        ({"cohorts": {"ann": "x"}, "rule": "fedex"}, "moves the base"),
        ({"local": ("layers.9",)}, "no tensor matches"),
        ({"local": ("*layers.1*",), "rule": "fedex"}, "local tensors go with rule fedavg"),
        ({"round": 3}, "no setting 'round'; did you mean 'rounds'"),
        ({"rounds": 0}, "rounds: .*greater than or equal to 1"),
        ({"fraction": 2}, "fraction"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_in_words(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(MootError, match=words):
        run(**fields)


def test_lora_rules_are_refused_elsewhere_and_unlike_starts_too() -> None:
    with pytest.raises(MootError, match="averages LoRA products; use method lora"):
        run(IA3(), rule="fedex")
    with pytest.raises(MootError, match="start='same'"):
        run(made=bank(start="own"), rule="fedavg")
    assert set(PRODUCT) & set(PLAIN) == {"krum", "multi_krum", "rfa", "norm_clip"}
