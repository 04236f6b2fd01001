"""A small shop and a customer's wish, drawn at random: the generator of support desk.

The wish comes first, then the orders that make it what it shall be: one that the policy allows, one that
it forbids (wrong status, final sale, sold out), or one for a human. So no draw is thrown away, and the
calls that would serve the customer are known. Names, streets and things are made up here.
"""

from __future__ import annotations

import random
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, model_validator

from ..scenario import STRICT, ProtocolChoice
from .desk_scenario import Call, DeskRole, DeskScenario
from .desk_store import Entry, Shop
from .desk_tools import ADDRESS, REASONS, TRANSFER

LARGE = 300
"""An order that cost more is not cancelled by the desk."""
POLICY = f"""\
Find the customer first: by email, or by name and zip code. Serve nobody else's orders.
Only a pending order can be cancelled, sent elsewhere, or have items changed; look at its status first.
An order of more than {LARGE} in total is cancelled by humans only: transfer the customer.
Only items of a delivered order can be returned or exchanged. Items marked final_sale are never returned.
New items must be available and of the same product, with the other options as they were.
Money goes the way that the order was paid. Ask for agreement before you change anything.
Refuse what is not allowed, and say why."""
SHOP_TOOLS = (
    "find_user_id_by_email", "find_user_id_by_name_zip", "get_user_details", "get_order_details",
    "get_product_details", "cancel_pending_order", "modify_pending_order_address",
    "modify_pending_order_items", "return_delivered_order_items", "exchange_delivered_order_items",
    TRANSFER,
)  # fmt: skip
FIRST = (
    "Ada",
    "Ben",
    "Chloe",
    "Dario",
    "Esme",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Lev",
)
LAST = (
    "Abel",
    "Brandt",
    "Costa",
    "Dube",
    "Ekman",
    "Fiore",
    "Grant",
    "Hale",
    "Ito",
    "Juhl",
    "Kovac",
)
STREETS = ("Mill Lane", "High Street", "Oak Avenue", "Station Road", "Canal Street", "Hill Road")
CITIES = (
    ("Ashford", "KT"),
    ("Brookfield", "WI"),
    ("Carlow", "CL"),
    ("Dunmore", "PA"),
    ("Elmira", "NY"),
)
THINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "lamp": {"colour": ("white", "green", "black"), "size": ("small", "large")},
    "kettle": {"colour": ("red", "silver", "blue"), "capacity": ("1 l", "2 l")},
    "backpack": {"colour": ("grey", "orange", "navy"), "size": ("20 l", "30 l")},
    "jacket": {"colour": ("yellow", "brown", "black"), "size": ("S", "M", "L")},
    "headphones": {"colour": ("black", "white"), "type": ("in-ear", "over-ear")},
    "blanket": {"colour": ("beige", "blue", "rose"), "material": ("wool", "cotton")},
    "desk chair": {"colour": ("black", "grey"), "armrests": ("with", "without")},
    "tent": {"colour": ("green", "sand"), "sleeps": ("two", "three", "four")},
}  # fmt: skip
Want = Literal["cancel", "address", "change", "return", "exchange"]
WANTS: tuple[Want, ...] = ("cancel", "address", "change", "return", "exchange")
PENDING = ("cancel", "address", "change")
STATUSES = ("pending", "processed", "delivered")
SWAPS = {"change": "modify_pending_order_items", "exchange": "exchange_delivered_order_items"}


class Case(NamedTuple):
    """One wish: in words, for scripts, and the calls that serve it (None: a human must)."""

    words: str
    typed: dict[str, Any]
    calls: tuple[Call, ...] | None


