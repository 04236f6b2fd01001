"""What was one message worth? Fork an episode at a turn, say something else, play it to the end.

    python examples/fork.py

The fork keeps the seed, so every later draw of the agents is the one they would have made: the
difference between the two outcomes is the message's doing.
"""

import moot
from moot import Act, Reply
from moot.agents.seats import seat_all


def main() -> None:
    seats = seat_all({"ann": "scripted:open", "bob": "scripted:boulware"})
    pools = {name: seat.pool for name, seat in seats.items()}
    source = moot.load_scenario("deal_or_no_deal")
    worth: list[float] = []
    for number in range(100):
        table = moot.Environment(moot.draw(source, 0, number), episode=number)
        (episode,) = moot.play([table], pools)
        silent = moot.fork(episode, 0, Reply(act=Act.INFORM, text="Good morning."))
        (other,) = moot.play([silent], pools)
        worth.append(episode.outcome.utilities["ann"] - other.outcome.utilities["ann"])
    print(f"ann's opening, against a mere greeting: {sum(worth) / len(worth):+.2f} points for ann")


if __name__ == "__main__":
    main()
