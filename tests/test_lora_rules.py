"""Rules for LoRA against the dense product: what each preserves, and the mistakes others made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moot.finetune.rules import gram as geometry
from moot.finetune.rules.average import average
from moot.finetune.rules.gram import (
    Factors,
    Lora,
    about,
    aggregation_error,
    checked,
    distances,
    effective_rank,
    flat,
    gram,
    norms,
    paired,
    plain_gram,
    product_norms,
    singular_values,
    stacked,
    svd,
    update_norms,
    with_start,
)
from moot.finetune.rules.lora import (
    RULES,
    Merged,
    fedex,
    fedit,
    fedsa,
    ffa,
    flexlora,
    flora,
    hetlora,
    rolora,
    sent,
    trained,
)
from moot.finetune.rules.lora_robust import RULES as ROBUST
from moot.protocols import MootError

SHAPES = {"q": (6, 6), "up": (9, 6), "down": (5, 8)}
"""Layer -> (out, in); the square one is where a transposed residual would fit."""
FEW = settings(max_examples=15, deadline=None)


def drawn(seed: int, ranks: list[int], *, scales: bool = False, r: int | None = None) -> Lora:
    g = torch.Generator().manual_seed(seed)
    k, r = len(ranks), r or max(ranks)
    rank = torch.tensor(ranks)
    keep = (torch.arange(r) < rank[:, None]).double()
    layers = {
        n: Factors(
            torch.randn(k, r, i, generator=g, dtype=torch.float64) * keep[:, :, None],
            torch.randn(k, o, r, generator=g, dtype=torch.float64) * keep[:, None, :],
        )
        for n, (o, i) in SHAPES.items()
    }
    scale = 8 / rank if scales else torch.full((k,), 2.0)
    return Lora(layers, scale.double(), rank)


def weighted(seed: int, k: int) -> Tensor:
    return torch.rand(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def dense(lora: Lora) -> dict[str, Tensor]:
    """scale_k B_k A_k, (K, out, in), as it is never formed in the library."""
    s = lora.scale.view(-1, 1, 1)
    return {n: s * torch.einsum("kor,kri->koi", f.b, f.a) for n, f in lora.layers.items()}


def dense_mean(lora: Lora, w: Tensor) -> dict[str, Tensor]:
    p = w / w.sum()
    return {n: torch.einsum("k,koi->oi", p, x) for n, x in dense(lora).items()}


def models(lora: Lora, merged: Merged) -> dict[str, Tensor]:
    """What is added to the base weight for every client, residual included, (K, out, in)."""
    adapters = dense(Lora(merged.layers, lora.scale, lora.ranks))
    return {
        n: x + (merged.residual[n].b @ merged.residual[n].a if merged.residual else 0)
        for n, x in adapters.items()
    }


def begun(like: Lora, seed: int = 77) -> Lora:
    """A usual start: A random, B zero, cut to each client's rank."""
    start = drawn(seed, like.ranks.tolist(), r=like.layers["q"].a.shape[1])
    layers = {n: Factors(f.a, torch.zeros_like(f.b)) for n, f in start.layers.items()}
    return Lora(layers, like.scale, like.ranks)


def close(a: Tensor, b: Tensor, tol: float = 1e-10) -> bool:
    return torch.allclose(a, b, rtol=tol, atol=tol)


def frozen(lora: Lora, half: str) -> Lora:
    """All clients with the A (or B) of the first."""
    layers = {
        n: Factors(
            f.a[:1].expand_as(f.a).clone() if half == "A" else f.a,
            f.b[:1].expand_as(f.b).clone() if half == "B" else f.b,
        )
        for n, f in lora.layers.items()
    }
    return Lora(layers, lora.scale, lora.ranks)


def gauged(lora: Lora, seed: int) -> Lora:
    """(B Q_k, Q_k^-1 A) for a random, far from orthogonal Q_k of each client."""
    g = torch.Generator().manual_seed(seed)
    layers: dict[str, Factors] = {}
    for n, f in lora.layers.items():
        a, b = f.a.clone(), f.b.clone()
        for k, r in enumerate(lora.ranks.tolist()):
            q = torch.randn(r, r, generator=g, dtype=torch.float64) + 2 * torch.eye(r).double()
            q = q * 10 ** torch.empty(1).uniform_(-1, 1, generator=g).double()
            a[k, :r] = torch.linalg.solve(q, a[k, :r])
            b[k, :, :r] = b[k, :, :r] @ q
        layers[n] = Factors(a, b)
    return Lora(layers, lora.scale, lora.ranks)


# Gram matrices


