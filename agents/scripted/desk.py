"""Both sides of the support desk: a customer that tells what it is asked, a desk that follows its policy.

The desk keeps no notes: what it knows are the results of its own calls and what the customer told in
typed answers. It finds the customer, hears the wishes, looks the orders up, asks for agreement, acts,
and says what it did or why not. Words beside the typed answers are for people and language models; a
customer that types no wish is handed over to a human. Left out: reading wishes out of free words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...protocols import WORLD, Act, Message, Observation, Reply
from .bargaining import field

LARGE = re.compile(r"more than (\d+)")
"""In the policy: what an order that the desk may cancel costs at most."""
TRANSFER = "transfer_to_human_agents"
NEEDS = {"cancel": "pending", "address": "pending", "change": "pending",
         "return": "delivered", "exchange": "delivered"}  # fmt: skip
SWAPS = {"change": "modify_pending_order_items", "exchange": "exchange_delivered_order_items"}
DONE = {
    "cancel_pending_order": "your order is cancelled",
    "modify_pending_order_address": "the address is changed",
    "modify_pending_order_items": "your order is changed",
    "return_delivered_order_items": "the return is on its way",
    "exchange_delivered_order_items": "the exchange is on its way",
}
NO = {
    "status": "I cannot {want} that: order {order} is {status}.",
    "final": "I cannot take back what was a final sale.",
    "sold out": "I cannot do that: we have none like that.",
    "nothing": "I cannot find such an order of yours.",
}

Call = dict[str, Any]


class Plan(NamedTuple):
    """What to do about a wish: calls still to be made, or why not, or a human."""

    call: Call | None = None
    look: bool = False
    """Whether the call only looks something up that the plan needs."""
    no: str = ""


def sensible(observation: Observation, rng: random.Random) -> Reply:
    """A customer who tells what it is asked; a desk that looks up, asks for agreement, then acts."""
    if observation.role == "customer":
        return _customer(observation, rng)
    told = {field(m.content, "about"): m for m in _answers(observation)}
    identity = field(told["identity"].content, "identity") if "identity" in told else None
    wishes = field(told["wishes"].content, "wishes") if "wishes" in told else None
    agreed = "agreement" in told and bool(field(told["agreement"].content, "agreed"))
    return _desk(observation, identity, wishes, agreed, "agreement" in told)


def oracle(observation: Observation, rng: random.Random) -> Reply:
    """The same desk, which knows the customer's identity and wishes and need not ask."""
    if observation.role == "customer":
        return _customer(observation, rng)
    if observation.secrets is None:
        raise ValueError("the oracle needs sees_all: it must be shown all secrets")
    secret = next(s for s in observation.secrets.values() if "wishes" in s)
    if secret["wishes"]:
        return _desk(observation, secret["identity"], secret["wishes"], True, True)
    results = _results(observation)
    made = [call for call, _ in results]
    for call in secret["expected"]:
        if call not in made:
            return _use(call)
    worked = any(not str(result).startswith("Error") for _, result in results)
    if worked or secret["outputs"]:
        return _say(observation, Act.INFORM, " ".join(("It is all done.", *secret["outputs"])))
    return _say(observation, Act.REFUSE, "I am sorry, that cannot be done.")


# ---- the customer --------------------------------------------------------------------------------


def _customer(observation: Observation, rng: random.Random) -> Reply:
    private, heard = observation.private, observation.heard
    if observation.may(Act.REQUEST) and not heard:
        hello = rng.choice(
            ("Hello, I need help with an order.", "Hi! It is about an order of mine.")
        )
        first = next(_chunks(private["wish"], observation.max_text), "")
        return _say(observation, Act.REQUEST, hello if private["wishes"] else first)
    last = heard[-1]
    told = {field(m.content, "about") for m in _answers(observation)}
    untold = [a for a in ("identity", "wishes") if private[a] and a not in told]
    if last.act is Act.QUERY_REF and last.content is not None:
        about = field(last.content, "about")
        if about == "agreement":
            return _tell(observation, {"about": about, "agreed": True}, "Yes, please.")
        if private[about]:
            return _tell(
                observation, {"about": about, about: private[about]}, _words(private, about)
            )
    elif untold and ("?" in last.text or last.act is Act.INFORM):
        return _tell(
            observation,
            {"about": untold[0], untold[0]: private[untold[0]]},
            _words(private, untold[0]),
        )
    rest = list(_chunks(private["wish"], observation.max_text))
    said = sum(m.sender == observation.agent for m in heard)
    if not private["wishes"] and said < len(rest):
        return _say(observation, Act.INFORM, rest[said])
    if "?" in last.text or last.act is Act.QUERY_REF:
        return _tell(observation, {"about": "agreement", "agreed": True}, "Yes, please.")
    return _say(
        observation, Act.CONFIRM, rng.choice(("Thank you, that is all.", "All right. Goodbye!"))
    )


