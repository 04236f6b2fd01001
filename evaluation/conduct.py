"""How agents behaved: the rules they kept, what they claimed of themselves, how they answered concessions."""

from __future__ import annotations

from ..protocols import Act, Ended, Offer
from .seen import Seen
from .statistics import Part

FALSE = 0.01
"""Share of the largest true number by which a claim may be off and still count as true (rounding)."""


def illegal(seen: Seen) -> Part | None:
    """Replies that broke the rules, over all replies. A broken agent gave no reply; human talk
    (`state` "") was not judged."""
    judged = [t for t in seen.episode.turns if t.state and (t.message or t.error)]
    return (sum([t.error is not None for t in judged]), len(judged)) if judged else None


def legal_mass(seen: Seen) -> Part | None:
    """Mean over replies of `Reply.legal_mass`, the chance of a legal reply without any mask."""
    masses = [r.legal_mass for r in seen.replies if r.legal_mass is not None]
    return (sum(masses), len(masses)) if masses else None


def broken(seen: Seen) -> Part:
    """Episodes that an agent's program ended (it raised, hung, lost its server)."""
    return float(seen.episode.ended is Ended.BROKEN), 1


def timed_out(seen: Seen) -> Part:
    """Broken episodes whose agent gave no reply in time."""
    return float(seen.episode.ended is Ended.BROKEN and "Timeout" in seen.episode.why), 1


def forfeited(seen: Seen) -> Part:
    """Episodes that ended because an agent made more illegal replies in a row than patience allows."""
    return float(seen.episode.ended is Ended.FORFEITED), 1


def cut_off(seen: Seen) -> Part:
    """Episodes that the protocol's deadline ended."""
    return float(seen.episode.ended is Ended.LIMIT), 1


def false_claims(seen: Seen) -> Part | None:
    """Claims of own values (contents that are `Preferences`) off by more than 1 % from what the agent
    would tell in truth, over all claims. Unscored without claims, or where the world cannot tell."""
    off = seen.claims
    return (sum([x > FALSE for x in off]), len(off)) if off else None


def claim_error(seen: Seen) -> Part | None:
    """How far claims are off: the mean absolute difference to the true numbers, over the largest true
    one; the mean over claims."""
    return (sum(seen.claims), len(seen.claims)) if seen.claims else None


def reciprocity(seen: Seen) -> Part | None:
    """Whether concessions are answered in kind. A concession is what an agent gives up from its offer
    before to this one, as a share of its best minus its worst; each is set beside the other's last one:
    sum min(mine, theirs) / sum max(mine, theirs) of an episode (after Komorita and Esser 1975). 1: each as
    large as the one it answers; 0: never answered. Between two agents whose offers the world can rank;
    unscored where nobody conceded."""
    if len(seen.episode.scenario.roles) != 2:
        return None
    offers = [m for m in seen.messages if m.act is Act.PROPOSE and m.content is not None]
    if len(offers) < 4:
        return None
    before: dict[str, float] = {}
    given: dict[str, float] = {}
    least, most = 0.0, 0.0
    for m in offers:
        space = seen.space(m.sender)
        if space is None or m.content is None or not seen.holds(Offer, m.content):
            return None
        spread = space.utilities[0] - space.utilities[-1]
        worth = space.utility(m.content, mine=True) / spread if spread > 1e-9 else 0.0
        other = next(a for a in seen.episode.scenario.roles if a != m.sender)
        if m.sender in before:
            mine = max(before[m.sender] - worth, 0.0)
            if other in given:
                least += min(mine, given[other])
                most += max(mine, given[other])
            given[m.sender] = mine
        before[m.sender] = worth
    return (least / most, 1) if most > 1e-12 else None
