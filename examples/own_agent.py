"""Your own agent in a seat: any object with `reply(observation)`.

    python examples/own_agent.py

This one asks for everything at first and for a little less each time, and takes what is at least half
of the best it could get. It is asked in a thread of its own; should it raise or hang, its episode ends
with that reason and no other does.
"""

import tempfile

import moot
from moot import Act, Observation, Reply


class Half:
    """Starts high, accepts half."""

    def reply(self, observation: Observation) -> Reply:
        space, offer = observation.space, observation.standing
        assert space is not None
        best = space.utilities[0]
        heard = offer is not None and offer.sender != observation.agent
        if heard and space.utility(offer.content, mine=False) >= best / 2:
            return Reply(act=Act.ACCEPT_PROPOSAL, text="Half is fair.")
        step = min(len(observation.heard), len(space.offers) - 1)
        return Reply(act=Act.PROPOSE, content=space.offers[step], text="How about this?")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = moot.simulate(
            "deal_or_no_deal",
            agents={"ann": Half(), "bob": "scripted:open"},
            episodes=200,
            seed=7,
            out=f"{folder}/run",
        )
        print(moot.score(run))


if __name__ == "__main__":
    main()