def _words(private: Mapping[str, Any], about: str) -> str:
    """What it tells, in the first person."""
    if about == "wishes":
        said = private["wish"].replace("You ", "I ").replace("your order", "my order")
        return said.replace(" you ", " I ")
    identity = private["identity"]
    return (
        "I am "
        + ", ".join(str(v) if k == "name" else f"{k} {v}" for k, v in identity.items())
        + "."
    )


def _chunks(text: str, most: int) -> Iterator[str]:
    """A text in parts of at most `most` characters, cut between words."""
    part = ""
    for word in text.split():
        longer = f"{part} {word}".strip()
        if len(longer) > most:
            if part:
                yield part
            part = word[:most]
        else:
            part = longer
    if part:
        yield part


# ---- the desk ------------------------------------------------------------------------------------


def _desk(
    observation: Observation,
    identity: Mapping[str, str] | None,
    wishes: Sequence[Mapping[str, Any]] | None,
    agreed: bool,
    asked: bool,
) -> Reply:
    """The next step, from what is known of the customer and of the databases."""
    results = _results(observation)
    asks = [field(m.content, "about") for m in observation.heard
            if m.sender == observation.agent and m.act is Act.QUERY_REF]  # fmt: skip
    if identity is None:
        if "identity" in asks:
            return _use({"tool": TRANSFER, "arguments": {"summary": "I do not know the customer."}})
        return _ask(
            observation, "identity", "Gladly. Who are you: your email, or name and zip code?"
        )
    user = _user(results)
    if user is None:
        if any(c["tool"].startswith("find_user") for c, _ in results):
            return _say(observation, Act.REFUSE, "I am sorry, I cannot find you.")
        return _use(_find(identity))
    if isinstance(user, str):
        return _use({"tool": "get_user_details", "arguments": {"user_id": user}})
    if wishes is None:
        if "wishes" in asks:
            return _use(
                {"tool": TRANSFER, "arguments": {"summary": "I do not understand the wish."}}
            )
        return _ask(
            observation,
            "wishes",
            f"Thank you, {user['name']['first_name']}. What can I do for you?",
        )
    large = LARGE.search(observation.private["policy"])
    plans = [_plan(w, user, results, int(large[1]) if large else None) for w in wishes]
    look = next((p.call for p in plans if p.look), None)
    if look is not None:
        return _use(look)
    todo = [p.call for p in plans if p.call is not None]
    done = [call for call, _ in results if call["tool"] in DONE]
    left = [call for call in todo if call not in done]
    if left and left[0]["tool"] == TRANSFER:
        return _use(left[0])
    if left and not asked:
        orders = " and ".join(dict.fromkeys(str(c["arguments"]["order_id"]) for c in left))
        return _ask(
            observation, "agreement", f"I have found {orders} and can do that. Shall I go on?"
        )
    if left and agreed:
        return _use(left[0])
    reasons = [p.no for p in plans if p.no]
    good = f"Done: {', '.join(DONE[c['tool']] for c in done)}. " if done else ""
    if reasons:
        return _say(observation, Act.REFUSE, good + " ".join(reasons))
    return _say(observation, Act.INFORM, good or "Then I leave everything as it is.")