@FEW
@given(st.lists(st.integers(1, 4), min_size=1, max_size=11), st.integers(0, 99))
def test_grams_are_those_of_dense_products_in_any_gauge(ranks: list[int], seed: int) -> None:
    lora = drawn(seed, ranks, scales=True)
    rows = torch.cat([x.flatten(1) for x in dense(lora).values()], 1)
    assert close(gram(lora), rows @ rows.T)
    assert close(gram(gauged(lora, seed)), rows @ rows.T, 1e-8)
    assert close(distances(gram(lora)), torch.cdist(rows, rows).square(), 1e-8)
    assert close(product_norms(lora), rows.norm(dim=1))
    assert close(plain_gram(dense(lora)), rows @ rows.T)
    w = weighted(seed, len(ranks))
    w = w / w.sum()
    assert close(norms(about(gram(lora), w)), (rows - w @ rows).norm(dim=1), 1e-6)


@FEW
@given(st.integers(1, 11), st.integers(0, 99))
def test_the_certificate_is_what_averaging_factors_throws_away(k: int, seed: int) -> None:
    lora, w = drawn(seed, [3] * k), weighted(seed, k)
    mean = models(lora, fedit(lora, w, begun(lora), 0))
    lost = sum(float((x - mean[n][0]).square().sum()) for n, x in dense_mean(lora, w).items())
    assert aggregation_error(lora, w) == pytest.approx(lost**0.5, rel=1e-9, abs=1e-12)


def test_the_certificate_is_exact_where_errors_are_tiny() -> None:
    """Centred factors: no difference of large numbers, so 1e-7 of a float32 adapter is still seen."""
    lora = frozen(frozen(drawn(1, [3] * 4), "A"), "B")
    w = torch.ones(4)
    assert aggregation_error(lora, w) == 0
    g = torch.Generator().manual_seed(0)
    for f in lora.layers.values():
        f.a.add_(torch.randn(f.a.shape, generator=g, dtype=torch.float64), alpha=1e-3)
        f.b.add_(torch.randn(f.b.shape, generator=g, dtype=torch.float64), alpha=1e-3)
    single = Lora(
        {n: Factors(f.a.float(), f.b.float()) for n, f in lora.layers.items()},
        lora.scale,
        lora.ranks,
    )
    assert aggregation_error(single, w) == pytest.approx(aggregation_error(lora, w), rel=1e-2)
    assert aggregation_error(lora, w) < 1e-4


def test_an_absent_client_spoils_no_certificate() -> None:
    lora, w = drawn(2, [3] * 4), torch.tensor([1.0, 0, 2, 1])
    here = w > 0
    rest = geometry.present(lora, here)
    expected = aggregation_error(rest, w[here])
    lora.layers["q"].a[1] = float("nan")
    assert aggregation_error(lora, w) == pytest.approx(expected)


def test_singular_values_and_effective_rank() -> None:
    lora = drawn(3, [4] * 3)
    for f in lora.layers.values():
        assert close(singular_values(f), torch.linalg.svdvals(f.b @ f.a)[:, :4])
        u, s, vh = svd(Factors(f.a[0], f.b[0]))
        assert close(u * s @ vh, f.b[0] @ f.a[0])
        assert close(s, torch.linalg.svdvals(f.b[0] @ f.a[0])[:4])
    sigma = torch.tensor([[2.0, 2, 2, 2], [5, 0, 0, 0], [0, 0, 0, 0]])
    assert effective_rank(sigma).tolist() == pytest.approx([4, 1, 0])
    a, b = effective_rank(torch.tensor([3.0, 1.0])), torch.tensor([0.75, 0.25])
    assert float(a) == pytest.approx(float((-(b * b.log()).sum()).exp()))


def test_no_out_by_in_matrix_is_ever_formed() -> None:
    """A layer of 40000 x 30000: its dense product alone would take 4.8 GB."""
    g = torch.Generator().manual_seed(4)
    k, r = 3, 2
    f = Factors(torch.randn(k, r, 30000, generator=g), torch.randn(k, 40000, r, generator=g))
    lora = Lora({"w": f}, torch.ones(k), torch.full((k,), r))
    w = torch.ones(k)
    sizes: list[int] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):  # pyright: ignore
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for t in out if isinstance(out, tuple | list) else (out,):
                if isinstance(t, Tensor):
                    sizes.append(t.numel())
            return out

    start = begun_like(lora)
    with Watch():
        gram(lora), aggregation_error(lora, w), effective_rank(singular_values(f))
        for rule in (fedit, fedex, flora, flexlora, hetlora, fedsa):
            rule(lora, w, start, 0)
    assert sizes
    assert max(sizes) <= k * r * 70000


