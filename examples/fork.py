"""What is an opening offer worth? Fork every episode at its first turn, say nothing, play both to the end.

    python examples/fork.py

Both branches of a replay keep the same seed, so every later draw of the agents is the one they would have
made: the difference between the two outcomes is the message's doing. `moot value RUN --episode N` does this
for every message of an episode.
"""

import moot


def main() -> None:
    run = moot.simulate("deal_or_no_deal", agents={"*": "scripted:random"}, episodes=50)
    values = [moot.message_value(e, 0, change="silence", replays=5) for e in run.episodes()]
    for agent in ("ann", "bob"):
        worth = [v.agents[agent].value for v in values if v is not None]
        print(f"ann's opening offer: {sum(worth) / len(worth):+.2f} points for {agent}")


if __name__ == "__main__":
    main()
