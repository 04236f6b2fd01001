"""The support desk: its protocol, its tools, what counts as served, and the retail tasks of tau-bench."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moot.agents.human import HumanPool
from moot.agents.pools import ScriptedPool
from moot.agents.scripted.players import Scripted
from moot.environments import Environment, Episode, play
from moot.environments.check import check_environment
from moot.environments.datafile import load_scenarios
from moot.environments.load import load_scenario
from moot.environments.worlds.desk_scenario import Call, DeskScenario, arguments
from moot.environments.worlds.desk_shop import DeskGenerator
from moot.environments.worlds.desk_store import Store
from moot.environments.worlds.desk_tools import TOOLS, TRANSFER, ToolError
from moot.environments.worlds.support_desk import SupportDesk, same
from moot.protocols import WORLD, Act, Ended, MootError, Reply, check_protocol, service


def shop() -> DeskScenario:
    scenario = load_scenario("wrong_size")
    assert isinstance(scenario, DeskScenario)
    return scenario


def changed(**fields: Any) -> DeskScenario:
    data = shop().model_dump(exclude_none=True, exclude_unset=True)
    return DeskScenario.model_validate({**data, **fields})


def meet(scenario: DeskScenario, customer: str, desk: str, number: int = 0) -> Episode:
    sees_all = frozenset({"desk"} if desk == "oracle" else ())
    table = Environment(scenario, seed=1, episode=number, sees_all=sees_all)
    seats = {"customer": ScriptedPool(Scripted(customer)), "desk": ScriptedPool(Scripted(desk))}
    (played,) = play([table], seats)
    assert all(turn.error is None for turn in played.turns), played.turns[-1].error
    assert played.ended is not Ended.BROKEN, played.why
    return played


def use(tool: str, **given: Any) -> Reply:
    return Reply(act=Act.REQUEST, content={"tool": tool, "arguments": given})


def opened(scenario: DeskScenario, words: str = "Hello.") -> Environment:
    table = Environment(scenario.model_copy(update={"patience": 99}))
    assert table.step(Reply(act=Act.REQUEST, text=words)).message
    return table


# ---- the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [1, 2, 9, 30])
def test_the_protocol_keeps_its_promises(deadline: int) -> None:
    assert check_protocol(service(deadline=deadline), paths=100).messages >= 100


def test_a_tool_call_is_heard_by_nobody_and_its_result_by_the_desk_alone() -> None:
    table = opened(shop())
    turn = table.step(
        use("find_user_id_by_name_zip", first_name="kira", last_name="HALE", zip="40417")
    )
    (told,) = turn.told or ()
    assert turn.message is not None
    assert turn.message.receivers == ()
    assert (told.sender, told.receivers) == (WORLD, ("desk",))
    assert json.loads(told.text) == "kira_hale_31"
    assert told.content is not None
    assert told.content.model_dump() == {"result": "kira_hale_31"}
    assert table.speaker == "desk", "it keeps the floor"
    assert [m.act for m in table.observe("customer").heard] == [Act.REQUEST]
    assert len(table.observe("desk").heard) == 3


# ---- the tools -----------------------------------------------------------------------------------


def do(store: Store, tool: str, **given: Any) -> Any:
    return TOOLS[tool].run(store, **given)


JACKET = {"order_id": "#W2004", "item_ids": ["7101"], "payment_method_id": "paypal_512"}
PLACE = {"address1": "1 Elm", "address2": "", "city": "X", "state": "Y", "country": "Z", "zip": "1"}


def pending(**fields: Any) -> Store:
    """The shipped shop, its jacket not yet sent and paid by gift card."""
    tables = shop().tables
    order = {**tables.orders["#W2004"], "status": "pending", **fields}
    order["payment_history"] = [
        {"transaction_type": "payment", "amount": 79, "payment_method_id": "gift_card_230"}
    ]
    return Store(type(tables)(tables.users, {**tables.orders, "#W2004": order}, tables.products))


def balance(store: Store) -> float:
    return do(store, "get_user_details", user_id="kira_hale_31")["payment_methods"][
        "gift_card_230"
    ]["balance"]


def test_cancelling_gives_the_money_back() -> None:
    store = pending()
    order = do(store, "cancel_pending_order", order_id="#W2004", reason="no longer needed")
    assert order["status"] == "cancelled"
    assert order["payment_history"][-1] == {
        "transaction_type": "refund", "amount": 79, "payment_method_id": "gift_card_230"
    }  # fmt: skip
    assert balance(store) == 20 + 79
    assert set(store.changes()) == {("orders", "#W2004"), ("users", "kira_hale_31")}
    with pytest.raises(ToolError, match="non-pending order cannot be cancelled"):
        do(store, "cancel_pending_order", order_id="#W2004", reason="no longer needed")


def test_items_of_a_pending_order_are_changed_once() -> None:
    store = pending()
    swap = {**JACKET, "new_item_ids": ["7102"], "payment_method_id": "gift_card_230"}
    order = do(store, "modify_pending_order_items", **swap)
    assert order["status"] == "pending (item modified)"
    assert order["items"][0] == {
        "name": "jacket", "product_id": "710", "item_id": "7102", "price": 82,
        "options": {"colour": "green", "size": "M"},
    }  # fmt: skip
    assert order["payment_history"][-1]["amount"] == 3
    assert balance(store) == 17
    with pytest.raises(ToolError, match="non-pending"):
        do(store, "modify_pending_order_address", order_id="#W2004", **PLACE)


def test_payment_and_addresses_are_changed() -> None:
    store = pending()
    do(store, "modify_pending_order_payment", order_id="#W2004", payment_method_id="paypal_512")
    assert balance(store) == 99
    with pytest.raises(ToolError, match="exactly one payment"):
        do(store, "modify_pending_order_payment", order_id="#W2004", payment_method_id="paypal_512")
    assert do(store, "modify_pending_order_address", order_id="#W2004", **PLACE)["address"] == PLACE
    assert do(store, "modify_user_address", user_id="kira_hale_31", **PLACE)["address"] == PLACE
    with pytest.raises(ToolError, match="should be different"):
        do(
            pending(),
            "modify_pending_order_payment",
            order_id="#W2004",
            payment_method_id="gift_card_230",
        )


def test_what_is_done_and_undone_is_no_change() -> None:
    store = Store(shop().tables)
    before = do(store, "get_user_details", user_id="kira_hale_31")["address"]
    do(store, "modify_user_address", user_id="kira_hale_31", **PLACE)
    assert store.changes()
    do(store, "modify_user_address", user_id="kira_hale_31", **{"address2": "", **before})
    assert not store.changes()


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("get_order_details", {"order_id": "#W1"}, "order not found"),
        ("get_user_details", {"user_id": "nobody"}, "user not found"),
        ("find_user_id_by_email", {"email": "x@y"}, "user not found"),
        ("cancel_pending_order", {"order_id": "#W2004", "reason": "no longer needed"}, "non-pending"),
        ("return_delivered_order_items", {**JACKET, "item_ids": ["7101"] * 2}, "item 7101 not found"),
        ("return_delivered_order_items", {**JACKET, "payment_method_id": "x"}, "payment method not"),
        ("return_delivered_order_items", {**JACKET, "order_id": "#W2011"}, "non-delivered"),
        ("exchange_delivered_order_items", {**JACKET, "new_item_ids": ["7201"]}, "7201 not found"),
        ("exchange_delivered_order_items", {**JACKET, "new_item_ids": []}, "must be the same"),
        ("calculate", {"expression": "2 ** 99"}, "cannot calculate"),
        ("calculate", {"expression": "(" * 500}, "cannot calculate"),
        ("calculate", {"expression": "1 / 0"}, "cannot calculate"),
        ("calculate", {"expression": "__import__('os')"}, "cannot calculate"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_changes_nothing(
    tool: str, given: dict[str, Any], words: str
) -> None:
    store = Store(shop().tables)
    with pytest.raises(ToolError, match=words):
        do(store, tool, **given)
    assert not store.changes()


def test_reading_and_reckoning() -> None:
    store = Store(shop().tables)
    assert do(store, "find_user_id_by_email", email="Kira.Hale@example.com") == "kira_hale_31"
    assert do(store, "list_all_product_types") == {"jacket": "710", "lamp": "720"}
    assert do(store, "calculate", expression="-(79 + 3) * 2 / 8") == "-20.5"
    assert do(store, "get_product_details", product_id="720")["variants"]["7201"]["price"] == 35
    assert do(store, "think", thought="Hm.") == ""
    assert not store.changes()


# ---- what may be called --------------------------------------------------------------------------


def tools_now(table: Environment) -> dict[str, Any]:
    for choice in table.observe().schema()["anyOf"]:
        fields = choice["properties"]
        if fields["act"]["const"] == "request":
            return {
                call["properties"]["tool"]["const"]: call["properties"]["arguments"]["properties"]
                for call in fields["content"]["anyOf"]
            }
    return {}


def test_ids_must_have_been_come_across() -> None:
    table = opened(shop(), "Please cancel #W2011. And #W99999, too.")
    now = tools_now(table)
    assert "get_user_details" not in now
    assert now["cancel_pending_order"]["order_id"] == {"enum": ["#W2011"]}
    turn = table.step(use("get_order_details", order_id="#W2004"))
    assert turn.error is not None
    assert "get_order_details with order_id; ids that you have come across" in turn.error.legal
    table.step(use("get_order_details", order_id="#W2011"))
    assert tools_now(table)["get_user_details"]["user_id"] == {"enum": ["kira_hale_31"]}
    table.step(use("get_user_details", user_id="kira_hale_31"))
    assert tools_now(table)["get_order_details"]["order_id"]["enum"] == ["#W2011", "#W2004"]


def test_any_text_is_an_id_where_they_are_not_narrowed() -> None:
    table = opened(changed(narrow=False))
    turn = table.step(use("get_order_details", order_id="#W1"))
    assert json.loads((turn.told or ())[0].text) == "Error: order not found"
    assert arguments("cancel_pending_order", None) == {
        "type": "object",
        "properties": {
            "order_id": {"type": "string", "maxLength": 40},
            "reason": {"enum": ["no longer needed", "ordered by mistake"]},
        },
        "required": ["order_id", "reason"],
        "additionalProperties": False,
    }
    turn = table.step(use("book_flight"))
    assert turn.error is not None
    assert turn.error.legal.startswith("a tool of find_user_id_by_email, ")


def test_tools_are_explained_where_there_is_room() -> None:
    said = "cancel_pending_order(order_id, reason)"
    assert f"- {said}: Cancel an order" in Environment(shop()).observe("desk").card
    assert f"- {said}\n" in Environment(changed(explained=False)).observe("desk").card
    assert said not in Environment(shop()).observe("customer").card


def test_results_are_what_they_were_when_they_were_told() -> None:
    table = opened(shop(), "#W2004")
    first = table.step(use("get_order_details", order_id="#W2004"))
    table.step(use("get_product_details", product_id="710"))
    table.step(use("exchange_delivered_order_items", **JACKET, new_item_ids=["7102"]))
    assert first.told is not None
    assert first.told[0].content is not None
    assert first.told[0].content.model_dump()["result"]["status"] == "delivered"


# ---- what counts as served -----------------------------------------------------------------------


def ended(scenario: DeskScenario, *replies: Reply) -> Episode:
    table = opened(scenario, "#W2004 #W2011 kira_hale_31")
    for reply in replies:
        assert table.ended is None
        turn = table.step(reply)
        assert turn.message, turn.error
    if table.ended is None:
        for _ in range(100):
            table.step(Reply(raw="?"))
    return table.episode()


LOOK = (use("get_order_details", order_id="#W2004"), use("get_product_details", product_id="710"))
SWAP = use("exchange_delivered_order_items", **JACKET, new_item_ids=["7102"])
BROWN = use("exchange_delivered_order_items", **JACKET, new_item_ids=["7103"])
NO, TELL = (
    Reply(act=Act.REFUSE, text="No."),
    Reply(act=Act.INFORM, text="It costs 1,082.50 in all."),
)
BYE, LEAVE = Reply(act=Act.CONFIRM), Reply(act=Act.CANCEL)
HUMAN = use(TRANSFER, summary="")
FOR_A_HUMAN = {"tool": TRANSFER, "arguments": {"summary": ""}}

CASES: list[tuple[str, dict[str, Any], tuple[Reply, ...], bool, int]] = [
    ("right", {}, (*LOOK, SWAP, TELL, BYE), True, 0),
    ("the customer leaves", {}, (*LOOK, SWAP, TELL, LEAVE), True, 0),
    ("another item", {}, (*LOOK, BROWN, TELL, BYE), False, 1),
    ("nothing done", {}, (NO, BYE), False, 0),
    ("not closed", {}, (*LOOK, SWAP), False, 0),
    ("nothing to do, refused", {"expected": []}, (NO, BYE), True, 0),
    ("nothing to do, not refused", {"expected": []}, (TELL, BYE), False, 0),
    ("nothing to do, handed over", {"expected": []}, (HUMAN,), True, 0),
    ("nothing to do, yet done", {"expected": []}, (*LOOK, SWAP, NO, BYE), False, 1),
    ("for a human", {"expected": [FOR_A_HUMAN]}, (HUMAN,), True, 0),
    ("for a human, refused", {"expected": [FOR_A_HUMAN]}, (NO, BYE), False, 0),
    ("words, said", {"expected": [], "outputs": ["1082.50"]}, (TELL, BYE), True, 0),
    ("words, not said", {"expected": [], "outputs": ["1082.50"]}, (NO, BYE), False, 0),
]  # fmt: skip


@pytest.mark.parametrize(("case", "fields", "replies", "served", "wrong"), CASES)
def test_served_is_the_right_end_and_a_word(
    case: str, fields: dict[str, Any], replies: tuple[Reply, ...], served: bool, wrong: int
) -> None:
    outcome = ended(changed(**fields), *replies).outcome
    assert outcome.completed is served
    assert set(outcome.utilities.values()) == {float(served)}
    assert outcome.results["wrong_writes"] == wrong
    solution = SupportDesk.solve(changed(**fields))
    assert solution.disagreement == (0, 0)
    assert solution.max_joint == 2
    assert outcome.deal is not None or not served


def test_a_hand_over_ends_the_case() -> None:
    episode = ended(shop(), HUMAN)
    assert episode.ended is Ended.DONE
    assert episode.outcome.deal == {"calls": [{"tool": TRANSFER, "arguments": {}}]}


def test_pairs_of_items_may_be_named_in_any_order() -> None:
    there = {"item_ids": ["1", "2"], "new_item_ids": ["3", "4"]}
    back = {"item_ids": ["2", "1"], "new_item_ids": ["4", "3"]}
    crossed = {"item_ids": ["2", "1"], "new_item_ids": ["3", "4"]}
    one, two, three = (same(Call(tool="t", arguments=a)) for a in (there, back, crossed))
    assert one == two != three
    assert same(Call(tool="t", arguments={"item_ids": ["2", "1"]})) == same(
        Call(tool="t", arguments={"item_ids": ["1", "2"]})
    )


# ---- scenarios -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"protocol": "alternating_offers"}, "want service"),
        ({"roles": {"a": {"role": "desk"}, "desk": {}}}, "one customer and one desk"),
        ({"folder": "x"}, "either a shop or a folder"),
        ({"tools": ["get_order_detail"]}, "did you mean 'get_order_details'"),
        ({"expected": [{"tool": "think", "arguments": {"thought": "?"}}]}, "expected.0: no tool 'think'"),
        ({"expected": [{"tool": TRANSFER, "arguments": {}}]}, f"{TRANSFER} takes summary"),
        ({"expected": [{"tool": "get_order_details", "arguments": {"order_id": "#W1"}}]}, "order not found"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        changed(**fields)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("orders", "#W2004", "user_id"), "nobody", "#W2004.user_id: no user 'nobody'"),
        (("users", "kira_hale_31", "orders"), ["#W1"], "no order '#W1'"),
        (("products",), {}, "no product '710'"),
        (("users", "kira_hale_31", "payment_methods"), {}, "has no payment method 'paypal_512'"),
    ],
)
def test_a_shop_that_does_not_hang_together_is_refused(
    place: tuple[str, ...], value: object, words: str
) -> None:
    data = shop().model_dump(exclude_none=True, exclude_unset=True)
    at = data["shop"]
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    with pytest.raises(ValueError, match=words):
        DeskScenario.model_validate(data)


def test_a_folder_that_is_none_is_said() -> None:
    data = shop().model_dump(exclude_none=True, exclude_unset=True)
    with pytest.raises(MootError, match=r"users\.json: no such file"):
        DeskScenario.model_validate({**data, "shop": None, "folder": "nowhere"})


def drawn(count: int = 60, **fields: Any) -> Iterator[DeskScenario]:
    for number in range(count):
        yield DeskGenerator.model_validate(fields).draw(random.Random(number))


def test_generated_cases_are_what_was_asked_for() -> None:
    assert not any(s.expected for s in drawn(20, refused=1.0))
    never = list(drawn(30, refused=0.0, human=0.0))
    assert all(len(s.expected) == len(s.roles["customer"].wishes) for s in never)
    assert all(s.transfers() for s in drawn(10, refused=0.0, human=1.0, wants=["cancel"]))
    known = [w["order"] for s in drawn(10, unknown=0.0) for w in s.roles["customer"].wishes]
    assert all(known)
    assert {len(s.roles["customer"].wishes) for s in drawn(20, wishes=[3, 3], human=0.0)} == {3}


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"wishes": [1, 4]}, "about another one"), ({"customers": [3, 2]}, "customers: got 3 to 2"),
     ({"wants": []}, "at least one")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DeskGenerator.model_validate(fields)


# ---- scripted players ----------------------------------------------------------------------------


@pytest.mark.parametrize("desk", ["sensible", "oracle"])
def test_a_good_desk_serves_everybody(desk: str) -> None:
    cases = (*drawn(40), *drawn(10, wants=["cancel"], human=0.5))
    episodes = [meet(s, "sensible", desk, n) for n, s in enumerate(cases)]
    assert all(e.outcome.completed for e in episodes)
    assert not any(e.outcome.results["tool_errors"] for e in episodes)
    assert {e.ended for e in episodes} == {Ended.AGREED, Ended.DONE}


def test_the_fixed_case_is_half_refused() -> None:
    episode = meet(shop(), "sensible", "sensible")
    assert episode.outcome.completed
    said = [m for m in episode.messages if m.act is Act.REFUSE]
    assert [m.text for m in said] == [
        "Done: the exchange is on its way. I cannot cancel that: order #W2011 is processed."
    ]
    asked = [
        m.content.model_dump()["about"]
        for m in episode.messages
        if m.act is Act.QUERY_REF and m.content
    ]
    assert asked == ["identity", "wishes", "agreement"]


@pytest.mark.parametrize(("customer", "desk"), [("random", "sensible"), ("sensible", "random")])
def test_players_bear_with_anybody(customer: str, desk: str) -> None:
    episodes = [meet(s, customer, desk, n) for n, s in enumerate(drawn(25))]
    assert sum(e.outcome.completed for e in episodes) < 12


def test_a_person_is_asked_for_a_tool_then_for_its_arguments() -> None:
    typed = "request\nfind_user_id_by_name_zip\nKira\nHale\n40417\n\nquery-ref\nagreement\n\nrefuse\nNo.\n"
    screen = io.StringIO()
    seats = {
        "desk": HumanPool(io.StringIO(typed), screen),
        "customer": ScriptedPool(Scripted("sensible")),
    }
    (episode,) = play([Environment(shop())], seats)
    call, asked = (
        m.content.model_dump() for m in episode.messages if m.sender == "desk" and m.content
    )
    assert call == {
        "tool": "find_user_id_by_name_zip",
        "arguments": {"first_name": "Kira", "last_name": "Hale", "zip": "40417"},
    }
    assert asked == {"about": "agreement"}
    assert (
        "tool (one of find_user_id_by_email, find_user_id_by_name_zip, transfer"
        in screen.getvalue()
    )
    assert "kira_hale_31" in screen.getvalue(), "the result is shown"


# ---- the retail tasks of tau-bench ---------------------------------------------------------------

RETAIL = Path(__file__).parents[2] / "shared" / "data" / "tau_retail"
with_retail = pytest.mark.skipif(not RETAIL.exists(), reason="needs the data folder beside it")


def folder(at: Path, tasks: object) -> Path:
    """The shipped shop as a folder of retail data, with these tasks."""
    tables = shop().tables
    (at / "users.json").write_text(json.dumps(tables.users))
    (at / "orders.json.gz").write_bytes(gzip.compress(json.dumps(tables.orders).encode()))
    (at / "products.json").write_text(json.dumps(tables.products))
    (at / "wiki.md").write_text("Be kind.\n")
    (at / "some_tasks.json").write_text(json.dumps(tasks))
    return at


TASK = {
    "user_id": "kira_hale_31",
    "instruction": "You want the jacket in M.",
    "actions": [
        {"name": "exchange_delivered_order_items", "kwargs": {**JACKET, "new_item_ids": ["7102"]}}
    ],
    "outputs": [],
}


def test_a_folder_of_tasks_is_played_where_it_lies(tmp_path: Path) -> None:
    free = {**TASK, "actions": [], "outputs": ["35"]}
    fails = {**TASK, "actions": [{"name": "get_user_details", "kwargs": {"user_id": "nobody"}}]}
    scenarios = load_scenarios(folder(tmp_path, [TASK, free, fails]))
    assert scenarios == load_scenarios(tmp_path / "some_tasks.json")
    one, two, three = scenarios
    assert isinstance(one, DeskScenario)
    assert (one.source, one.folder, one.shop) == ("some_tasks-0", str(tmp_path), None)
    assert "7102" not in one.model_dump_json(exclude={"expected"}), "nothing is copied"
    assert len(one.tools) == 16
    assert Environment(one).observe("desk").private == {"policy": "Be kind."}
    for scenario, ending in ((one, Act.INFORM), (two, Act.INFORM), (three, Act.REFUSE)):
        assert isinstance(scenario, DeskScenario)
        episode = meet(scenario, "sensible", "oracle")
        assert episode.messages[0].text == "You want the jacket in M."
        assert episode.messages[-2].act is ending
        assert episode.outcome.completed
    assert Episode.model_validate_json(episode.line()).line() == episode.line()
    assert check_environment(scenarios, episodes=3).varied > 5


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("some_tasks.json", "[]", "is empty"),
        ("some_tasks.json", '[{"instruction": "x"}]', "0.actions"),
        (
            "some_tasks.json",
            '[{"instruction": "", "actions": [{"name": "fly", "kwargs": {}}]}]',
            "'fly'",
        ),
        ("users.json", "[]", "want a JSON object of entries"),
        ("users.json", "{", "not readable as JSON"),
        ("orders.json", "{", "orders.json: not readable"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (folder(tmp_path, [TASK]) / name).write_text(text)
    with pytest.raises(MootError, match=words):
        load_scenarios(tmp_path)


def test_a_missing_table_is_said(tmp_path: Path) -> None:
    (folder(tmp_path, [TASK]) / "products.json").unlink()
    with pytest.raises(MootError, match=r"products\.json: no such file; a shop's folder holds"):
        load_scenarios(tmp_path)


@with_retail
def test_the_expected_calls_of_retail_tasks_lead_to_their_ends() -> None:
    scenarios = load_scenarios(RETAIL / "retail_tasks_dev.json")
    assert len(scenarios) == 20
    served = [meet(s, "sensible", "oracle") for s in scenarios if isinstance(s, DeskScenario)]
    assert all(e.outcome.completed for e in served)
    assert sum(e.outcome.results["tool_calls"] for e in served) == 25
    assert not any(e.outcome.results["wrong_writes"] for e in served)
    idle = [meet(s, "sensible", "sensible") for s in scenarios if isinstance(s, DeskScenario)]
    assert sum(e.outcome.completed for e in idle) == 1, "the one that asks for nothing"


@with_retail
def test_all_retail_tasks_are_read_and_most_change_something() -> None:
    scenarios = [s for s in load_scenarios(RETAIL) if isinstance(s, DeskScenario)]
    assert len(scenarios) == 520
    assert len({s.source for s in scenarios}) == 520
    ends = [s.end().changes() for s in scenarios]
    assert sum(not end for end in ends) == 6
    for scenario, end in zip(scenarios[::25], ends[::25], strict=True):
        missing = Store(scenario.tables)
        for call in scenario.expected[1:]:
            TOOLS[call.tool].run(missing, **call.arguments)
        assert missing.changes() != end, "every call counts"
