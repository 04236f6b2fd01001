"""Plain rules: closed forms, and what holds for every weighting of every mapping of tensors."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from moot.finetune.rules.average import (
    RULES,
    Tensors,
    average,
    fedadagrad,
    fedadam,
    fedavg,
    fedavgm,
    fedyogi,
    named,
    proximal,
    scaffold,
    scaffold_correction,
)
from moot.finetune.rules.guard import set_aside, without
from moot.finetune.rules.personal import cohorts, ditto, ditto_pull, last_layers, rows_of, split
from moot.protocols import MootError

SHAPES = {"layer.0.w": (3, 4), "layer.1.w": (5,), "layer.2.scale": ()}
FEW = settings(max_examples=25, deadline=None)


def drawn(seed: int, *lead: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        n: torch.randn((*lead, *s), generator=g, dtype=torch.float64) for n, s in SHAPES.items()
    }


def weighted(seed: int, k: int) -> Tensor:
    g = torch.Generator().manual_seed(seed + 1000)
    return torch.rand(k, generator=g, dtype=torch.float64) + 0.1


def near(a: Tensors, b: Tensors, tol: float = 1e-12) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[n], b[n], rtol=tol, atol=tol) for n in a)


def by_hand(clients: Tensors, weights: list[float]) -> dict[str, Tensor]:
    """The mean in plain Python, one client after the other."""
    total = sum(weights)
    found = {n: torch.zeros(SHAPES[n], dtype=torch.float64) for n in clients}
    for k, w in enumerate(weights):
        for n, x in clients.items():
            found[n] = found[n] + x[k] * (w / total)
    return found


# The mean


@FEW
@given(st.integers(1, 7), st.integers(0, 99))
def test_fedavg_is_the_mean_whatever_the_scale_of_weights_and_the_order_of_clients(
    k: int, seed: int
) -> None:
    x, w = drawn(seed, k), weighted(seed, k)
    mean = average(x, w)
    assert near(mean, by_hand(x, w.tolist()))
    assert near(mean, average(x, w * 1e6))
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    assert near(mean, average(rows_of(x, order), w[order]))


def test_every_client_moves_the_mean() -> None:
    """Not only the first: the weight of each is its derivative."""
    x = {n: t.requires_grad_() for n, t in drawn(1, 4).items()}
    w = torch.tensor([1.0, 2, 3, 4])
    average(x, w)["layer.1.w"].sum().backward()
    grad = x["layer.1.w"].grad
    assert grad is not None
    assert torch.allclose(grad[:, 0], (w / 10).double())


def test_one_client_is_the_identity_bitwise() -> None:
    x = drawn(2, 1)
    assert all(torch.equal(average(x, torch.tensor([7.0]))[n], x[n][0]) for n in x)


@pytest.mark.parametrize("absurd", [float("nan"), float("inf"), 1e300])
def test_a_client_of_weight_zero_is_not_there(absurd: float) -> None:
    x = drawn(3, 4)
    without_it = {n: t[[0, 2, 3]] for n, t in x.items()}
    for t in x.values():
        t[1] = absurd
    w = torch.tensor([1.0, 0, 2, 5])
    assert near(average(x, w), average(without_it, w[[0, 2, 3]]))


def test_huge_weights_and_half_precision() -> None:
    x = drawn(4, 3)
    assert near(average(x, torch.full((3,), 1e308, dtype=torch.float64)), average(x, torch.ones(3)))
    half = {n: (100 + t).to(torch.bfloat16) for n, t in x.items()}
    mean = average(half, torch.ones(3))
    exact = average({n: t.double() for n, t in half.items()}, torch.ones(3))
    assert all(torch.equal(mean[n], exact[n].to(torch.bfloat16)) for n in half)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([0.0, 0.0], "all clients have weight 0"),
        ([1.0, -1.0], "at least 0"),
        ([1.0, float("nan")], "at least 0"),
        ([float("inf"), 1.0], "at least 0"),
        ([1.0, 1.0, 1.0], re.escape("needs floating numbers of shape (3, ...)")),
    ],
)
def test_weights_that_mean_nothing(weights: list[float], says: str) -> None:
    with pytest.raises(MootError, match=says):
        average(drawn(0, 2), torch.tensor(weights))


def test_whole_numbers_have_no_mean() -> None:
    with pytest.raises(MootError, match=r"steps is torch\.int64"):
        average({"steps": torch.tensor([1, 2])}, torch.ones(2))


# Two agents with linear regression: the seed of the idea


def test_ten_rounds_of_averaging_equal_the_closed_form() -> None:
    """One step of gradient descent each, then the mean: descent on the pooled loss, in closed form."""
    g = torch.Generator().manual_seed(5)
    sizes, lr, rounds = [30, 50], 0.1, 10
    data = [
        (torch.randn(n, 3, generator=g).double(), torch.randn(n, generator=g).double())
        for n in sizes
    ]
    theta: dict[str, Tensor] = {"w": torch.zeros(3, dtype=torch.float64)}
    for _ in range(rounds):
        moved: list[Tensor] = []
        for x, y in data:
            w = theta["w"].clone().requires_grad_()
            loss = (x @ w - y).square().mean() / 2
            loss.backward()
            assert w.grad is not None
            moved.append((w - lr * w.grad).detach())
        theta = fedavg({"w": torch.stack(moved)}, torch.tensor(sizes), theta, {}).tensors
    x, y = torch.cat([d[0] for d in data]), torch.cat([d[1] for d in data])
    h = x.T @ x / len(x)
    best = torch.linalg.solve(h, x.T @ y / len(x))
    shrink = torch.linalg.matrix_power(torch.eye(3, dtype=torch.float64) - lr * h, rounds)
    assert torch.allclose(theta["w"], best - shrink @ best, rtol=1e-12, atol=1e-14)


def drifting(rounds: int, control: bool, weights: Tensor) -> tuple[float, float]:
    """Two quadratics, ten local steps a round; distance to the weighted optimum, first and last."""
    h, c = torch.tensor([1.0, 9.0]).double(), torch.tensor([2.0, -1.0]).double()
    lr, steps = 0.05, 10
    p = weights / weights.sum()
    best = (p * h * c).sum() / (p * h).sum()
    theta: dict[str, Tensor] = {"x": torch.zeros((), dtype=torch.float64)}
    state: dict[str, Tensor] = {}
    first = float((theta["x"] - best).abs())
    for _ in range(rounds):
        y = theta["x"].expand(2).clone()
        push = scaffold_correction(state).get("x", torch.zeros(2)) if control else 0
        for _ in range(steps):
            y = y - lr * (h * (y - c) + push)
        if control:
            theta, state = scaffold(
                {"x": y}, weights, theta, state, population=weights,
                steps=torch.full((2,), steps), client_lr=torch.full((2,), lr),
            )  # fmt: skip
        else:
            theta = fedavg({"x": y}, weights, theta, {}).tensors
    return first, float((theta["x"] - best).abs())


@pytest.mark.parametrize("weights", [[1.0, 1.0], [1.0, 3.0]])
def test_scaffold_ends_the_drift_that_fedavg_keeps(weights: list[float]) -> None:
    w = torch.tensor(weights).double()
    first, plain = drifting(300, False, w)
    _, controlled = drifting(300, True, w)
    assert plain > 0.05 * first
    assert controlled < 1e-6


def test_scaffold_first_round_by_hand_and_absent_clients() -> None:
    x, start = drawn(6, 3), drawn(7)
    w, steps, lr = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([4, 0, 5]), torch.full((3,), 0.1)
    merged, state = scaffold(x, w, start, {}, steps=steps, client_lr=lr)
    assert near(merged, {n: (t[0] + t[2]) / 2 for n, t in x.items()})
    for n, t in x.items():
        own = [(start[n] - t[0]) / 0.4, torch.zeros_like(t[0]), (start[n] - t[2]) / 0.5]
        assert torch.allclose(state[f"own/{n}"], torch.stack(own), rtol=1e-6)
        assert torch.allclose(state[f"common/{n}"], torch.stack(own).mean(0), rtol=1e-6)
    # the second round with only client 1: the others' variates stay
    _, later = scaffold(
        x, torch.tensor([0.0, 1, 0]), merged, state, steps=torch.tensor([0, 2, 0]), client_lr=lr
    )
    for n in x:
        assert torch.equal(later[f"own/{n}"][[0, 2]], state[f"own/{n}"][[0, 2]])
        expected = -state[f"common/{n}"] + (merged[n] - x[n][1]) / 0.2
        assert torch.allclose(later[f"own/{n}"][1], expected, rtol=1e-6)
    with pytest.raises(MootError, match="weight 0"):
        scaffold(x, torch.ones(3), start, {}, steps=steps, client_lr=lr)


# Server optimisers against closed forms


def constant(rule: str, rounds: int, **kw: float) -> tuple[float, float]:
    """Clients always return x + d, d = 0.5: where x is after some rounds, and d."""
    d = 0.5
    theta: dict[str, Tensor] = {"x": torch.tensor(1.0, dtype=torch.float64)}
    state: dict[str, Tensor] = {}
    for _ in range(rounds):
        clients = {"x": theta["x"] + torch.tensor([d - 0.2, d + 0.1], dtype=torch.float64)}
        theta, state = named(rule, RULES).function(
            clients, torch.tensor([1, 2]), theta, state, **kw
        )
        state = load(save(state))  # the state survives a checkpoint
    return float(theta["x"]), d


def test_fedavgm_closed_form() -> None:
    """A constant D: m_t = D (1 - b^t) / (1 - b)."""
    x, d = constant("fedavgm", 6, lr=0.7, momentum=0.8)
    assert x == pytest.approx(1 + 0.7 * sum(d * (1 - 0.8**t) / 0.2 for t in range(1, 7)), rel=1e-12)
    x, d = constant("fedavgm", 3, lr=1.0, momentum=0.0)
    assert x == pytest.approx(1 + 3 * d, rel=1e-12)


def test_adaptive_closed_forms() -> None:
    """For a constant D, m and v are geometric sums."""
    lr, b1, b2, tau, rounds = 0.1, 0.9, 0.95, 0.01, 8
    x, d = constant("fedadam", rounds, lr=lr, beta1=b1, beta2=b2, tau=tau)
    turns = range(1, rounds + 1)
    m = [d * (1 - b1**t) for t in turns]
    v = [tau**2 * b2**t + d**2 * (1 - b2**t) for t in turns]
    assert x == pytest.approx(
        1 + sum(lr * a / (b**0.5 + tau) for a, b in zip(m, v, strict=True)), rel=1e-12
    )
    x, d = constant("fedadagrad", rounds, lr=lr, tau=tau)
    assert x == pytest.approx(
        1 + sum(lr * d / ((tau**2 + t * d**2) ** 0.5 + tau) for t in turns), rel=1e-12
    )
    x, d = constant("fedyogi", rounds, lr=lr, beta1=b1, beta2=b2, tau=tau)
    v = [tau**2 + t * (1 - b2) * d**2 for t in turns]  # v stays below D^2 throughout
    assert max(v) < d**2
    assert x == pytest.approx(
        1 + sum(lr * a / (b**0.5 + tau) for a, b in zip(m, v, strict=True)), rel=1e-12
    )


def test_yogi_shrinks_v_where_adam_would_forget() -> None:
    """A large v and a small D: Yogi takes (1 - beta2) D^2 away, Adam (1 - beta2) v."""
    start, x = drawn(8), {n: t + 0.1 for n, t in drawn(8, 1).items()}
    d = {n: t[0] - start[n] for n, t in x.items()}
    old = {f"v/{n}": torch.full_like(t, 100.0) for n, t in start.items()}
    old |= {f"m/{n}": torch.zeros_like(t) for n, t in start.items()}
    yogi = fedyogi(x, torch.ones(1), start, old, beta2=0.9).state
    adam = fedadam(x, torch.ones(1), start, old, beta2=0.9).state
    for n in start:
        assert torch.allclose(yogi[f"v/{n}"], 100 - 0.1 * d[n] ** 2)
        assert torch.allclose(adam[f"v/{n}"], 90 + 0.1 * d[n] ** 2)


@pytest.mark.parametrize("rule", [fedavgm, fedadam, fedyogi, fedadagrad])
def test_nobody_moved_then_nothing_moves(rule: object) -> None:
    start = drawn(9)
    x = {n: t.expand(3, *t.shape) for n, t in start.items()}
    assert callable(rule)
    new, state = rule(x, torch.tensor([1.0, 2, 3]), start, {})
    assert near(new, start, 1e-12)
    assert not any(bool(torch.isnan(t).any()) for t in state.values())


# Proximal terms


def test_proximal_is_the_gradient_it_says_and_ties_no_clients_together() -> None:
    x, anchor = drawn(10, 3), drawn(11)
    x = {n: t.requires_grad_() for n, t in x.items()}
    terms = proximal(x, anchor, 0.3)
    by_client = [
        0.15 * sum(float((x[n][k] - anchor[n]).detach().square().sum()) for n in x)
        for k in range(3)
    ]
    assert terms.tolist() == pytest.approx(by_client)
    terms[1].backward()
    pull = ditto_pull(x, anchor, 0.3)
    for n, t in x.items():
        assert t.grad is not None
        assert torch.allclose(t.grad[1], pull[n][1])
        assert not t.grad[[0, 2]].any()


def test_ditto_closed_form_between_own_and_common() -> None:
    """F_k = h/2 (v - c)^2: the minimum with the pull is (h c + strength w) / (h + strength)."""
    v = {"v": torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)}
    w, c, h = {"v": torch.tensor([5.0]).double()}, torch.tensor([[1.0], [2.0]]).double(), 2.0
    for _ in range(400):
        loss = (h / 2 * (v["v"] - c).square()).sum() + ditto(v, w, 3.0).sum()
        (grad,) = torch.autograd.grad(loss, v["v"])
        v = {"v": (v["v"] - 0.1 * grad).detach().requires_grad_()}
    assert torch.allclose(v["v"], (h * c + 3 * w["v"]) / (h + 3))


# Personal parts and cohorts


def test_what_stays_local_and_what_is_shared() -> None:
    x = drawn(12, 2)
    shared, local = split(x, last_layers(x, 1))
    assert list(local) == ["layer.2.scale"]
    assert list(shared) == ["layer.0.w", "layer.1.w"]
    assert list(split(x, ["*.w"])[0]) == ["layer.2.scale"]
    with pytest.raises(MootError, match=r"did you mean 'layer.1.w'"):
        split(x, ["layer.1.v"])
    with pytest.raises(MootError, match="leave one"):
        split(x, ["*"])
    with pytest.raises(MootError, match="keep 1 to 2"):
        last_layers(x, 3)


def test_cohorts_are_averaged_apart() -> None:
    x, w = drawn(13, 4), torch.tensor([1.0, 2, 3, 4])
    merged = cohorts(
        ["buyer", "seller", "buyer", "seller"], lambda rows: average(rows_of(x, rows), w[rows])
    )
    assert near(merged["buyer"], average(rows_of(x, torch.tensor([0, 2])), torch.tensor([1.0, 3])))
    assert near(merged["seller"], average(rows_of(x, torch.tensor([1, 3])), torch.tensor([1.0, 2])))


# The guard


def uploads(k: int = 4) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    start = drawn(14)
    return {
        f"c{i}": {n: t + 0.01 * u for (n, t), u in zip(start.items(), drawn(20 + i).values(), strict=True)}
        for i in range(k)
    }, start  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        ("missing", "layer.1.w did not arrive"),
        ("unknown", "extra was not asked for"),
        ("shape", r"layer.1.w has shape \(4,\), not \(5,\)"),
        ("dtype", "layer.1.w is torch.float32, not torch.float64"),
        ("nan", "layer.1.w has NaN"),
        ("infinite", "layer.1.w has an infinity"),
        ("large", "more than 1000 times the median"),
    ],
)
def test_the_guard_says_why(reason: str, detail: str) -> None:
    sent, start = uploads()
    assert set_aside(sent, dict.fromkeys(sent, start)) == []
    w = sent["c2"]["layer.1.w"]
    if reason == "missing":
        del sent["c2"]["layer.1.w"]
    elif reason == "unknown":
        sent["c2"]["extra"] = w
    else:
        bad = w.clone()
        bad[3] = {"nan": float("nan"), "infinite": float("-inf"), "large": 1e4}.get(reason, 0.0)
        sent["c2"]["layer.1.w"] = {"shape": w[:4], "dtype": w.float()}.get(reason, bad)
    (record,) = set_aside(sent, dict.fromkeys(sent, start))
    assert (record.client, record.reason) == ("c2", reason)
    assert re.search(detail, record.detail)
    assert without(torch.ones(4), list(sent), [record]).tolist() == [1, 1, 0, 1]


def test_the_guard_lets_the_still_and_the_lively_pass() -> None:
    """Clients that did not move are no yardstick, and overflow in float32 is not an escape."""
    sent, start = uploads()
    sent["c0"] = dict(start)
    sent["c1"] = dict(start)
    sent["c2"] = dict(start)
    assert set_aside(sent, dict.fromkeys(sent, start)) == []
    single = {c: {n: t.float() for n, t in ts.items()} for c, ts in uploads()[0].items()}
    single["c3"]["layer.0.w"] = torch.full((3, 4), 1e30)
    (record,) = set_aside(single, {c: {n: t.float() for n, t in start.items()} for c in single})
    assert record.reason == "large"
    assert "norm 3.46e+30" in record.detail


def test_updates_are_measured_from_what_each_client_was_sent() -> None:
    """A personal part far from the others' is not an update."""
    sent, start = uploads()
    before = dict.fromkeys(sent, start)
    before["c1"] = {n: t + 1e6 for n, t in start.items()}
    sent["c1"] = {n: t + 1e6 for n, t in sent["c1"].items()}
    assert set_aside(sent, before) == []
    (record,) = set_aside(sent, dict.fromkeys(sent, start))
    assert record.client == "c1"


def test_all_bad_is_an_error_that_says_so() -> None:
    sent, start = uploads(2)
    for tensors in sent.values():
        tensors["layer.1.w"] = tensors["layer.1.w"] * float("nan")
    with pytest.raises(MootError, match=r"no client of 2 .*c0: layer.1.w has NaN"):
        set_aside(sent, dict.fromkeys(sent, start))


def test_a_rule_is_found_by_name() -> None:
    assert named("fedavg", RULES).function is fedavg
    with pytest.raises(MootError, match="did you mean 'fedyogi'"):
        named("fedyoghi", RULES)
