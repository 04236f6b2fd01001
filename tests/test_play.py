"""The loop: what happens in an episode depends on its own seed and agents, and on nothing else."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from moot.environments import Environment, Episode, fork, play, replay, said
from moot.environments.load import draw, load_scenario
from moot.protocols import Act, Ended, MootError, Observation, Reply
from moot.protocols.schemas import Mood, legal_reply

SOURCES = {name: load_scenario(name) for name in ("deal_or_no_deal", "bargain", "task_market")}


def table(number: int, seed: int = 7, source: str | None = None, **changes: Any) -> Environment:
    """An environment of one of the three worlds, in turns."""
    name = source or tuple(SOURCES)[number % 3]
    scenario = draw(SOURCES[name], seed, number).model_copy(update=changes)
    return Environment(scenario, seed=seed, episode=number, seats={"*": "random"})


class Instant:
    """Random legal play; every question is answered at the next poll."""

    def __init__(self, mood: Mood = "any") -> None:
        self.mood = mood
        self.waiting: list[tuple[int, Observation]] = []
        self.asked: list[Observation] = []

    def ask(self, ticket: int, observation: Observation) -> None:
        self.asked.append(observation)
        self.waiting.append((ticket, observation))

    def poll(self, wait: float) -> list[tuple[int, Reply]]:
        ready, self.waiting = self.waiting, []
        return [(ticket, self.reply(observation)) for ticket, observation in ready]

    def reply(self, observation: Observation) -> Reply:
        return legal_reply(observation, self.mood)


class Lagging(Instant):
    """The same replies, a few at a time and in any order, as from a server."""

    def __init__(self, seed: int, mood: Mood = "any") -> None:
        super().__init__(mood)
        self.chance = random.Random(seed)

    def poll(self, wait: float) -> list[tuple[int, Reply]]:
        self.chance.shuffle(self.waiting)
        cut = self.chance.randint(0, min(len(self.waiting), 20))
        ready, self.waiting = self.waiting[:cut], self.waiting[cut:]
        return [(ticket, self.reply(observation)) for ticket, observation in ready]


class Silent(Instant):
    """Answers only when it is allowed to."""

    allowed = False

    def poll(self, wait: float) -> list[tuple[int, Reply]]:
        return super().poll(wait) if self.allowed else []


class Saying(Instant):
    """Says what it is told to say, question after question."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__()
        self.replies = list(replies)

    def reply(self, observation: Observation) -> Reply:
        return self.replies.pop(0)


def lines(episodes: Iterator[Episode]) -> dict[int, str]:
    return {e.id: e.line() for e in episodes}


# ---- independence --------------------------------------------------------------------------------


def test_an_episode_is_the_same_alone_and_among_500() -> None:
    together = lines(play((table(i) for i in range(500)), {"*": Instant()}, concurrent=500))
    assert len(together) == 500
    for number in (0, 1, 2, 250, 251, 499):
        assert lines(play([table(number)], {"*": Instant()})) == {number: together[number]}


def test_concurrency_and_the_order_of_replies_change_nothing() -> None:
    count = 120
    one = lines(play((table(i) for i in range(count)), {"*": Instant("long")}, concurrent=1))
    for concurrent, pool in (
        (1000, Instant("long")),
        (7, Lagging(1, "long")),
        (1000, Lagging(2, "long")),
    ):
        assert (
            lines(play((table(i) for i in range(count)), {"*": pool}, concurrent=concurrent)) == one
        )
    other = lines(play((table(i, seed=8) for i in range(count)), {"*": Instant("long")}))
    assert all(other[i] != one[i] for i in range(count))


def test_who_shares_a_pool_changes_nothing() -> None:
    shared, own = {"*": Instant()}, {"manager": Instant(), "ann": Lagging(3), "*": Instant()}
    assert lines(play(map(table, range(60)), shared)) == lines(play(map(table, range(60)), own))


def test_thousands_of_episodes() -> None:
    done = [e.id for e in play(map(table, range(3000)), {"*": Instant("deal")}, concurrent=2000)]
    assert sorted(done) == list(range(3000))


