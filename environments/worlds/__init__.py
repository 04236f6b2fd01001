"""The worlds that ship, by name. Adding one: write its file, add its line, commit a golden episode."""

from ..world import World
from .adventure import Adventure
from .auction_house import AuctionHouse
from .commons import Commons
from .crossing import Crossing
from .hidden_role import HiddenRole
from .hybrid import Hybrid
from .item_division import ItemDivision
from .kitchen import Kitchen
from .lesson import Lesson
from .matrix_game import MatrixGame
from .multi_issue import MultiIssue
from .mutual_friends import MutualFriends
from .network_defence import NetworkDefence
from .price_bargaining import PriceBargaining
from .rescue import Rescue
from .support_desk import SupportDesk
from .task_allocation import TaskAllocation

WORLDS: dict[str, type[World]] = {
    w.name: w
    for w in (
        Crossing,
        Hybrid,
        ItemDivision,
        Lesson,
        PriceBargaining,
        TaskAllocation,
        MultiIssue,
        MutualFriends,
        SupportDesk,
        MatrixGame,
        Rescue,
        Kitchen,
        Commons,
        AuctionHouse,
        HiddenRole,
        NetworkDefence,
        Adventure,
    )
}
