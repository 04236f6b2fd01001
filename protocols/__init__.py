"""What may be said: messages, and interaction protocols as automata. No torch here."""

from .alternating_offers import alternating_offers
from .check import check_protocol
from .contract_net import contract_net
from .conversation import Conversation
from .dutch_auction import dutch_auction
from .english_auction import english_auction
from .errors import ContractError, MootError, did_you_mean
from .joint_action import joint_action
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
from .observation import Briefing, Key, Observation, OfferSpace
from .pool import Agent, Pool, Ticket
from .protocol import (
    ANY,
    EVERYONE,
    NOBODY,
    OTHER,
    SAME,
    TURN,
    Move,
    One,
    Option,
    Protocol,
    State,
)
from .service import service
from .stacked_offers import stacked_offers
from .walk import check_transcript, walk
from .wire import named, read, reply_schema, rules, written

PROTOCOLS = {
    "alternating_offers": alternating_offers,
    "contract_net": contract_net,
    "dutch_auction": dutch_auction,
    "english_auction": english_auction,
    "joint_action": joint_action,
    "service": service,
    "stacked_offers": stacked_offers,
}

__all__ = [
    "ANY",
    "EVERYONE",
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
    "changed",
    "check_protocol",
    "check_transcript",
    "contract_net",
    "did_you_mean",
    "dutch_auction",
    "english_auction",
    "joint_action",
    "named",
    "read",
    "reply_schema",
    "rules",
    "service",
    "stacked_offers",
    "trusted",
    "walk",
    "written",
]