def begun_like(lora: Lora) -> Lora:
    layers = {n: Factors(f.a, torch.zeros_like(f.b)) for n, f in lora.layers.items()}
    return Lora(layers, lora.scale, lora.ranks)


# What each rule preserves


def test_fedit_is_the_mean_of_factors_and_not_of_products() -> None:
    lora, w = drawn(5, [3] * 4), weighted(5, 4)
    merged = fedit(lora, w, begun(lora), 0)
    means = average(flat(lora.layers), w)
    for n, f in merged.layers.items():
        for k in range(4):
            assert close(f.a[k], means[n + ".lora_A"])
            assert close(f.b[k], means[n + ".lora_B"])
    assert merged.residual == {}
    assert not close(models(lora, merged)["q"][0], dense_mean(lora, w)["q"], 1e-2)


@FEW
@given(st.integers(1, 6), st.integers(0, 99))
def test_fedex_keeps_the_mean_of_products(k: int, seed: int) -> None:
    lora, w = drawn(seed, [3] * k), weighted(seed, k)
    merged = fedex(lora, w, begun(lora), 0)
    for n, x in models(lora, merged).items():
        assert close(x, dense_mean(lora, w)[n].expand_as(x))
    plain = fedit(lora, w, begun(lora), 0)
    assert all(torch.equal(merged.layers[n].b, plain.layers[n].b) for n in SHAPES)


def test_the_residual_is_not_transposed_on_square_layers() -> None:
    lora, w = drawn(6, [2] * 3), weighted(6, 3)
    for rule in (fedex, flora):
        f = rule(lora, w, begun(lora), 0).residual["q"]
        base = dense(Lora(rule(lora, w, begun(lora), 0).layers, lora.scale, lora.ranks))["q"][0]
        assert close(base + f.b @ f.a, dense_mean(lora, w)["q"])
        assert not close(base + (f.b @ f.a).T, dense_mean(lora, w)["q"], 1e-2)


@FEW
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 99))
def test_flora_keeps_the_mean_of_products_for_mixed_ranks_and_scales(
    ranks: list[int], seed: int
) -> None:
    lora, w = drawn(seed, ranks, scales=True), weighted(seed, len(ranks))
    start = begun(lora)
    merged = flora(lora, w, start, 0)
    for n, x in models(lora, merged).items():
        assert close(x, dense_mean(lora, w)[n].expand_as(x))
        assert merged.residual[n].b.shape[1] == sum(ranks)
        assert torch.equal(merged.layers[n].a, start.layers[n].a)


@FEW
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 99))
def test_flexlora_gives_each_client_the_best_product_of_its_rank(
    ranks: list[int], seed: int
) -> None:
    lora, w = drawn(seed, ranks, scales=True), weighted(seed, len(ranks))
    merged = flexlora(lora, w, begun(lora), 0)
    for n, x in models(lora, merged).items():
        u, s, vh = torch.linalg.svd(dense_mean(lora, w)[n], full_matrices=False)
        for k, r in enumerate(ranks):
            best = u[:, :r] * s[:r] @ vh[:r]
            assert close(x[k], best, 1e-8)
    checked(Lora(merged.layers, lora.scale, lora.ranks))


def test_flexlora_leaves_no_direction_dead() -> None:
    """One client of rank 1 present: the others' further rows of A still point somewhere."""
    lora = drawn(7, [1, 3])
    merged = flexlora(lora, torch.tensor([1.0, 0.0]), begun(lora), 0)
    for n, f in merged.layers.items():
        assert bool((f.a[1].norm(dim=1) > 0).all())
        assert close(models(lora, merged)[n][1], dense(lora)[n][0])


def test_ffa_is_exact_and_insists_on_a_frozen_a() -> None:
    lora, w = frozen(drawn(8, [3] * 4), "A"), weighted(8, 4)
    merged = ffa(lora, w, begun(lora), 0)
    for n, x in models(lora, merged).items():
        assert close(x, dense_mean(lora, w)[n].expand_as(x))
        assert torch.equal(merged.layers[n].a[2], lora.layers[n].a[2])
    with pytest.raises(MootError, match="q: A is frozen"):
        ffa(drawn(8, [3] * 4), w, begun(lora), 0)


def test_rolora_is_exact_in_both_of_its_rounds() -> None:
    w = weighted(9, 4)
    for number, half in ((0, "A"), (1, "B"), (2, "A")):
        assert trained("rolora", number) != half
        lora = frozen(drawn(9 + number, [3] * 4), half)
        merged = rolora(lora, w, begun(lora), number)
        for n, x in models(lora, merged).items():
            assert close(x, dense_mean(lora, w)[n].expand_as(x))
    with pytest.raises(MootError, match="B is frozen"):
        rolora(frozen(drawn(9, [3] * 4), "A"), w, begun(lora), 1)