def test_environments_are_read_only_as_far_as_needed() -> None:
    built: list[int] = []

    def tables() -> Iterator[Environment]:
        for number in range(100):
            built.append(number)
            yield table(number)

    for finished, _ in enumerate(play(tables(), {"*": Instant()}, concurrent=5), 1):
        assert len(built) - finished <= 5
        if finished == 20:
            break
    assert len(built) <= 25


def test_an_episode_waits_for_nobody() -> None:
    slow, quick = Silent(), Instant()
    others = {i for i in range(30) if i % 3 != 1}  # nobody sells anything in these
    order: list[int] = []
    for episode in play(map(table, range(30)), {"seller": slow, "*": quick}):
        order.append(episode.id)
        slow.allowed = others <= set(order)
    assert sorted(order) == list(range(30))
    assert len(slow.asked) > 5


def test_nothing_asked_is_forgotten_and_nothing_is_asked_twice() -> None:
    pool = Lagging(5)
    episodes = list(play(map(table, range(50)), {"*": pool}))
    keys = [o.key for o in pool.asked]
    assert len(set(keys)) == len(keys) == sum(len(e.turns) for e in episodes)


def test_the_garbage_collector_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    running = play(map(table, range(9)), {"*": Instant()})
    next(running)
    assert gc.get_threshold() != before
    running.close()
    assert gc.get_threshold() == before
    broken = play(map(table, range(9)), {"seller": Instant()})
    with pytest.raises(MootError, match="nobody plays"):
        list(broken)
    assert gc.get_threshold() == before


# ---- seats ---------------------------------------------------------------------------------------


def test_a_seat_is_found_by_name_then_role_then_star() -> None:
    pools: Mapping[str, Instant] = {"hana": Instant(), "bidder": Instant(), "*": Instant()}
    auction = load_scenario("task_auction")
    list(play([Environment(draw(auction), seed=1)], pools))
    assert {o.agent for o in pools["hana"].asked} == {"hana"}
    assert {o.agent for o in pools["bidder"].asked} == {"ivo", "jun"}
    assert {o.agent for o in pools["*"].asked} == {"manager"}


def test_an_empty_pool_is_still_a_pool() -> None:
    class Sized(Instant):
        def __len__(self) -> int:
            return len(self.waiting)

    pool = Sized()
    assert list(play([table(0)], {"ann": pool, "bob": pool}))


def test_episodes_that_are_over_are_handed_back() -> None:
    over = [next(play([table(i)], {"*": Instant()})) for i in range(5)]
    tables = [replay(e) for e in over]
    again = list(play([*tables, table(9)], {"*": Instant()}, concurrent=1))
    assert [e.id for e in again] == [0, 1, 2, 3, 4, 9]
    assert [e.line() for e in again[:5]] == [e.line() for e in over]


# ---- endings -------------------------------------------------------------------------------------

TALK = Reply(act=Act.INFORM, text="Hello.")
BAD = Reply(act=Act.AGREE)


@pytest.mark.parametrize("deadline", [1, 2, 3, 8])
def test_exactly_the_deadline_is_said(deadline: int) -> None:
    protocol = {"name": "alternating_offers", "deadline": deadline}
    source = load_scenario({"world": "item_division", "generate": {}, "protocol": protocol})
    pool = Saying(*[TALK] * 99)
    (episode,) = play([Environment(draw(source))], {"*": pool})
    assert episode.ended is Ended.LIMIT
    assert len(episode.messages) == len(pool.asked) == deadline
    assert [o.left for o in pool.asked] == list(range(deadline, 0, -1))


@pytest.mark.parametrize("patience", [0, 2, 5])
def test_patience_is_the_number_of_second_chances(patience: int) -> None:
    pool = Saying(TALK, *[BAD] * 99)
    (episode,) = play([table(0, patience=patience)], {"*": pool})
    assert episode.ended is Ended.FORFEITED
    assert len(episode.turns) == 1 + patience + 1
    assert episode.why.startswith("bob: illegal-act: got 'agree'; legal: propose, ")
    assert pool.asked[1].error is None
    assert all(o.error == episode.turns[1].error for o in pool.asked[2:])
    assert all(o.agent == "bob" for o in pool.asked[1:])


