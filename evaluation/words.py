"""The summary of a report in words: what was played, how it came out, how sure that is, what it cost."""

from __future__ import annotations

from ..protocols.counted import counted
from .gathered import Gathered
from .scores import Score, Scores

ENDS = {
    "walked-away": "ended because someone walked away",
    "refused": "found nobody willing",
    "failed": "failed at the task taken on",
    "limit": "ran out of messages",
    "no-deal": "closed without a deal",
    "forfeited": "were forfeited by illegal replies",
    "broken": "were ended by an agent's own program",
}
"""How an episode ended, where it was not as it should."""


def summary(run: Gathered) -> list[str]:
    """A few sentences; shorter where less is known."""
    scores = run.scores
    found = [_played(run)]
    if scores.episodes:
        found += [s for s in (_came(scores), _points(scores), _cost(scores), _rules(scores)) if s]
    return found


def _played(run: Gathered) -> str:
    names = list(run.scenarios)
    what = names[0] if len(names) == 1 else f"{len(names)} scenarios"
    worlds = " and ".join(w.replace("_", " ") for w in run.worlds)
    text = counted(len(run), "dialogue")
    if run.wanted and run.wanted > len(run):
        text = f"{len(run):,} of {counted(run.wanted, 'dialogue')} so far"
    if names:
        text += f" of {what} ({worlds})"
    who = [f"{spec} as {seat}" if seat != "*" else spec for seat, spec in run.agents.items()]
    return f"{text}, played by {_listed(who)}." if who else f"{text}."


def _came(scores: Scores) -> str:
    rate = scores["completion_rate"]
    text = f"{_percent(rate)} completed the task"
    failures = [f"{n:,} {ENDS[why]}" for why, n in scores.ended.most_common() if why in ENDS]
    return f"{text}; {_listed(failures)}." if failures else f"{text}."


def _points(scores: Scores) -> str:
    utility, share, pareto = (scores[n] for n in ("utility", "joint_share", "pareto_rate"))
    if utility.value is None:
        return ""
    text = f"An agent got {_value(utility)} points on average{_between(utility)}"
    if share.value is not None:
        text += f"; together they got {_share(share.value)} of the most that a deal could give"
    if pareto.value is not None and pareto.n:
        text += f", and {_share(pareto.value)} of the agreements could only be bettered at someone's cost"
    return f"{text}."


def _cost(scores: Scores) -> str:
    messages, words, tokens = (
        scores[n] for n in ("messages_per_episode", "words_per_message", "tokens_per_message")
    )
    text = f"A dialogue took {_value(messages)} messages"
    if words.value is not None:
        text += f" of {counted(words.value, 'word', form='.0f')}"
    if tokens.value is not None:
        text += f" ({counted(tokens.value, 'token', form='.0f')} each)"
    return f"{text}."


def _rules(scores: Scores) -> str:
    illegal, mass = scores["illegal_move_rate"], scores["legal_mass"]
    if illegal.value is None:
        return ""
    text = (
        "No reply broke the rules"
        if illegal.value == 0
        else f"{illegal.value * 100:.1f} % of {illegal.n:,} replies broke the rules"
    )
    if mass.value is not None:
        text += (
            "; without the mask that keeps replies legal, one would be legal with probability "
            f"{mass.value:.2f}"
        )
    return f"{text}."


def _listed(words: list[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _value(score: Score) -> str:
    value = score.value or 0.0
    return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


def _percent(score: Score) -> str:
    if score.ci is None:
        return _share(score.value or 0)
    return f"{_share(score.value or 0)} (95 % interval {score.ci[0] * 100:.0f} to {score.ci[1] * 100:.0f} %)"


def _share(value: float) -> str:
    return f"{value * 100:.0f} %"


def _between(score: Score) -> str:
    if score.ci is None:
        return ""
    digits = 0 if abs(score.value or 0) >= 100 else 1 if abs(score.value or 0) >= 10 else 2
    return f" ({score.ci[0]:,.{digits}f} to {score.ci[1]:,.{digits}f})"