def test_fedsa_shares_a_and_leaves_b_alone() -> None:
    lora, w = drawn(10, [3] * 4), torch.tensor([1.0, 0, 2, 1]).double()
    start = drawn(11, [3] * 4)
    merged = fedsa(lora, w, start, 0)
    for n, f in merged.layers.items():
        assert torch.equal(f.b[[0, 2, 3]], lora.layers[n].b[[0, 2, 3]])
        assert torch.equal(f.b[1], start.layers[n].b[1])
        assert close(f.a, (lora.layers[n].a * w.view(-1, 1, 1)).sum(0).expand_as(f.a) / 4)
    assert (sent("fedsa", 0), trained("fedsa", 0), sent("ffa", 3)) == ("A", "AB", "B")


def test_hetlora_weighs_by_norm_pads_and_cuts() -> None:
    ranks = [1, 3, 2]
    lora, w = drawn(14, ranks, scales=True), weighted(14, 3)
    merged = hetlora(lora, w, begun(lora), 0)
    norm = torch.cat([x.flatten(1) for x in dense(lora).values()], 1).norm(dim=1)
    p = w * norm / (w * norm).sum()
    for n, f in lora.layers.items():
        a = (p.view(-1, 1, 1) * f.a).sum(0)
        b = ((p * lora.scale).view(-1, 1, 1) * f.b).sum(0)
        for k, r in enumerate(ranks):
            assert close(merged.layers[n].a[k, :r], a[:r])
            assert close(merged.layers[n].b[k, :, :r] * lora.scale[k], b[:, :r])
    checked(Lora(merged.layers, lora.scale, lora.ranks))
    still = begun(lora)  # all products are 0: plain weights
    assert close(
        hetlora(still, w, still, 0).layers["q"].a[1], average(flat(still.layers), w)["q.lora_A"]
    )


# What holds for all rules


def setting(name: str, lora: Lora) -> Lora:
    """Clients that keep frozen what the rule wants frozen."""
    return frozen(lora, "A") if name in ("ffa", "rolora") else lora


def rows(lora: Lora, order: Tensor) -> Lora:
    return Lora(
        {n: Factors(f.a[order], f.b[order]) for n, f in lora.layers.items()},
        lora.scale[order], lora.ranks[order],
    )  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_blind_to_order_scale_of_weights_and_absent_clients(name: str) -> None:
    lora = setting(name, drawn(15, [3] * 5))
    rule: Callable[..., Merged] = RULES[name].function
    w, start = torch.tensor([1.0, 2, 0, 4, 3]).double(), begun(lora)
    usual = models(lora, rule(lora, w, start, 0))
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = models(rows(lora, order), rule(rows(lora, order), w[order], rows(start, order), 0))
    larger = models(lora, rule(lora, w * 1000, start, 0))
    for f in lora.layers.values():
        f.a[2], f.b[2] = float("nan"), float("inf")
    broken = models(lora, rule(lora, w, start, 0))
    for n, x in usual.items():
        assert close(shuffled[n], x[order])
        assert close(larger[n], x)
        assert close(broken[n], x)
        assert bool(torch.isfinite(x).all())


@pytest.mark.parametrize("name", RULES)
def test_every_rule_leaves_a_single_client_as_it_is(name: str) -> None:
    lora = setting(name, drawn(16, [3]))
    merged = RULES[name].function(lora, torch.tensor([5.0]), begun(lora), 0)
    for n, x in models(lora, merged).items():
        assert close(x, dense(lora)[n])