def test_a_legal_reply_wins_all_chances_back() -> None:
    pool = Saying(BAD, BAD, TALK, BAD, BAD, TALK, BAD, BAD, BAD)
    (episode,) = play([table(0)], {"*": pool})
    assert episode.ended is Ended.FORFEITED
    assert len(episode.turns) == 9
    assert [m.text for m in episode.messages] == ["Hello.", "Hello."]
    assert pool.asked[3].error is None, "the other agent does not see the errors"
    assert "illegal-act" not in pool.asked[3].dump()


def test_a_broken_agent_ends_its_own_episode_and_no_other() -> None:
    class Fragile(Instant):
        def reply(self, observation: Observation) -> Reply:
            if observation.key.episode % 10 == 3 and observation.turn == 1:
                return Reply(error="raised ZeroDivisionError: division by zero")
            return super().reply(observation)

    whole = {e.id: e for e in play(map(table, range(60)), {"*": Instant("long")})}
    torn = {e.id: e for e in play(map(table, range(60)), {"*": Fragile("long")})}
    for number in range(60):
        if number % 10 == 3:
            assert torn[number].ended is Ended.BROKEN
            assert torn[number].why.endswith(": raised ZeroDivisionError: division by zero")
            assert torn[number].turns[0] == whole[number].turns[0]
            assert len(torn[number].turns) == 2
            assert not torn[number].outcome.completed
        else:
            assert torn[number].line() == whole[number].line()


def test_the_record_is_made_at_the_end_and_not_before() -> None:
    open_ = table(0)
    with pytest.raises(ValueError, match="episode 0 is not over: ann is to speak"):
        open_.episode()
    open_.step(Reply(act=Act.CANCEL))
    line = open_.episode().line()
    late = open_.step(TALK, agent="bob")
    assert late.error is not None
    assert late.error.kind == "not-your-turn"
    assert open_.ended is Ended.WALKED_AWAY
    assert len(line) < len(open_.episode().line()), "what was tried after the end is recorded too"


# ---- fork and replay -----------------------------------------------------------------------------


def some(count: int, mood: Mood = "long") -> list[Episode]:
    return sorted(play(map(table, range(count)), {"*": Instant(mood)}), key=lambda e: e.id)


def test_a_fork_that_changes_nothing_ends_the_same() -> None:
    for episode in some(6):
        forks = [fork(episode, turn) for turn in range(len(episode.turns))]
        for again in play(forks, {"*": Lagging(4, "long")}, concurrent=3):
            assert again.line() == episode.line()