class DeskGenerator(BaseModel):
    """A shop, a customer with some orders, and one or more wishes."""

    model_config = STRICT

    customers: tuple[int, int] = Field(default=(2, 3), description="Fewest and most users.")
    products: tuple[int, int] = Field(
        default=(3, 4), description="Fewest and most kinds of things, two to eight."
    )
    wishes: tuple[int, int] = Field(
        default=(1, 2), description="Fewest and most wishes, each about an order of its own."
    )
    wants: tuple[Want, ...] = Field(default=WANTS, description="What wishes are about.")
    refused: float = Field(
        default=0.25, ge=0, le=1, description="Share of wishes that the policy forbids."
    )
    human: float = Field(
        default=0.1, ge=0, le=1, description="Share of cancellations that only a human may do."
    )
    unknown: float = Field(
        default=0.4, ge=0, le=1,
        description="Share of wishes whose customer does not know the number of the order.",
    )  # fmt: skip
    explained: bool = Field(
        default=False, description="Whether the desk is told what each tool does; longer prompts."
    )
    deadline: int = Field(default=30, ge=1, description="Most messages, tool calls among them.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, least, most in (
            ("customers", 1, 20), ("products", 2, len(THINGS)), ("wishes", 1, 4),
        ):  # fmt: skip
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: got {low} to {high}, want {least} <= fewest <= most <= {most}"
                )
        if self.wishes[1] > self.products[0]:
            raise ValueError(
                f"wishes: at most {self.wishes[1]}, but there may be only {self.products[0]} products; "
                "every wish is about another one"
            )
        if not self.wants:
            raise ValueError("wants: want at least one")
        return self

    def draw(self, rng: random.Random) -> DeskScenario:
        """A new shop and case."""
        shop = _Shop(rng, rng.randint(*self.products))
        users = [shop.user() for _ in range(rng.randint(*self.customers))]
        customer = users[0]
        things = rng.sample(sorted(shop.products), len(shop.products))
        cases: list[Case] = []
        count = rng.randint(*self.wishes)
        for thing in things[:count]:
            case = self._case(rng, shop, customer, thing)
            if case.calls is None and cases:  # a human takes over the whole case: a wish of its own
                continue
            cases.append(case)
            if case.calls is None:
                break
        for other in (customer, *users[1:]):
            # The customer's other orders must not be taken for those that it speaks of.
            free = things[count:] if other == customer else things
            if free:
                some = rng.sample(free, rng.randint(1, min(2, len(free))))
                shop.order(other, some, rng.choice(STATUSES))
        human = any(c.calls is None for c in cases)
        transfer = Call(tool=TRANSFER, arguments={"summary": "A large order is to be cancelled."})
        user = shop.users[customer]
        name = user["name"]
        identity = {
            "name": f"{name['first_name']} {name['last_name']}",
            "zip": user["address"]["zip"],
        }
        if rng.random() < 0.5:
            identity = {"email": user["email"]}
        return DeskScenario(
            name="support_desk",
            protocol=ProtocolChoice.model_validate({"name": "service", "deadline": self.deadline}),
            shop=Shop.model_validate(
                {"users": shop.users, "orders": shop.orders, "products": shop.products}
            ),
            tools=list(SHOP_TOOLS),
            explained=self.explained,
            expected=[transfer] if human else [c for case in cases for c in case.calls or ()],
            roles={
                "customer": DeskRole(
                    wish=" ".join(c.words for c in cases),
                    identity=identity,
                    wishes=[c.typed for c in cases],
                ),
                "desk": DeskRole(policy=POLICY),
            },
            max_text=300,
        )

    def _case(self, rng: random.Random, shop: _Shop, customer: str, thing: str) -> Case:
        want = rng.choice(self.wants)
        right = "pending" if want in PENDING else "delivered"
        refused = rng.random() < self.refused
        human = want == "cancel" and not refused and rng.random() < self.human
        # Why not: the order is not where it would have to be, or something about its item.
        why = "status"
        if refused and want not in ("cancel", "address"):
            why = rng.choice(("status", "item"))
        status = right
        if refused and why == "status":
            status = rng.choice([s for s in STATUSES if s != right])
        by_item = refused and why == "item"
        number = shop.order(
            customer, [thing], status, dear=human, final=by_item and want == "return"
        )
        order = shop.orders[number]
        item, means = order["items"][0], order["payment_history"][0]["payment_method_id"]
        known = rng.random() >= self.unknown
        typed: dict[str, Any] = {"want": want, "order": number if known else ""}
        typed["items"] = [item["name"]]
        its_order = f"order {number}" if known else f"your order with the {item['name']}"
        its_item = f"the {item['name']} " + (f"of order {number}" if known else "that you ordered")
        on: dict[str, Any] = {"order_id": number}
        if want == "cancel":
            reason = typed["reason"] = rng.choice(REASONS)
            words = f"You want to cancel {its_order}: {reason}."
            call = Call(tool="cancel_pending_order", arguments={**on, "reason": reason})
        elif want == "address":
            address = typed["address"] = shop.address()
            listed = ", ".join(address[part] for part in ADDRESS if address[part])
            words = f"You want {its_order} sent to {listed}."
            call = Call(tool="modify_pending_order_address", arguments={**on, **address})
        elif want == "return":
            words = f"You want to return {its_item}."
            call = Call(
                tool="return_delivered_order_items",
                arguments={**on, "item_ids": [item["item_id"]], "payment_method_id": means},
            )
        else:
            new = shop.other(item, available=not by_item)
            key = next(k for k, v in new["options"].items() if item["options"][k] != v)
            typed["to"] = {key: new["options"][key]}
            words = f"You want {its_item} in another {key}: {new['options'][key]}."
            arguments = {**on, "item_ids": [item["item_id"]], "new_item_ids": [new["item_id"]]}
            call = Call(tool=SWAPS[want], arguments={**arguments, "payment_method_id": means})
        if human:
            return Case(words, typed, None)
        return Case(words, typed, () if refused else (call,))