def _plan(
    wish: Mapping[str, Any],
    user: Mapping[str, Any],
    results: Sequence[tuple[Call, Any]],
    large: int | None,
) -> Plan:
    """What to do about one wish, as the policy says, from what was looked up so far."""
    orders = {c["arguments"]["order_id"]: r for c, r in results if c["tool"] == "get_order_details"}
    order = None
    for number in [wish["order"]] if wish["order"] else user["orders"]:
        if number not in orders:
            if number not in user["orders"]:
                break
            return Plan({"tool": "get_order_details", "arguments": {"order_id": number}}, look=True)
        names = [item["name"] for item in orders[number]["items"]]
        if wish["order"] or set(wish["items"]) <= set(names):
            order = orders[number]
            break
    if order is None:
        return Plan(no=NO["nothing"])
    want, number = wish["want"], order["order_id"]
    status = order["status"]
    if status != NEEDS[want]:
        return Plan(no=NO["status"].format(want=want, order=number, status=status))
    paid, on = order["payment_history"][0], {"order_id": number}
    if want == "cancel":
        if large is not None and paid["amount"] > large:
            summary = f"Order {number} of more than {large} is to be cancelled."
            return Plan({"tool": TRANSFER, "arguments": {"summary": summary}})
        return Plan({"tool": "cancel_pending_order", "arguments": {**on, "reason": wish["reason"]}})
    if want == "address":
        return Plan(
            {"tool": "modify_pending_order_address", "arguments": {**on, **wish["address"]}}
        )
    items = [item for item in order["items"] if item["name"] in wish["items"]]
    means = {"payment_method_id": paid["payment_method_id"]}
    mine = {"item_ids": [item["item_id"] for item in items]}
    if want == "return":
        if any(item.get("final_sale") for item in items):
            return Plan(no=NO["final"])
        return Plan({"tool": "return_delivered_order_items", "arguments": {**on, **mine, **means}})
    new: list[str] = []
    products = {
        c["arguments"]["product_id"]: r for c, r in results if c["tool"] == "get_product_details"
    }
    for item in items:
        product = products.get(item["product_id"])
        if product is None:
            look = {"product_id": item["product_id"]}
            return Plan({"tool": "get_product_details", "arguments": look}, look=True)
        options = {**item["options"], **wish["to"]}
        fitting = (v for v in product["variants"].values() if v["options"] == options)
        variant = next((v for v in fitting if v["available"]), None)
        if variant is None:
            return Plan(no=NO["sold out"])
        new.append(variant["item_id"])
    return Plan({"tool": SWAPS[want], "arguments": {**on, **mine, "new_item_ids": new, **means}})


def _find(identity: Mapping[str, str]) -> Call:
    if "email" in identity:
        return {"tool": "find_user_id_by_email", "arguments": {"email": identity["email"]}}
    first, _, last = identity.get("name", "").partition(" ")
    who = {"first_name": first, "last_name": last, "zip": identity.get("zip", "")}
    return {"tool": "find_user_id_by_name_zip", "arguments": who}


def _user(results: Sequence[tuple[Call, Any]]) -> Any:
    """What is on record of the customer, else its user id, else None."""
    found = None
    for call, result in results:
        if call["tool"] == "get_user_details":
            return result
        if call["tool"].startswith("find_user") and not result.startswith("Error"):
            found = result
    return found


def _results(observation: Observation) -> list[tuple[Call, Any]]:
    """The desk's own calls, each with its result."""
    calls: dict[int, Message] = {}
    found: list[tuple[Call, Any]] = []
    for message in observation.heard:
        if message.sender == WORLD:
            content = calls[message.id].content
            call = {"tool": field(content, "tool"), "arguments": field(content, "arguments")}
            found.append((call, field(message.content, "result")))
        elif message.sender == observation.agent and message.act is Act.REQUEST:
            calls[message.id] = message
    return found


def _answers(observation: Observation) -> list[Message]:
    """The customer's typed answers."""
    return [m for m in observation.heard if m.act is Act.INFORM and m.sender != WORLD and m.content]


def _use(call: Call) -> Reply:
    return Reply(act=Act.REQUEST, content=call)


def _ask(observation: Observation, about: str, words: str) -> Reply:
    return Reply(act=Act.QUERY_REF, content={"about": about}, text=words[: observation.max_text])


def _tell(observation: Observation, content: dict[str, Any], words: str) -> Reply:
    return Reply(act=Act.INFORM, content=content, text=words[: observation.max_text])


def _say(observation: Observation, act: Act, words: str) -> Reply:
    return Reply(act=act, text=words[: observation.max_text])


PLAYERS = {"sensible": sensible, "oracle": oracle}