@pytest.mark.parametrize("name", [*RULES, *ROBUST])
@pytest.mark.parametrize("ranks", [[1], [3, 3, 3], [1, 1, 1, 1]])
def test_no_rule_writes_into_what_it_is_given(name: str, ranks: list[int]) -> None:
    """Views abound: with one client, or with rank 1, a transposed tensor is its own copy."""
    lora = setting(name, drawn(24, ranks))
    start = drawn(25, ranks)
    before = [x.clone() for layers in (lora.layers, start.layers) for x in flat(layers).values()]
    gram(lora), aggregation_error(lora, torch.ones(len(ranks)))
    ({**RULES, **ROBUST})[name].function(lora, torch.ones(len(ranks)), start, 0)
    after = [x for layers in (lora.layers, start.layers) for x in flat(layers).values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", [n for n in RULES if n != "fedsa"])
def test_every_client_counts_by_its_weight(name: str) -> None:
    """The hazard of a rule that keeps only client 0: move the last one, and everybody moves."""
    lora = setting(name, drawn(17, [3] * 3))
    w = torch.tensor([1.0, 1, 2]).double()
    before = models(lora, RULES[name].function(lora, w, begun(lora), 0))
    for f in lora.layers.values():
        f.b[2] *= 1.5
    after = models(lora, RULES[name].function(lora, w, begun(lora), 0))
    for n, x in before.items():
        assert not close(after[n][0], x[0], 1e-3)


def test_weights_are_not_applied_on_both_factors() -> None:
    lora, p = drawn(18, [2] * 3), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    for n, f in stacked(lora, p).items():
        assert close(f.b @ f.a, dense_mean(lora, p)[n])
        twice = sum(p[k] ** 2 * dense(lora)[n][k] for k in range(3))
        assert not close(f.b @ f.a, torch.as_tensor(twice), 1e-2)


@pytest.mark.parametrize("name", ["fedit", "fedex", "ffa", "rolora", "fedsa"])
def test_rules_for_equal_ranks_say_what_to_use_instead(name: str) -> None:
    lora = drawn(19, [2, 3])
    with pytest.raises(MootError, match=rf"{name} needs equal ranks.*\[2, 3\]; use flexlora"):
        RULES[name].function(lora, torch.ones(2), begun(lora), 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", RULES)
def test_factors_on_a_gpu_give_the_same(name: str) -> None:
    lora = setting(name, drawn(23, [3] * 4))
    w, start = torch.tensor([1.0, 0, 2, 3]), begun(lora)
    here, there = (
        RULES[name].function(x, w, y, 0)
        for x, y in ((lora, start), (on(lora, "cuda"), on(start, "cuda")))
    )
    back = Merged(*({n: Factors(f.a.cpu(), f.b.cpu()) for n, f in part.items()} for part in there))
    for n, x in models(lora, here).items():
        assert close(models(lora, back)[n], x)
    assert aggregation_error(on(lora, "cuda"), w) == pytest.approx(aggregation_error(lora, w))


def on(lora: Lora, device: str) -> Lora:
    layers = {n: Factors(f.a.to(device), f.b.to(device)) for n, f in lora.layers.items()}
    return Lora(layers, lora.scale, lora.ranks)


def test_malformed_adapters() -> None:
    lora = drawn(20, [2, 3])
    f = lora.layers["up"]
    with pytest.raises(MootError, match=r"B is .K, out, r"):
        checked(Lora({"up": Factors(f.a, f.b.mT)}, lora.scale, lora.ranks))
    with pytest.raises(MootError, match="client 1 has rank 4"):
        checked(Lora(lora.layers, lora.scale, torch.tensor([2, 4])))
    with pytest.raises(MootError, match="need a layer"):
        checked(Lora({}, lora.scale, lora.ranks))
    with pytest.raises(MootError, match=r"q\.lora_A is not half of a pair"):
        paired({"q.lora_A": f.a}, lora.scale, lora.ranks)
    assert paired(flat(lora.layers), lora.scale, lora.ranks).layers.keys() == lora.layers.keys()
    f.b[0, 4, 2] = 1e-3
    with pytest.raises(MootError, match="up: client 0 has numbers beyond its rank 2"):
        checked(lora)


def test_update_norms_also_of_small_updates_of_large_adapters() -> None:
    lora, start = drawn(21, [2, 3], scales=True), drawn(22, [3, 1], scales=True)
    moved = torch.cat([(x - dense(start)[n]).flatten(1) for n, x in dense(lora).items()], 1)
    assert close(update_norms(lora, start), moved.norm(dim=1))
    layers = {
        n: Factors((f.a + 1e-4 * lora.layers[n].a).float(), (f.b + 1e-4 * lora.layers[n].b).float())
        for n, f in start.layers.items()
    }
    single = Lora(layers, start.scale, start.ranks)
    double = Lora({n: Factors(f.a.double(), f.b.double()) for n, f in layers.items()}, *start[1:])
    base = Lora({n: Factors(f.a.float(), f.b.float()) for n, f in start.layers.items()}, *start[1:])
    base_double = Lora(
        {n: Factors(f.a.double(), f.b.double()) for n, f in base.layers.items()}, *start[1:]
    )
    assert close(update_norms(single, base), update_norms(double, base_double), 1e-4)
    more = with_start(lora, start)
    assert close(products(more)[:2], products(lora))
    assert close(products(more)[2], products(start)[0])


def products(lora: Lora) -> Tensor:
    return torch.cat([x.flatten(1) for x in dense(lora).values()], 1)