class _Shop:
    """The databases as they are being drawn."""

    def __init__(self, rng: random.Random, products: int) -> None:
        self._rng = rng
        self.users: dict[str, Entry] = {}
        self.orders: dict[str, Entry] = {}
        self.products: dict[str, Entry] = {}
        for at, name in enumerate(rng.sample(sorted(THINGS), products)):
            self._product(f"{700 + at}", name)

    def _product(self, product_id: str, name: str) -> None:
        (one, firsts), (two, seconds) = THINGS[name].items()
        # Four variants each: what the shop has must fit into a small model's context.
        firsts, seconds = self._rng.sample(firsts, 2), self._rng.sample(seconds, 2)
        price = self._rng.randint(10, 60)
        variants: dict[str, Entry] = {}
        for a in firsts:
            for b in seconds:
                item_id = f"{product_id}{len(variants)}"
                variants[item_id] = {
                    "item_id": item_id,
                    "options": {one: a, two: b},
                    "available": self._rng.random() < 0.8,
                    "price": price + self._rng.randint(0, 9),
                }
        self.products[product_id] = {"name": name, "product_id": product_id, "variants": variants}

    def address(self) -> Entry:
        city, state = self._rng.choice(CITIES)
        street = f"{self._rng.randint(1, 99)} {self._rng.choice(STREETS)}"
        where = (street, "", city, state, "USA", f"{self._rng.randint(10000, 99999)}")
        return dict(zip(ADDRESS, where, strict=True))

    def user(self) -> str:
        rng = self._rng
        while True:
            first, last = rng.choice(FIRST), rng.choice(LAST)
            key = f"{first}_{last}_{rng.randint(10, 99)}".lower()
            if key not in self.users:
                break
        methods: dict[str, Entry] = {}
        for source in rng.sample(("credit_card", "gift_card", "paypal"), rng.randint(1, 2)):
            means = {"source": source, "id": f"{source}_{rng.randint(100, 999)}"}
            methods[means["id"]] = means | (
                {"balance": rng.randint(100, 200)} if source == "gift_card" else {}
            )
        self.users[key] = {
            "name": {"first_name": first, "last_name": last},
            "address": self.address(),
            "email": f"{first}.{last}{rng.randint(1, 9)}@example.com".lower(),
            "payment_methods": methods,
            "orders": [],
        }
        return key

    def order(
        self, user: str, things: list[str], status: str, *, dear: bool = False, final: bool = False
    ) -> str:
        """A new order of one piece of each thing; its number. `dear`: of more than `LARGE`."""
        rng = self._rng
        number = f"#W{1000 + 7 * len(self.orders) + rng.randint(0, 6)}"
        items: list[Entry] = []
        for thing in things:
            product = self.products[thing]
            variant = rng.choice(list(product["variants"].values()))
            price = variant["price"] + (LARGE if dear else 0)
            piece = {"name": product["name"], "product_id": thing, "item_id": variant["item_id"]}
            piece |= {"price": price, "options": dict(variant["options"])}
            items.append(piece | ({"final_sale": True} if final else {}))
        means = rng.choice(list(self.users[user]["payment_methods"]))
        paid = {"transaction_type": "payment", "amount": sum(i["price"] for i in items)}
        self.orders[number] = {
            "order_id": number,
            "user_id": user,
            "address": dict(self.users[user]["address"]),
            "items": items,
            "status": status,
            "payment_history": [{**paid, "payment_method_id": means}],
        }
        self.users[user]["orders"].append(number)
        return number

    def other(self, item: Entry, available: bool) -> Entry:
        """A variant of the same product that differs in one option; the shop has it, or has not."""
        near = [
            v
            for v in self.products[item["product_id"]]["variants"].values()
            if sum(item["options"][k] != o for k, o in v["options"].items()) == 1
        ]
        chosen = self._rng.choice(near)
        chosen["available"] = available
        return chosen
