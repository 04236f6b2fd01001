"""The templates behind `wording.py`: many short ways to say each act. Text only.

Braces are filled with phrases made from the content, so every filled template is true of it. Openers go
before templates that begin a sentence.
"""

from __future__ import annotations

ACCEPT = (
    "Deal.", "Agreed.", "Okay, deal.", "Sounds good, I accept.", "Fine with me.", "Yes, I accept.",
    "That works for me.", "Good, we have a deal.", "I can live with that.", "Fair enough, agreed.",
    "Done. Thank you.", "All right, I agree.", "Great, let us do that.", "That is fair. Deal.",
)  # fmt: skip

REJECT = (
    "No, not for me.", "I have to turn that down.", "That does not work for me.", "Sorry, no.",
    "No, I need more than that.", "I cannot agree to that.", "Not like this.", "I must decline.",
    "That is not enough for me.", "No deal on those terms.", "I would rather not.", "Hmm, no.",
)  # fmt: skip

LEAVE = (
    "I do not think that we can agree. Goodbye.", "Let us leave it there.", "I am out, sorry.",
    "No deal then.", "We will not meet. I leave.", "I had better go.", "This leads nowhere, goodbye.",
    "I walk away.", "Thanks, but I leave.", "I see no deal here.", "Then not. Bye.",
    "We are too far apart. Goodbye.",
)  # fmt: skip

TALK = (
    "Let us find something fair.", "Hello!", "I am listening.", "Let us see.", "What do you think?",
    "We can work this out.", "I hope that we can agree.", "Let me think.", "Your turn.", "Hmm.",
    "I would like us both to be happy.", "There must be a way.",
)  # fmt: skip

OPENERS = ("", "", "", "Okay. ", "Hi. ", "So: ", "Let us see. ", "An idea: ")
"""Before a first offer."""
COUNTERS = ("", "", "", "Not quite. ", "Rather this: ", "Hmm. ", "Let me counter. ", "Instead: ")
"""Before an offer that answers another."""
ANSWERS = ("", "", "", "Sure. ", "Happy to tell. ", "Gladly. ", "Honestly: ", "Good question. ")
"""Before values that were asked for."""

SPLIT = (
    "I take {mine}, you get {rest}.", "I get {mine} and you get {rest}.",
    "How about {mine} for me and {rest} for you?", "What if I get {mine} and you take {rest}?",
    "Give me {mine} and you get {rest}.", "You can have {rest} if I get {mine}.",
    "{rest} for you, {mine} for me?", "I would like {mine}; you get {rest}.",
    "Could I have {mine}? You would get {rest}.", "Let me have {mine}; {rest} would be yours.",
    "I want {mine}, you can take the rest.", "{mine} for me, and the rest is yours.",
    "My offer: you get {rest}, I get {mine}.", "If you take {rest}, I take {mine}.",
    "You take {rest} and I take {mine}, okay?", "Would you take {rest} and leave me {mine}?",
)  # fmt: skip

SPLIT_ALL = (
    "I take everything.", "I would like all of it.", "Everything for me, please.", "I need it all.",
    "I get {mine}, all of it.", "Let me have {mine}. That leaves you nothing.",
    "Could I have everything?", "I want the lot: {mine}.", "All for me, nothing for you.",
    "Give me {mine}, everything there is.",
)  # fmt: skip

SPLIT_NONE = (
    "You can have everything.", "Take it all, I need nothing.", "All of it is yours.",
    "You get {rest}, I take nothing.", "Everything for you.", "I leave you {rest}.",
    "You take everything, fine?", "It is all yours: {rest}.", "Nothing for me, you get {rest}.",
    "Have it all.",
)  # fmt: skip

ACCEPT_SPLIT = (
    "Deal: I get {mine}.", "Agreed, {mine} for me and {rest} for you.", "Good, you get {rest}.",
    "Yes: {mine} for me.", "Okay, {rest} for you, {mine} for me.", "I accept: you take {rest}.",
)  # fmt: skip

ASK_ITEMS = (
    "What are they worth to you?", "Which of these do you want most?", "What matters to you here?",
    "How many points is each item to you?", "What would you like to have?", "What do you value?",
    "Tell me what you need most.", "What are your points for {kinds}?", "How do you value {kinds}?",
    "Before we start: what is each item worth to you?", "Which do you care about, {kinds}?",
    "What do you get for {kinds}?", "May I ask what you want?", "What are you after?",
)  # fmt: skip

TELL_ITEMS = (
    "To me: {pairs}.", "My points: {pairs}.", "Mine are {pairs}.", "Here is what I get: {pairs}.",
    "Points per item for me: {pairs}.", "I score {pairs}.", "I value them so: {pairs}.",
    "I get {rates}.", "For me it is {rates}.", "They give me {rates}.", "I count {rates}.",
    "I want {best} most: {pairs}.", "First of all {best}: {pairs}.", "Mostly {best}; in points: {pairs}.",
    "I care most about {best}; {pairs}.", "I like {best} best: {rates}.",
)  # fmt: skip

TELL_ITEMS_SHORT = ("I want {best} most.", "Mostly {best}.", "{best} above all.")
