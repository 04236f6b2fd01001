"""What may be said: messages, and interaction protocols as automata. No torch here."""

from collections.abc import Callable

from .alternating_offers import alternating_offers
from .brokering import brokering
from .check import check_protocol
from .compose import inside, nested, sequence, then
from .contract_net import contract_net
from .conversation import Conversation
from .debate import debate
from .dutch_auction import dutch_auction
from .english_auction import english_auction
from .errors import ContractError, MootError, did_you_mean
from .exchange import exchange
from .group_chat import group_chat
from .guidance import guidance
from .iterated_contract_net import iterated_contract_net
from .joint_action import joint_action
from .mediated_text import mediated_text
from .message import (
    WORLD,
    Act,
    Answer,
    Award,
    Choice,
    Content,
    Done,
    Ended,
    Message,
    Offer,
    Preferences,
    ProtocolError,
    Question,
    Reply,
    Task,
    changed,
    trusted,
)
from .meta import cancelling, not_understood, silence
from .observation import Briefing, Key, Observation, OfferSpace
from .pool import Agent, Pool, Ticket
from .propose import propose
from .protocol import (
    ANY,
    BACK,
    EVERYONE,
    NAMED,
    NOBODY,
    OTHER,
    SAME,
    TURN,
    Move,
    One,
    Option,
    Part,
    Protocol,
    State,
)
from .query import query
from .request import request
from .sealed_bid import sealed_bid
from .service import service
from .stacked_offers import stacked_offers
from .subscribe import subscribe
from .tutoring import tutoring
from .voting import voting
from .walk import check_transcript, walk
from .wire import named, read, reply_schema, rules, written

PROTOCOLS: dict[str, Callable[..., Protocol]] = {
    "alternating_offers": alternating_offers,
    "brokering": brokering,
    "contract_net": contract_net,
    "debate": debate,
    "dutch_auction": dutch_auction,
    "english_auction": english_auction,
    "exchange": exchange,
    "group_chat": group_chat,
    "iterated_contract_net": iterated_contract_net,
    "guidance": guidance,
    "joint_action": joint_action,
    "mediated_text": mediated_text,
    "nested": nested,
    "propose": propose,
    "query": query,
    "request": request,
    "sealed_bid": sealed_bid,
    "sequence": sequence,
    "service": service,
    "stacked_offers": stacked_offers,
    "subscribe": subscribe,
    "tutoring": tutoring,
    "voting": voting,
}

__all__ = [
    "ANY",
    "BACK",
    "EVERYONE",
    "NAMED",
    "NOBODY",
    "OTHER",
    "PROTOCOLS",
    "SAME",
    "TURN",
    "WORLD",
    "Act",
    "Agent",
    "Answer",
    "Award",
    "Briefing",
    "Choice",
    "Content",
    "ContractError",
    "Conversation",
    "Done",
    "Ended",
    "Key",
    "Message",
    "MootError",
    "Move",
    "Observation",
    "Offer",
    "OfferSpace",
    "One",
    "Option",
    "Part",
    "Pool",
    "Preferences",
    "Protocol",
    "ProtocolError",
    "Question",
    "Reply",
    "State",
    "Task",
    "Ticket",
    "alternating_offers",
    "brokering",
    "cancelling",
    "changed",
    "check_protocol",
    "check_transcript",
    "contract_net",
    "debate",
    "did_you_mean",
    "dutch_auction",
    "english_auction",
    "exchange",
    "group_chat",
    "guidance",
    "inside",
    "iterated_contract_net",
    "joint_action",
    "mediated_text",
    "named",
    "nested",
    "not_understood",
    "propose",
    "query",
    "read",
    "reply_schema",
    "request",
    "rules",
    "sealed_bid",
    "sequence",
    "service",
    "silence",
    "stacked_offers",
    "subscribe",
    "then",
    "trusted",
    "tutoring",
    "voting",
    "walk",
    "written",
]
