"""The databases of a support desk: users, orders and products, and what one episode changes in them.

The shape is that of the retail databases of tau-bench (Yao et al. 2024, arXiv:2406.12045), so that a
folder of that data and a small shop written into a scenario are the same thing. What is stored is never
changed: a `Store` copies an entry when a tool first edits it, so an episode costs what it changes.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, Field

from ...protocols import MootError
from ..scenario import STRICT

Entry = dict[str, Any]
TABLES = ("users", "orders", "products")
ID = re.compile(r"#?\w+")
"""What may be an id in running text."""


class Name(BaseModel):
    """Of a user."""

    model_config = STRICT
    first_name: str
    last_name: str


class Address(BaseModel):
    """Of a user, and where an order goes."""

    model_config = STRICT
    address1: str
    address2: str = ""
    city: str
    state: str
    country: str
    zip: str


class Means(BaseModel):
    """A way to pay; a gift card has a balance."""

    model_config = STRICT
    source: Literal["credit_card", "gift_card", "paypal"]
    id: str
    balance: int | float | None = None


class User(BaseModel):
    """A customer of the shop."""

    model_config = STRICT
    name: Name
    address: Address
    email: str
    payment_methods: dict[str, Means]
    orders: list[str]


class Item(BaseModel):
    """One piece of an order."""

    model_config = STRICT
    name: str
    product_id: str
    item_id: str
    price: int | float
    options: dict[str, str]
    final_sale: bool | None = None


class Payment(BaseModel):
    """One line of an order's payment history."""

    model_config = STRICT
    transaction_type: Literal["payment", "refund"]
    amount: int | float
    payment_method_id: str


class Order(BaseModel):
    """Items that a user bought together."""

    model_config = STRICT
    order_id: str
    user_id: str
    address: Address
    items: list[Item]
    status: str = Field(description="pending, processed, delivered, cancelled, ...")
    payment_history: list[Payment] = Field(min_length=1)


class Variant(BaseModel):
    """One item of a product that can be had."""

    model_config = STRICT
    item_id: str
    options: dict[str, str]
    available: bool
    price: int | float


class Product(BaseModel):
    """A kind of thing with its variants."""

    model_config = STRICT
    name: str
    product_id: str
    variants: dict[str, Variant]


class Shop(BaseModel):
    """A shop written into a scenario. Keys are the ids of their entries."""

    model_config = STRICT

    users: dict[str, User]
    orders: dict[str, Order]
    products: dict[str, Product]

    def tables(self) -> Tables:
        """The same as plain data. Raises `ValueError` when an entry names what is not there."""
        plain = self.model_dump(exclude_none=True)
        for number, order in self.orders.items():
            if order.user_id not in self.users:
                raise ValueError(f"shop.orders.{number}.user_id: no user {order.user_id!r}")
            means = self.users[order.user_id].payment_methods
            for payment in order.payment_history:
                if payment.payment_method_id not in means:
                    raise ValueError(
                        f"shop.orders.{number}: {order.user_id} has no payment method "
                        f"{payment.payment_method_id!r}"
                    )
            for item in order.items:
                if item.product_id not in self.products:
                    raise ValueError(f"shop.orders.{number}.items: no product {item.product_id!r}")
        for name, user in self.users.items():
            for number in user.orders:
                if number not in self.orders:
                    raise ValueError(f"shop.users.{name}.orders: no order {number!r}")
            for key, means in user.payment_methods.items():
                if means.source == "gift_card" and means.balance is None:
                    raise ValueError(f"shop.users.{name}.payment_methods.{key}: want a balance")
        return Tables(*(plain[t] for t in TABLES))


class Tables:
    """What is stored; shared by every episode that is played on it, and never changed."""

    def __init__(
        self, users: Mapping[str, Entry], orders: Mapping[str, Entry], products: Mapping[str, Entry]
    ) -> None:
        self.users, self.orders, self.products = users, orders, products

    @cached_property
    def ids(self) -> dict[str, str]:
        """Every id -> its kind: user, order, product, item or means."""
        found = dict.fromkeys(self.users, "user") | dict.fromkeys(self.orders, "order")
        found |= dict.fromkeys(self.products, "product")
        for user in self.users.values():
            found |= dict.fromkeys(user["payment_methods"], "means")
        for product in self.products.values():
            found |= dict.fromkeys(product["variants"], "item")
        for order in self.orders.values():
            found |= {item["item_id"]: "item" for item in order["items"]}
        return found

    def named(self, text: str) -> Iterator[tuple[str, str]]:
        """The ids that a text names, each with its kind."""
        for word in ID.findall(text):
            kind = self.ids.get(word)
            if kind is not None:
                yield word, kind


@lru_cache(maxsize=8)
def read_tables(folder: str) -> Tables:
    """The databases of a folder: users, orders and products, each `.json` or `.json.gz`.

    Raises `MootError` naming the file that is missing or broken.
    """
    found: list[Mapping[str, Entry]] = []
    for table in TABLES:
        path = Path(folder) / f"{table}.json"
        packed = Path(folder) / f"{table}.json.gz"
        try:
            raw = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
            data = json.loads(raw)
        except FileNotFoundError:
            raise MootError(f"{path}: no such file; a shop's folder holds users, orders and "
                            "products as .json or .json.gz") from None  # fmt: skip
        except (OSError, ValueError, EOFError) as error:
            raise MootError(f"{path}: not readable as JSON: {error}") from None
        rows = cast(dict[object, object], data) if isinstance(data, dict) else {}
        if not rows or not all(isinstance(row, dict) for row in rows.values()):
            raise MootError(f"{path}: want a JSON object of entries by id")
        found.append(cast(Mapping[str, Entry], rows))
    return Tables(*found)


class Store:
    """The databases as one episode leaves them: what is stored, and what was changed."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._changed: dict[tuple[str, str], Entry] = {}

    def find(self, table: str, key: str) -> Entry | None:
        """An entry to be read, as it is now."""
        return self._changed.get((table, key)) or getattr(self.tables, table).get(key)

    def edit(self, table: str, key: str) -> Entry:
        """An entry to be changed; it must exist."""
        if (table, key) not in self._changed:
            self._changed[table, key] = deepcopy(getattr(self.tables, table)[key])
        return self._changed[table, key]

    def changes(self) -> dict[tuple[str, str], Entry]:
        """(table, id) -> the entry, where it is not what it was: two stores of the same tables are
        equal when these are."""
        return {
            (table, key): entry
            for (table, key), entry in self._changed.items()
            if entry != getattr(self.tables, table)[key]
        }