def test_a_fork_of_a_record_that_was_written_and_read() -> None:
    for episode in some(6):
        back = Episode.model_validate_json(episode.line())
        (again,) = play([fork(back, len(back.turns) // 2)], {"*": Instant("long")})
        assert again.line() == episode.line()


def test_a_changed_message_changes_what_follows_and_nothing_before() -> None:
    for episode in some(30):
        if episode.scenario.world == "task_allocation":
            continue
        (other,) = play([fork(episode, 2, Reply(act=Act.INFORM, text="I changed my mind."))],
                        {"*": Instant("long")})  # fmt: skip
        assert other.turns[:2] == episode.turns[:2]
        assert other.turns[2].message is not None
        assert other.turns[2].message.text == "I changed my mind."
        assert other.turns[2] != episode.turns[2]
        # The same draws on both sides of the change: where the choice is the same, so are the words.
        assert [t.agent for t in other.turns] == [t.agent for t in episode.turns]


def test_a_change_may_look_at_the_table() -> None:
    episode = some(1)[0]
    seen: list[Environment] = []

    def change(at: Environment) -> Reply:
        seen.append(at)
        return Reply(act=Act.CANCEL, text=f"{at.speaker} leaves")

    forked = fork(episode, 3, change)
    assert seen == [forked]
    assert forked.ended is Ended.WALKED_AWAY
    assert forked.episode().messages[-1].text == "bob leaves"
    assert len(forked.turns) == 4


def test_a_fork_with_another_seed_goes_another_way() -> None:
    episode = some(1)[0]
    (other,) = play([fork(episode, 2, seed=99)], {"*": Instant("long")})
    assert other.turns[:2] == episode.turns[:2]
    assert other.turns[2:] != episode.turns[2:]
    assert other.seed == 99


def test_replay_repeats_errors_too() -> None:
    class Clumsy(Instant):
        def reply(self, observation: Observation) -> Reply:
            slip = observation.rng("slip").random()
            if slip < 0.2:
                return Reply(raw="I think... {no")
            if slip < 0.4:
                return Reply(act=Act.PROPOSE, content={"nonsense": 1.5}, text="x")
            return super().reply(observation)

    episodes = list(play((table(i, patience=50) for i in range(12)), {"*": Clumsy("long")}))
    assert sum(t.error is not None for e in episodes for t in e.turns) > 20
    for episode in episodes:
        back = Episode.model_validate_json(episode.line())
        assert back.line() == episode.line()
        assert replay(back).episode().line() == episode.line()
        for turn in episode.turns:
            assert (turn.error is None) == (turn.message is not None)
            if turn.error is not None:
                assert turn.reply is not None, "what was wrong is kept whole"


def test_what_json_cannot_hold_is_recorded_without_it() -> None:
    open_ = table(0, patience=99)
    for content in ({"take": object()}, {"take": {1, 2}}, {"take": b"\xff"}, {"take": "\ud800"}):
        turn = open_.step(Reply(act=Act.PROPOSE, content=content))
        assert turn.error is not None
    open_.step(Reply(act=Act.CANCEL))
    line = open_.episode().line()
    assert Episode.model_validate_json(line).line() == line


def test_said_is_the_reply_that_leads_to_a_message() -> None:
    for episode in some(9, "deal"):
        again = table(episode.id)
        for message in episode.messages:
            turn = again.step(said(message))
            assert turn.message == message


# ---- who hears what ------------------------------------------------------------------------------


def test_bids_and_awards_are_heard_by_their_receivers_alone() -> None:
    pool = Instant("deal")
    episodes = {
        e.id: e for e in play((table(i, source="task_market") for i in range(40)), {"*": pool})
    }
    hidden = 0
    for observation in pool.asked:
        me, episode = observation.agent, episodes[observation.key.episode]
        before = [t.message for t in episode.turns[: observation.turn] if t.message]
        mine = [m for m in before if m.sender == me or me in m.receivers]
        assert list(observation.heard) == mine
        hidden += len(before) - len(mine)
        if observation.role == "bidder":
            assert {m.sender for m in mine} <= {me, "manager"}
            assert observation.standing is not None
            assert observation.standing.act == Act.CFP
    assert hidden > 100


def test_a_hidden_bid_leaves_no_trace() -> None:
    auction = draw(load_scenario("task_auction"))

    def bids(price: int) -> Environment:
        open_ = Environment(auction)
        open_.step(Reply(act=Act.CFP, content={"tasks": ["pack", "haul", "clean", "paint"]}))
        prices = dict.fromkeys(("pack", "haul", "clean", "paint"), price)
        turn = open_.step(
            Reply(act=Act.PROPOSE, content={"prices": prices, "most": 2}, text=str(price))
        )
        assert turn.message is not None
        return open_

    low, high = bids(20), bids(90)
    assert low.speaker == "ivo"
    for agent in ("ivo", "jun"):
        assert low.observe(agent).dump() == high.observe(agent).dump()
    assert low.observe("manager").dump() != high.observe("manager").dump()


def test_only_the_speaker_has_options_and_only_oracles_see_secrets() -> None:
    scenario = draw(SOURCES["bargain"], 1, 1)
    open_ = Environment(scenario, sees_all=frozenset({"seller"}))
    speaker = open_.speaker
    for agent in open_.agents:
        observation = open_.observe(agent)
        assert bool(observation.options) == (agent == speaker)
        assert (observation.secrets is not None) == (agent == "seller")
        assert json.loads(observation.dump())["agent"] == agent
    secrets = open_.observe("seller").secrets
    assert secrets is not None
    assert secrets["buyer"] == dict(open_.observe("buyer").private)
