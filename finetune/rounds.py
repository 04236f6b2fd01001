"""How federated rounds are asked for, `Federation`, and what each of them reports, `Round`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..protocols import MootError, did_you_mean
from .rules.guard import SetAside
from .train import Plan

Share = Annotated[float, Field(ge=0, le=1)]


class Federation(BaseModel):
    """How rounds go. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rule: str = "fedavg"
    """Aggregation rule: `moot list rules`."""
    settings: dict[str, Any] = {}
    """The rule's own settings, such as `{lr: 0.01}` of fedadam."""
    rounds: Annotated[int, Field(ge=1)] = 10
    """Most rounds."""
    select: Literal["all", "uniform", "weighted"] = "all"
    """Who trains in a round: all, a share drawn evenly, or one drawn by number of examples."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the clients that is drawn, at least one."""
    dropout: Share = 0.0
    """Chance that a client trains and is never heard of; one always answers."""
    weights: Literal["examples", "equal"] = "examples"
    """What a client counts in the mean."""
    local: tuple[str, ...] = ()
    """Tensors that stay with the client, by name or shell pattern (FedPer, arXiv 1912.00818)."""
    cohorts: dict[str, str] = {}
    """Client -> cohort; each cohort is averaged for itself. Clients not named share one."""
    prox: Annotated[float, Field(ge=0)] = 0.0
    """Strength of FedProx's pull to the common model (arXiv 1812.06127), with any rule."""
    ditto: Annotated[float, Field(ge=0)] = 0.0
    """Strength of Ditto's pull on personal models (arXiv 2012.04221); 0: none are made."""
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The learning rate of a round is this times that of the round before."""
    target: float | None = None
    """Stop once the mean held-out loss is this or less, nats per token."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many rounds without a lower mean held-out loss."""
    absurd: Annotated[float, Field(gt=1)] = 1000.0
    """An update this many times the median is set aside."""
    seed: int = 0
    """Of selection and dropouts; `plan.seed` is that of training."""
    plan: Plan = Plan(clip=1.0)
    """Local training in a round: `epochs` or `steps` are those of one round."""


class Round(BaseModel):
    """What one round was."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    number: int
    """From 0."""
    selected: list[str]
    dropped: list[str]
    """Of the selected, those that never answered."""
    aside: list[SetAside]
    """Those whose update could not be meant, with the reason."""
    before: dict[str, float]
    """Client -> held-out loss at the start of the round, nats per token."""
    trained: dict[str, float]
    """Client -> held-out loss right after its local training."""
    after: dict[str, float]
    """Client -> held-out loss with what the round ends in."""
    learning: dict[str, float]
    """Client -> mean training loss over its steps."""
    norms: dict[str, float]
    """Client -> how far it moved."""
    error: float | None
    """Aggregation error ||sum p BA - mean(B) mean(A)||_F; None where there is none to speak of."""
    size: float | None
    """||sum p BA||_F, to read the error beside."""
    rank: float | None
    """Effective rank of sum p BA, mean over layers."""
    bytes_up: int
    bytes_down: int
    tokens: int
    """Tokens read in training."""
    padding: float
    """Share of the places in the batches that held no token."""
    seconds: dict[str, float]
    """Phase -> seconds."""
    ended: Literal["target", "plateau", "last"] | None = None
    """Why no round follows."""

    @property
    def loss(self) -> float | None:
        """Mean over clients of the held-out loss after the round."""
        return _mean(self.after)

    def __str__(self) -> str:
        told = [f"round {self.number + 1}"]
        if self.loss is not None:
            told.append(f"held-out loss {_mean(self.before):.4f} -> {self.loss:.4f}")
        if self.error is not None and self.size:
            told.append(f"aggregation error {self.error / self.size:.1%}")
        if self.bytes_up or self.bytes_down:
            told.append(f"{(self.bytes_up + self.bytes_down) / 1e6:.2f} MB")
        told.append(f"{sum(self.seconds.values()):.1f} s")
        told += [f"{who} never answered" for who in self.dropped]
        told += [f"{a.client} set aside: {a.detail}" for a in self.aside]
        return ", ".join(told)


def settled(federation: Federation | None, fields: Mapping[str, Any]) -> Federation:
    """The settings with `fields` over them, checked again."""
    for key in fields:
        if key not in Federation.model_fields:
            raise MootError(
                f"federate has no setting {key!r}; {did_you_mean(key, Federation.model_fields)}"
            )
    given = {} if federation is None else {
        k: getattr(federation, k) for k in federation.model_fields_set
    }  # fmt: skip
    try:
        return Federation(**{**given, **fields})
    except ValidationError as e:
        first = e.errors()[0]
        raise MootError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def check_plan(federation: Federation) -> None:
    plan = federation.plan
    if federation.rule == "fedprox" and not federation.prox:
        raise MootError("rule fedprox wants a strength: set prox, such as prox: 0.01")
    plain = plan.optimizer == "sgd" and not plan.momentum and not plan.weight_decay
    if federation.rule == "scaffold" and not (
        plain and plan.clip is None and plan.schedule == "constant" and not plan.warmup
    ):
        raise MootError(
            "rule scaffold reads the clients' drift off plain gradient steps; set plan: "
            "{optimizer: sgd, momentum: 0, weight_decay: 0, clip: null, schedule: constant}"
        )


def ended(
    federation: Federation, done: Sequence[Round]
) -> Literal["target", "plateau", "last"] | None:
    losses = [r.loss for r in done]
    last = losses[-1]
    if federation.target is not None and last is not None and last <= federation.target:
        return "target"
    seen = [x for x in losses if x is not None]
    if federation.patience and len(seen) > federation.patience:
        best = min(seen[: -federation.patience])
        if min(seen[-federation.patience :]) >= best:
            return "plateau"
    return "last" if len(done) >= federation.rounds else None


def _mean(found: Mapping[str, float]) -> float | None:
    return sum(found.values()) / len(found) if found else None
