"""Players of the hidden role: who they suspect by Bayes' rule, and what a liar says to pass.

An honest player says what is true of its thing, about features that others have spoken of, since those
compare; it votes for whom its claims make the likeliest liar, its own thing known. A liar who knows that it
is one finds out what the others must have and speaks of that. Left out: reading the free words.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ...protocols import Act, Observation, Reply
from .bargaining import field

Player = Callable[[Observation, random.Random], Reply]
Claims = dict[str, list[tuple[str, bool]]]
YES = ("Mine {f}.", "I would say that it {f}.", "What I have in mind {f}.")
NO = ("It is not one that {f}.", "I would not say that it {f}.", "No, not one that {f}.")
NOTHING = ("I have said what I know.", "No more from me.", "Let us vote.")


def claims(observation: Observation) -> Claims:
    """Debater -> what it has claimed so far."""
    said: Claims = {agent: [] for agent in observation.public["debaters"]}
    for message in observation.heard:
        if message.act is Act.INFORM and message.content is not None and message.sender in said:
            said[message.sender].append(
                (field(message.content, "feature"), field(message.content, "holds"))
            )
    return said


def likelihoods(observation: Observation) -> dict[str, dict[str, float]]:
    """Debater -> thing -> likelihood of its claims; of one's own thing nothing has to be guessed."""
    things: Mapping[str, Sequence[str]] = observation.public["things"]
    slip: float = observation.public["slip"]
    found: dict[str, dict[str, float]] = {}
    for agent, said in claims(observation).items():
        found[agent] = {}
        for thing, has in things.items():
            product = 1.0
            for feature, holds in said:
                product *= 1 - slip if (feature in has) == holds else slip
            found[agent][thing] = product
    own = observation.private.get("thing")
    if own is not None:
        found[observation.agent] = {thing: float(thing == own) for thing in things}
    return found


def suspicion(observation: Observation) -> dict[str, float]:
    """Debater -> probability to be the liar, from all claims and the own thing.

    P(i)  ~  sum over c of  prod over j != i of L_j(c)  *  sum over d != c of L_i(d)
    """
    likely = likelihoods(observation)
    weights: dict[str, float] = {}
    for agent, own in likely.items():
        total = sum(own.values())
        weights[agent] = 0.0
        for common in own:
            product = total - own[common]
            for other, theirs in likely.items():
                product *= 1.0 if other == agent else theirs[common]
            weights[agent] += product
    if observation.private.get("liar") is False:
        weights[observation.agent] = 0.0
    whole = sum(weights.values())
    return {a: w / whole if whole else 1 / len(weights) for a, w in weights.items()}


def common_thing(observation: Observation) -> str:
    """What the others must have, if all that they claimed is true, for one who has something else."""
    likely = likelihoods(observation)
    scores: dict[str, float] = {}
    for thing in observation.public["things"]:
        scores[thing] = 0.0 if thing == observation.private["thing"] else 1.0
        for agent, theirs in likely.items():
            if agent != observation.agent:
                scores[thing] *= theirs[thing]
    return max(scores, key=scores.__getitem__)


def _claim(
    observation: Observation, rng: random.Random, thing: str, *, echo: bool = False
) -> Reply:
    """Say of a feature whether this thing has it; with `echo`, whether most have said that it holds."""
    if not observation.may(Act.INFORM, content=True):
        return _words(observation, rng, NOTHING)
    said = claims(observation)
    mine = {feature for feature, _ in said[observation.agent]}
    spoken = Counter(f for a, cs in said.items() if a != observation.agent for f, _ in cs)
    things: Mapping[str, Sequence[str]] = observation.public["things"]

    def use(feature: str) -> tuple[int, float, float]:
        # Compared with others first; then what splits the things best, by chance among equals.
        share = sum(feature in has for has in things.values()) / len(things)
        return spoken[feature], -abs(share - 0.5), rng.random()

    new = [f for f in observation.public["features"] if f not in mine]
    if not new:
        return _words(observation, rng, NOTHING)
    feature = max(new, key=use)
    holds = feature in things[thing]
    if echo and spoken[feature]:
        yes = sum(
            h for a, cs in said.items() if a != observation.agent for f, h in cs if f == feature
        )
        holds = 2 * yes > spoken[feature]
    content = {"feature": feature, "holds": holds}
    text = rng.choice(YES if holds else NO).format(f=feature)
    return Reply.said(Act.INFORM, content, None, text if len(text) <= observation.max_text else "")


def _words(observation: Observation, rng: random.Random, words: Sequence[str]) -> Reply:
    text = rng.choice(words)
    return Reply.said(Act.INFORM, None, None, text if len(text) <= observation.max_text else "")


def _accuse(observation: Observation, rng: random.Random, beliefs: Mapping[str, float]) -> Reply:
    """Vote for the likeliest, or give that as the verdict; equal ones by chance."""
    others = [a for a in beliefs if a != observation.agent]
    whom = max(others, key=lambda a: (round(beliefs[a], 9), rng.random()))
    act = Act.CONFIRM if observation.may(Act.CONFIRM) else Act.REQUEST
    text = f"I think that it is {whom}." if act is Act.CONFIRM else ""
    text = text if len(text) <= observation.max_text else ""
    return Reply.said(act, {"accuse": whom}, None, text)


def _play(observation: Observation, rng: random.Random, thing: str, *, echo: bool = False) -> Reply:
    if observation.may(Act.INFORM):
        return _claim(observation, rng, thing, echo=echo)
    return _accuse(observation, rng, suspicion(observation))


def candid(observation: Observation, rng: random.Random) -> Reply:
    """Says what is true of its thing, even as the liar; votes by Bayes' rule."""
    return _play(observation, rng, observation.private.get("thing", ""))


def echo(observation: Observation, rng: random.Random) -> Reply:
    """As a liar who knows it, repeats what most have said of a feature; else like candid."""
    lies = observation.private.get("liar", False)
    return _play(observation, rng, observation.private.get("thing", ""), echo=lies)


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """As a liar who knows it, speaks of what the others must have; else like candid."""
    if observation.private.get("liar") and observation.may(Act.INFORM):
        return _claim(observation, rng, common_thing(observation))
    return candid(observation, rng)


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """Names the liar; as the liar, says what is true of the others' thing."""
    if observation.secrets is None:
        raise ValueError("the oracle needs sees_all: it must be shown all secrets")
    debaters: Sequence[str] = observation.public["debaters"]
    held = {agent: observation.secrets[agent]["thing"] for agent in debaters}
    count = Counter(held.values())
    common = max(count, key=count.__getitem__)
    if observation.may(Act.INFORM):
        return _claim(observation, rng, common)
    return _accuse(observation, rng, {a: float(held[a] != common) for a in debaters})


HIDDEN_ROLE: dict[str, Player] = {
    player.__name__: player for player in (candid, echo, sensible, oracle)
}
"""Name -> player of `hidden_role`."""
