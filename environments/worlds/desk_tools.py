"""The tools of a support desk: sixteen, by the names and with the effects of tau-bench's retail domain.

A tool is a function of the store and its arguments; what cannot be done is a `ToolError`, whose words are
the result that the desk is told. Parameters have kinds, from which the JSON Schema is made. Source of the
rules: the retail policy and tools of tau-bench (Yao et al. 2024, arXiv:2406.12045). Left out: what tools
do not enforce there either (who is authenticated, what the customer agreed to): that is policy.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .desk_store import Entry, Store

REASONS = ("no longer needed", "ordered by mistake")
ADDRESS = ("address1", "address2", "city", "state", "country", "zip")


class ToolError(Exception):
    """Why a tool did nothing, in the words that the desk is told."""


class Tool(NamedTuple):
    """One tool: what it does, and with what."""

    run: Callable[..., Any]
    takes: Mapping[str, str]
    """Parameter -> kind: user, order, product, item, means (ids), items (ids), reason, text or long."""
    says: str
    writes: bool = False


def _get(store: Store, table: str, key: str) -> Entry:
    entry = store.find(table, key)
    if entry is None:
        raise ToolError(f"{table.removesuffix('s')} not found")
    return entry


def _order(store: Store, order_id: str, status: str, done: str) -> Entry:
    """An order that must have this status for this to be `done`."""
    order = _get(store, "orders", order_id)
    if order["status"] != status:
        raise ToolError(f"non-{status} order cannot be {done}")
    return order


def _means(store: Store, order: Entry, means: str) -> Entry:
    """A payment method of the user whose order it is."""
    methods = _get(store, "users", order["user_id"])["payment_methods"]
    if means not in methods:
        raise ToolError("payment method not found")
    return methods[means]


def _held(order: Entry, item_ids: Sequence[str]) -> None:
    """Raise unless the order has these items, each as often as it is named."""
    have = [item["item_id"] for item in order["items"]]
    missing = next((i for i in item_ids if item_ids.count(i) > have.count(i)), None)
    if missing is not None:
        raise ToolError(f"item {missing} not found in the order")


def _pay(store: Store, user: str, means: str, amount: float) -> None:
    """Take an amount (negative: give back) from a gift card; other means are not kept here."""
    if _get(store, "users", user)["payment_methods"][means]["source"] == "gift_card":
        card = store.edit("users", user)["payment_methods"][means]
        card["balance"] = round(card["balance"] - amount, 2)


def _swap(store: Store, order: Entry, old: Sequence[str], new: Sequence[str], means: str) -> float:
    """What it costs to get `new` items for `old` ones of the same products; raises if it cannot be."""
    _held(order, old)
    if len(old) != len(new):
        raise ToolError("the number of old and new items must be the same")
    difference = 0.0
    for item_id, wanted in zip(old, new, strict=True):
        item = next(i for i in order["items"] if i["item_id"] == item_id)
        variant = _get(store, "products", item["product_id"])["variants"].get(wanted)
        if variant is None or not variant["available"]:
            raise ToolError(f"new item {wanted} not found or not available")
        difference += variant["price"] - item["price"]
    difference = round(difference, 2)
    method = _means(store, order, means)
    if method["source"] == "gift_card" and method["balance"] < difference:
        raise ToolError("insufficient gift card balance to pay for the price difference")
    return difference


# ---- reading -------------------------------------------------------------------------------------


def find_user_id_by_email(store: Store, email: str) -> str:
    """User id of an email address."""
    for user_id in store.tables.users:
        if _get(store, "users", user_id)["email"].lower() == email.lower():
            return user_id
    raise ToolError("user not found")


def find_user_id_by_name_zip(store: Store, first_name: str, last_name: str, zip: str) -> str:
    """User id of a name and zip code."""
    wanted = (first_name.lower(), last_name.lower(), zip)
    for user_id in store.tables.users:
        user = _get(store, "users", user_id)
        name = user["name"]
        have = (name["first_name"].lower(), name["last_name"].lower(), user["address"]["zip"])
        if have == wanted:
            return user_id
    raise ToolError("user not found")


def get_user_details(store: Store, user_id: str) -> Entry:
    """Name, address, email, payment methods and orders of a user."""
    return _get(store, "users", user_id)


def get_order_details(store: Store, order_id: str) -> Entry:
    """Status, items, address and payments of an order."""
    return _get(store, "orders", order_id)


def get_product_details(store: Store, product_id: str) -> Entry:
    """The variants of a product, with prices and availability."""
    return _get(store, "products", product_id)


def list_all_product_types(store: Store) -> dict[str, str]:
    """Names and ids of all products."""
    return {p["name"]: key for key, p in sorted(store.tables.products.items())}


BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def calculate(store: Store, expression: str) -> str:
    """The value of an expression of numbers, + - * / and brackets, to two digits."""

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return float(node.value)  # pyright: ignore[reportArgumentType]
        if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
            return BINARY[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            return sign * value(node.operand)
        raise ValueError("only numbers, + - * / and brackets")

    try:
        return str(round(value(ast.parse(expression.strip(), mode="eval").body), 2))
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        raise ToolError("cannot calculate that; numbers, + - * / and brackets only") from None


def think(store: Store, thought: str) -> str:
    """Nothing: a place to think aloud."""
    return ""


def transfer_to_human_agents(store: Store, summary: str) -> str:
    """Hand the customer over to a human; the case is closed."""
    return "Transfer successful"


# ---- writing -------------------------------------------------------------------------------------


def cancel_pending_order(store: Store, order_id: str, reason: str) -> Entry:
    """Cancel an order and give everything back as it was paid."""
    _order(store, order_id, "pending", "cancelled")
    if reason not in REASONS:
        raise ToolError("invalid reason")
    order = store.edit("orders", order_id)
    for payment in list(order["payment_history"]):
        amount, means = payment["amount"], payment["payment_method_id"]
        order["payment_history"].append(
            {"transaction_type": "refund", "amount": amount, "payment_method_id": means}
        )
        _pay(store, order["user_id"], means, -amount)
    order["status"], order["cancel_reason"] = "cancelled", reason
    return order


def modify_pending_order_address(store: Store, order_id: str, **address: str) -> Entry:
    """Send a pending order elsewhere."""
    _order(store, order_id, "pending", "modified")
    order = store.edit("orders", order_id)
    order["address"] = {part: address[part] for part in ADDRESS}
    return order


def modify_pending_order_items(
    store: Store,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Entry:
    """Get other variants for items of a pending order; possible only once for an order."""
    order = _order(store, order_id, "pending", "modified")
    difference = _swap(store, order, item_ids, new_item_ids, payment_method_id)
    order = store.edit("orders", order_id)
    order["payment_history"].append(
        {
            "transaction_type": "payment" if difference > 0 else "refund",
            "amount": abs(difference),
            "payment_method_id": payment_method_id,
        }
    )
    _pay(store, order["user_id"], payment_method_id, difference)
    for old, new in zip(item_ids, new_item_ids, strict=True):
        item = next(i for i in order["items"] if i["item_id"] == old)
        variant = _get(store, "products", item["product_id"])["variants"][new]
        item |= {"item_id": new, "price": variant["price"], "options": dict(variant["options"])}
    order["status"] = "pending (item modified)"
    return order


def modify_pending_order_payment(store: Store, order_id: str, payment_method_id: str) -> Entry:
    """Pay a pending order by other means."""
    order = _order(store, order_id, "pending", "modified")
    method = _means(store, order, payment_method_id)
    first = order["payment_history"][0]
    if len(order["payment_history"]) > 1 or first["transaction_type"] != "payment":
        raise ToolError("there should be exactly one payment for a pending order")
    amount, before = first["amount"], first["payment_method_id"]
    if before == payment_method_id:
        raise ToolError("the new payment method should be different from the current one")
    if method["source"] == "gift_card" and method["balance"] < amount:
        raise ToolError("insufficient gift card balance to pay for the order")
    order = store.edit("orders", order_id)
    for kind, means in (("payment", payment_method_id), ("refund", before)):
        order["payment_history"].append(
            {"transaction_type": kind, "amount": amount, "payment_method_id": means}
        )
        _pay(store, order["user_id"], means, amount if kind == "payment" else -amount)
    return order


def modify_user_address(store: Store, user_id: str, **address: str) -> Entry:
    """Change the default address of a user."""
    _get(store, "users", user_id)
    user = store.edit("users", user_id)
    user["address"] = {part: address[part] for part in ADDRESS}
    return user


def return_delivered_order_items(
    store: Store, order_id: str, item_ids: list[str], payment_method_id: str
) -> Entry:
    """Take items of a delivered order back; the refund goes to the original means or a gift card."""
    order = _order(store, order_id, "delivered", "returned")
    method = _means(store, order, payment_method_id)
    original = order["payment_history"][0]["payment_method_id"]
    if method["source"] != "gift_card" and payment_method_id != original:
        raise ToolError("the refund goes to the original payment method or to a gift card")
    _held(order, item_ids)
    order = store.edit("orders", order_id)
    order["status"] = "return requested"
    order["return_items"] = sorted(item_ids)
    order["return_payment_method_id"] = payment_method_id
    return order


def exchange_delivered_order_items(
    store: Store,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Entry:
    """Exchange items of a delivered order for other variants; possible only once for an order."""
    order = _order(store, order_id, "delivered", "exchanged")
    difference = _swap(store, order, item_ids, new_item_ids, payment_method_id)
    order = store.edit("orders", order_id)
    order |= {
        "status": "exchange requested",
        "exchange_items": sorted(item_ids),
        "exchange_new_items": sorted(new_item_ids),
        "exchange_payment_method_id": payment_method_id,
        "exchange_price_difference": difference,
    }
    return order


_WHERE = dict.fromkeys(ADDRESS, "text")
_SWAP = {
    "order_id": "order", "item_ids": "items", "new_item_ids": "items", "payment_method_id": "means",
}  # fmt: skip
_RUN: tuple[tuple[Callable[..., Any], Mapping[str, str], bool], ...] = (
    (find_user_id_by_email, {"email": "text"}, False),
    (find_user_id_by_name_zip, dict.fromkeys(("first_name", "last_name", "zip"), "text"), False),
    (get_user_details, {"user_id": "user"}, False),
    (get_order_details, {"order_id": "order"}, False),
    (get_product_details, {"product_id": "product"}, False),
    (list_all_product_types, {}, False),
    (calculate, {"expression": "text"}, False),
    (think, {"thought": "long"}, False),
    (transfer_to_human_agents, {"summary": "long"}, False),
    (cancel_pending_order, {"order_id": "order", "reason": "reason"}, True),
    (modify_pending_order_address, {"order_id": "order", **_WHERE}, True),
    (modify_pending_order_items, _SWAP, True),
    (modify_pending_order_payment, {"order_id": "order", "payment_method_id": "means"}, True),
    (modify_user_address, {"user_id": "user", **_WHERE}, True),
    (return_delivered_order_items,
     {"order_id": "order", "item_ids": "items", "payment_method_id": "means"}, True),
    (exchange_delivered_order_items, _SWAP, True),
)  # fmt: skip
TOOLS: dict[str, Tool] = {
    run.__name__: Tool(run, takes, (run.__doc__ or "").partition("\n")[0].rstrip("."), writes)
    for run, takes, writes in _RUN
}
"""Name -> tool."""
TRANSFER = transfer_to_human_agents.__name__
