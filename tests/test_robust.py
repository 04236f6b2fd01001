"""Robust rules: against brute force, against outliers, and against a change of gauge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moot.finetune.rules import lora_robust
from moot.finetune.rules.average import RULES as PLAIN
from moot.finetune.rules.average import Merge, average, fedavg
from moot.finetune.rules.gram import Factors, Lora, distances, gram, plain_gram
from moot.finetune.rules.lora import Merged, fedex, flora
from moot.finetune.rules.robust import (
    RULES,
    clip_weights,
    krum,
    krum_scores,
    krum_weights,
    median,
    multi_krum,
    multi_krum_weights,
    norm_clip,
    rfa,
    rfa_weights,
    trimmed_mean,
)
from moot.protocols import MootError

FEW = settings(max_examples=20, deadline=None)
SHAPES = {"w": (3, 4), "b": (5,), "s": ()}


def cloud(seed: int, k: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {n: torch.randn((k, *s), generator=g, dtype=torch.float64) for n, s in SHAPES.items()}


def zeros() -> dict[str, Tensor]:
    return {n: torch.zeros(s, dtype=torch.float64) for n, s in SHAPES.items()}


def rows(x: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.reshape(len(t), -1) for t in x.values()], 1)


def row(x: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in x.values()])


def run(
    rule: Callable[..., Merge], x: dict[str, Tensor], w: Tensor | None = None, **kw: object
) -> Tensor:
    return row(rule(x, torch.ones(len(x["s"])) if w is None else w, zeros(), {}, **kw).tensors)


# Number by number


@FEW
@given(st.integers(1, 20), st.integers(0, 99))
def test_median_and_trimmed_mean_are_those_of_numpy(k: int, seed: int) -> None:
    x = cloud(seed, k)
    table = rows(x).numpy()
    assert np.allclose(run(median, x), np.median(table, 0), rtol=1e-12)
    for bad in range((k + 1) // 2):
        expected = np.sort(table, 0)[bad : k - bad].mean(0)
        assert np.allclose(run(trimmed_mean, x, bad=bad), expected, rtol=1e-12)


def test_trimming_that_leaves_nothing() -> None:
    with pytest.raises(MootError, match="use 0 to 1"):
        run(trimmed_mean, cloud(0, 4), bad=2)
    assert torch.allclose(run(trimmed_mean, cloud(0, 4)), run(fedavg, cloud(0, 4)))


# By distances


def krum_by_hand(points: np.ndarray, bad: int) -> list[float]:
    """Blanchard et al. with loops: squared distances, the n - f - 2 nearest others."""
    scores: list[float] = []
    for i in range(len(points)):
        apart = sorted(
            float(((points[i] - points[j]) ** 2).sum()) for j in range(len(points)) if j != i
        )
        scores.append(sum(apart[: len(points) - bad - 2]))
    return scores


@FEW
@given(st.integers(3, 12), st.integers(0, 99))
def test_krum_is_that_of_the_paper(k: int, seed: int) -> None:
    x = cloud(seed, k)
    d = distances(plain_gram(x))
    for bad in range((k - 3) // 2 + 1):
        scores = krum_by_hand(rows(x).numpy(), bad)
        assert np.allclose(krum_scores(d, bad), scores)
        best = np.argsort(scores)
        assert torch.allclose(run(krum, x, bad=bad), rows(x)[int(best[0])])
        kept = rows(x)[torch.tensor(best[: k - bad].copy())]
        assert torch.allclose(run(multi_krum, x, bad=bad), kept.mean(0))
    assert torch.allclose(run(multi_krum, x, bad=0, keep=1), run(krum, x, bad=0))


def test_krum_takes_squared_distances_over_all_layers_together() -> None:
    """Sums of unsquared distances, layer by layer, choose another client in a good part of the cases."""
    otherwise = 0
    for seed in range(40):
        x = cloud(seed, 7)
        chosen = int(krum_weights(distances(plain_gram(x)), torch.ones(7), 2).argmax())
        assert chosen == int(np.argmin(krum_by_hand(rows(x).numpy(), 2)))
        layers = [t.reshape(7, -1) for t in x.values()]
        unsquared = torch.stack([torch.cdist(t, t) for t in layers]).sum(0)
        otherwise += chosen != int(krum_weights(unsquared, torch.ones(7), 2).argmax())
    assert otherwise > 5


def test_small_updates_of_a_large_model_keep_their_distances_in_float32() -> None:
    for seed in range(10):
        small = cloud(seed, 7)
        start = {n: torch.full(s, 1000.0) for n, s in SHAPES.items()}
        x = {n: (1000 + 0.1 * t).float() for n, t in small.items()}
        exact = int(krum_weights(distances(plain_gram(small)), torch.ones(7), 2).argmax())
        got = row(krum(x, torch.ones(7), start, {}, bad=2).tensors)
        assert torch.equal(got, rows(x)[exact])


def test_krum_needs_enough_clients() -> None:
    with pytest.raises(MootError, match="krum with 1 bad clients needs 5 or more; 4 are present"):
        run(krum, cloud(0, 4), bad=1)
    with pytest.raises(MootError, match="needs 3 or more; 2 are present"):
        run(krum, cloud(0, 2))
    with pytest.raises(MootError, match="cannot keep 9 of 5"):
        run(multi_krum, cloud(0, 5), keep=9)


@FEW
@given(st.integers(1, 9), st.integers(0, 99))
def test_the_geometric_median_is_the_minimum(k: int, seed: int) -> None:
    x, w = cloud(seed, k), torch.rand(k, generator=torch.Generator().manual_seed(seed)) + 0.1
    points, p = rows(x), (w / w.sum()).double()

    def cost(z: Tensor) -> float:
        return float((p * (points - z).norm(dim=1)).sum())

    z = run(rfa, x, w)
    g = torch.Generator().manual_seed(seed)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(5):
            nudge = size * torch.randn(len(z), generator=g, dtype=torch.float64)
            assert cost(z) <= cost(z + nudge) + 1e-6 * cost(z)
    assert cost(z) <= cost(run(fedavg, x, w)) + 1e-12


def test_the_geometric_median_where_clients_coincide() -> None:
    x = {n: t[[0, 0, 0, 1]] for n, t in cloud(1, 2).items()}
    assert torch.allclose(run(rfa, x), rows(x)[0], atol=1e-5)
    same = {n: t[[0, 0, 0]] for n, t in cloud(1, 1).items()}
    assert torch.allclose(run(rfa, same), rows(same)[0])


def test_the_geometric_median_on_a_line_is_the_weighted_median() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0], [50.0]], dtype=torch.float64)
    p = torch.tensor([0.2, 0.1, 0.4, 0.3], dtype=torch.float64)
    w = rfa_weights(torch.cdist(x, x).square(), p, steps=20000)
    assert float(w @ x[:, 0]) == pytest.approx(2.0, abs=1e-3)


def test_norm_clipping_by_hand() -> None:
    x, start = cloud(2, 4), {n: t[0] for n, t in cloud(3, 1).items()}
    w = torch.tensor([1.0, 2, 3, 4]).double()
    for most in (None, 0.5, 1e9, 0.0):
        u = rows(x) - row(start)
        limit = float(np.median(u.norm(dim=1))) if most is None else most
        factor = torch.minimum(limit / u.norm(dim=1), torch.ones(4))
        expected = row(start) + ((w / 10) * factor) @ u
        got = row(norm_clip(x, w, start, {}, most=most).tensors)
        assert torch.allclose(got, expected, rtol=1e-10)
    with pytest.raises(MootError, match="at least 0"):
        norm_clip(x, w, start, {}, most=-1.0)
    assert clip_weights(torch.zeros(2), torch.tensor([0.5, 0.5])).tolist() == [0.5, 0.5]


# Breakdown: what f clients can do at most


@FEW
@given(
    st.sampled_from(["median", "trimmed_mean", "krum", "multi_krum", "rfa", "norm_clip"]),
    st.integers(0, 99), st.sampled_from([1e2, 1e6, 1e12]), st.booleans(),
)  # fmt: skip
def test_outliers_move_the_model_no_further_than_the_good_are_apart(
    name: str, seed: int, far: float, together: bool
) -> None:
    good, bad = 7, 2
    x = cloud(seed, good + bad)
    g = torch.Generator().manual_seed(seed)
    for t in x.values():
        push = torch.randn(t.shape[1:], generator=g, dtype=torch.float64)
        for k in range(bad):
            t[good + k] = far * push * (1 if together or k == 0 else -1)
    points = rows(x)[:good]
    spread = float(torch.cdist(points, points).max())
    kw = {"bad": bad} if name in ("trimmed_mean", "krum", "multi_krum") else {}
    moved = float((run(RULES[name].function, x, **kw) - points.mean(0)).norm())
    assert moved <= 2 * spread
    assert float((run(fedavg, x) - points.mean(0)).norm()) > far / 100 or not together


def test_the_mean_has_no_such_bound() -> None:
    x = cloud(4, 9)
    calm = run(fedavg, x)
    x["w"][8] = 1e9
    for name, rule in RULES.items():
        kw = {"bad": 1} if name in ("trimmed_mean", "krum", "multi_krum") else {}
        assert float((run(rule.function, x, **kw) - calm).norm()) < 10, name
    assert float((run(fedavg, x) - calm).norm()) > 1e8


# Any rule


@pytest.mark.parametrize("name", RULES)
def test_order_scale_of_weights_and_absent_clients(name: str) -> None:
    x, w = cloud(5, 8), torch.tensor([1.0, 2, 3, 0, 4, 5, 2, 1])
    usual = run(RULES[name].function, x, w)
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    assert torch.allclose(
        run(RULES[name].function, {n: t[order] for n, t in x.items()}, w[order]), usual
    )
    assert torch.allclose(run(RULES[name].function, x, w * 100), usual)
    for t in x.values():
        t[3] = float("nan")
    assert torch.equal(run(RULES[name].function, x, w), usual)


@pytest.mark.parametrize("name", RULES)
def test_one_client_alone_is_the_model(name: str) -> None:
    x = cloud(6, 1)
    assert torch.allclose(run(RULES[name].function, x), rows(x)[0])


@pytest.mark.parametrize("name", [*RULES, *PLAIN])
def test_no_rule_writes_into_what_it_is_given(name: str) -> None:
    x, start = cloud(7, 3), {n: t[0] for n, t in cloud(8, 1).items()}
    before = torch.cat([rows(x).flatten(), row(start)])
    kw = {"steps": torch.ones(3), "client_lr": torch.ones(3)} if name == "scaffold" else {}
    ({**RULES, **PLAIN})[name].function(x, torch.tensor([1.0, 2, 3]), start, {}, **kw)
    assert torch.equal(torch.cat([rows(x).flatten(), row(start)]), before)


def test_names_do_not_clash() -> None:
    assert not RULES.keys() & PLAIN.keys()
    assert lora_robust.RULES.keys() == RULES.keys() - {"median", "trimmed_mean"}


# LoRA: products, in any gauge

LAYERS = {"q": (6, 6), "up": (9, 6), "down": (5, 8)}


def adapters(seed: int, ranks: list[int], size: float = 1.0) -> Lora:
    g = torch.Generator().manual_seed(seed)
    r, rank = max(ranks), torch.tensor(ranks)
    keep = (torch.arange(r) < rank[:, None]).double()
    k = len(ranks)
    layers = {
        n: Factors(
            torch.randn(k, r, i, generator=g, dtype=torch.float64) * keep[:, :, None],
            size * torch.randn(k, o, r, generator=g, dtype=torch.float64) * keep[:, None, :],
        )
        for n, (o, i) in LAYERS.items()
    }
    return Lora(layers, (8 / rank).double(), rank)


def gauged(lora: Lora, seed: int, client: int | None = None, rotation: bool = False) -> Lora:
    """(B Q, Q^-1 A) for every client or one of them; Q orthogonal or not."""
    g = torch.Generator().manual_seed(seed)
    layers = {n: Factors(f.a.clone(), f.b.clone()) for n, f in lora.layers.items()}
    for f in layers.values():
        for k, r in enumerate(lora.ranks.tolist()):
            q = torch.randn(r, r, generator=g, dtype=torch.float64) + 3 * torch.eye(r).double()
            q = torch.linalg.qr(q).Q if rotation else q
            if client is None or k == client:
                f.a[k, :r] = torch.linalg.solve(q, f.a[k, :r])
                f.b[k, :, :r] = f.b[k, :, :r] @ q
    return Lora(layers, lora.scale, lora.ranks)


def products(lora: Lora) -> Tensor:
    """scale_k B_k A_k, all layers flat, (K, numbers)."""
    s = lora.scale.view(-1, 1, 1)
    return torch.cat([(s * (f.b @ f.a)).flatten(1) for f in lora.layers.values()], 1)


def model(lora: Lora, merged: Merged) -> Tensor:
    total = products(Lora(merged.layers, lora.scale, lora.ranks))
    if merged.residual:
        total = total + torch.cat([(f.b @ f.a).flatten() for f in merged.residual.values()])
    return total


def sent_out(lora: Lora) -> Lora:
    return Lora(
        {n: Factors(f.a, torch.zeros_like(f.b)) for n, f in adapters(99, lora.ranks.tolist()).layers.items()},
        lora.scale, lora.ranks,
    )  # fmt: skip


@pytest.mark.parametrize("name", lora_robust.RULES)
@pytest.mark.parametrize("rotation", [True, False])
def test_a_change_of_gauge_changes_nothing(name: str, rotation: bool) -> None:
    lora, w = adapters(7, [3, 2, 3, 1, 3, 2, 3]), torch.rand(7) + 0.1
    w = torch.linspace(0.2, 1, 7)
    rule: Callable[..., Merged] = lora_robust.RULES[name].function
    other = gauged(lora, 7, rotation=rotation)
    assert not torch.allclose(other.layers["q"].b, lora.layers["q"].b)
    start = sent_out(lora)
    here, there = (model(x, rule(x, w, start, 0)) for x in (lora, other))
    assert torch.allclose(here, there, rtol=1e-8, atol=1e-8)
    same_rank = adapters(8, [3] * 7)
    for merge in (fedex, flora):
        a, b = (
            model(x, rule(x, w, sent_out(same_rank), 0, merge=merge))
            for x in (same_rank, gauged(same_rank, 8, rotation=rotation))
        )
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-8)


def test_a_turned_client_fools_krum_on_factors_but_not_on_products() -> None:
    """Client 0 is the most central product; turned by (B Q, Q^T A) it looks far away in factors."""
    crowd = adapters(9, [3] * 7, size=1.0)
    centre = adapters(10, [3] * 7)
    layers = {
        n: Factors(
            centre.layers[n].a[:1] + 0.1 * f.a * torch.linspace(0, 1, 7).view(-1, 1, 1),
            centre.layers[n].b[:1] + 0.1 * f.b * torch.linspace(0, 1, 7).view(-1, 1, 1),
        )
        for n, f in crowd.layers.items()
    }
    lora = Lora(layers, crowd.scale, crowd.ranks)
    turned = gauged(lora, 11, client=int(_chosen(gram(lora)).argmax()), rotation=True)
    factors = plain_gram(
        {n + half: x for n, f in turned.layers.items() for half, x in zip("AB", f, strict=True)}
    )
    assert torch.equal(_chosen(gram(lora)), _chosen(gram(turned)))
    assert not torch.equal(_chosen(gram(turned)), _chosen(factors))


def _chosen(g: Tensor) -> Tensor:
    return krum_weights(distances(g), torch.ones(len(g)), 2)


def test_lora_rules_are_the_plain_rules_on_dense_products() -> None:
    """Whatever merges keeps the mean: the same model as the plain rule on the products themselves."""
    lora, w = adapters(12, [3] * 7), torch.linspace(0.2, 1, 7).double()
    start = adapters(13, [3])
    start = Lora({n: Factors(f.a.expand(7, -1, -1), f.b.expand(7, -1, -1)) for n, f in start.layers.items()},
                 lora.scale, lora.ranks)  # fmt: skip
    plain = {"all": products(lora)}
    before = {"all": products(start)[0]}
    for name, settings_ in (
        ("krum", {"bad": 1}), ("multi_krum", {"bad": 2}), ("multi_krum", {"bad": 1, "keep": 3}),
        ("rfa", {}), ("norm_clip", {}), ("norm_clip", {"most": 3.0}),
    ):  # fmt: skip
        dense = RULES[name].function(plain, w, before, {}, **settings_).tensors["all"]
        for merge in (fedex, flora):
            got = model(
                lora, lora_robust.RULES[name].function(lora, w, start, 0, merge=merge, **settings_)
            )
            assert torch.allclose(got, dense.expand_as(got), rtol=1e-7, atol=1e-7), (name, merge)


@pytest.mark.parametrize("name", lora_robust.RULES)
def test_lora_outliers_order_and_absent_clients(name: str) -> None:
    lora, w = adapters(14, [3] * 8), torch.tensor([1.0, 1, 1, 1, 1, 1, 0, 1])
    for f in lora.layers.values():
        f.b[7] *= 1e8
        f.a[6], f.b[6] = float("nan"), float("nan")
    rule = lora_robust.RULES[name].function
    kw = {"bad": 1} if "krum" in name else {}
    usual = model(lora, rule(lora, w, sent_out(lora), 0, **kw))
    assert bool((usual.norm(dim=1) < 2 * products(lora)[:6].norm(dim=1).max()).all())
    order = torch.tensor([7, 1, 6, 0, 2, 5, 3, 4])
    mixed = Lora(
        {n: Factors(f.a[order], f.b[order]) for n, f in lora.layers.items()}, lora.scale, lora.ranks
    )
    again = model(mixed, rule(mixed, w[order], sent_out(lora), 0, **kw))
    assert torch.allclose(again, usual[order], rtol=1e-6, atol=1e-6)


def test_weights_of_a_judge_are_a_mean() -> None:
    d = distances(plain_gram(cloud(15, 7)))
    p = torch.full((7,), 1 / 7, dtype=torch.float64)
    for w in (krum_weights(d, p), multi_krum_weights(d, p), rfa_weights(d, p)):
        assert float(w.sum()) == pytest.approx(1)
        assert bool((w >= 0).all())
    assert average(cloud(15, 7), rfa_weights(d, p))["w"].shape == (3, 4)
