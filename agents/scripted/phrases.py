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

OPENERS = ("", "", "", "Okay. ", "Hi. ", "Well. ", "Let us see. ", "I have an idea. ")
"""Before a first offer."""
COUNTERS = ("", "", "", "Not quite. ", "Not like that. ", "Hmm. ", "Let me counter. ", "Almost. ")
"""Before an offer that answers another."""
ANSWERS = ("", "", "", "Sure. ", "Happy to tell. ", "Gladly. ", "No secret. ", "Good question. ")
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
    "I take everything.", "I would like all of it.", "Everything for me, please.", "I ask for all of it.",
    "I get {mine}, all of it.", "Let me have {mine}. That leaves you nothing.",
    "Could I have everything?", "I want the lot: {mine}.", "All for me, nothing for you.",
    "Give me {mine}, everything there is.",
)  # fmt: skip

SPLIT_NONE = (
    "You can have everything.", "Please take it all.", "All of it is yours.",
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

ASK_SHORT = ("What do you value?", "What do you want?", "Your points, please?", "Your wishes?")

TELL_PAIRS = (
    "To me: {pairs}.", "My points: {pairs}.", "Mine are {pairs}.", "Here is what I get: {pairs}.",
    "Points per item for me: {pairs}.", "I score {pairs}.", "I value them so: {pairs}.",
    "I want {best} most: {pairs}.", "First of all {best}: {pairs}.", "My values are {pairs}.",
    "I care most about {best}; {pairs}.", "Mostly {best}; in points: {pairs}.",
)  # fmt: skip
TELL_RATES = (
    "I get {rates}.", "For me it is {rates}.", "They give me {rates}.", "I count {rates}.",
    "I like {best} best: {rates}.", "{rates}, that is what I get.", "My values are {rates}.",
    "I score {rates}.", "In points: {rates}.", "It is {rates} for me.",
)  # fmt: skip
TELL_SHORT = ("I want {best} most.", "Mostly {best}.", "{best} above all.", "First of all {best}.")

SELL_AT = (
    "You can have it for {price}.", "How about {price}?", "I would sell it for {price}.",
    "I ask {price}.", "Make it {price} and it is yours.", "{price} and we have a deal.",
    "Would you pay {price}?", "My price is {price}.", "For {price} I will let it go.",
    "Let us say {price}.", "I could do {price}.", "What about {price}?", "It is yours for {price}.",
    "I am thinking of {price}.",
)  # fmt: skip

BUY_AT = (
    "Would you take {price}?", "How about {price}?", "I would pay {price}.", "I offer {price}.",
    "I can give you {price} for it.", "{price} and we have a deal.", "My offer is {price}.",
    "Could you do {price}?", "What about {price}?", "Let us say {price}.", "I bid {price}.",
    "Would {price} be all right?", "I will give {price}.", "Let me have it for {price}?",
)  # fmt: skip

ACCEPT_PRICE = (
    "Deal, {price}.", "Agreed: {price}.", "Okay, {price} it is.", "{price} is fine with me.",
    "Good, {price} then.", "{price}, done.", "I accept {price}.", "All right, {price}.",
)  # fmt: skip

ASK_SELLER = (
    "What is the least you would take?", "How low can you go?", "What is your lowest price?",
    "What do you need for it?", "What would you let it go for?", "Where is your limit?",
    "What is your bottom price?", "Is there room in the price? How much?", "How much must it be?",
    "What is the lowest that works for you?", "May I ask your lowest price?", "Your limit, please?",
)  # fmt: skip

ASK_BUYER = (
    "What is the most you would pay?", "How high can you go?", "What is your highest price?",
    "What can you spend?", "How much is it worth to you?", "Where is your limit?",
    "What is your budget?", "What would you pay at most?", "How much could you give?",
    "What is the highest that works for you?", "May I ask your budget?", "Your limit, please?",
)  # fmt: skip

TELL_SELLER = (
    "I cannot go below {limit}.", "My lowest is {limit}.", "I need at least {limit}.",
    "{limit} is the least I take.", "Nothing under {limit}, sorry.", "My limit is {limit}.",
    "Below {limit} I would keep it.", "At least {limit}.", "I stop at {limit}.",
    "It must be {limit} or more.", "The bottom for me is {limit}.", "I have to get {limit}.",
)  # fmt: skip

TELL_BUYER = (
    "I cannot go above {limit}.", "My highest is {limit}.", "I can pay {limit} at most.",
    "{limit} is the most I give.", "Nothing over {limit}, sorry.", "My limit is {limit}.",
    "Above {limit} I must pass.", "At most {limit}.", "I stop at {limit}.",
    "It must be {limit} or less.", "My budget is {limit}.", "I have {limit} for it.",
)  # fmt: skip

CALL = (
    "Who can do {tasks}? Your prices, please.", "I need {tasks} done. What would you ask?",
    "To do: {tasks}. Send me your bids.", "Please bid on {tasks}.", "Prices for {tasks}?",
    "What do you charge for {tasks}?", "I have work: {tasks}. Offers?", "Offers for {tasks}, please.",
    "These are open: {tasks}. Who wants them?", "Work to give out: {tasks}.",
    "Hello all. What would {tasks} cost me?", "Call for bids: {tasks}.",
)  # fmt: skip
CALL_SHORT = (
    "Please bid.", "Your prices, please.", "Who can help?", "What would you ask?", "Bids, please.",
)  # fmt: skip

BID = (
    "My prices: {prices}. At most {most}.", "I ask {prices}. I can take {most}.",
    "{prices}; {most} at most.", "I can do {most} of them: {prices}.", "Up to {most}: {prices}.",
    "I would charge {prices}. No more than {most}.", "My bid is {prices}, for {most} at most.",
    "Here is my bid: {prices}. I have time for {most}.", "I offer {prices}. Limit: {most}.",
    "Room for {most}. I ask {prices}.", "For me {prices}. Give me {most} at most.",
    "I could take {most}. Prices: {prices}.",
)  # fmt: skip
BID_SHORT = (
    "I can take {most}.", "Up to {most} for me.", "{most} at most.", "I have room for {most}.",
)  # fmt: skip

NO_BID = (
    "I cannot do any of these.", "Not for me, thanks.", "I must pass.", "Sorry, I make no bid.",
    "These cost me too much.", "I have to refuse.", "No bid from me.", "Please ask someone else.",
    "I would lose money on these.", "Thank you, but no.", "I am not your bidder here.", "I pass.",
)  # fmt: skip

GRANT = (
    "You get {tasks}.", "Please do {tasks}.", "{tasks}: they are yours.", "I award you {tasks}.",
    "Good bid. You do {tasks}.", "I accept: {tasks} for you.", "Take {tasks}, please.",
    "Your share is {tasks}.", "Go ahead with {tasks}.", "{tasks} for you, at your price.",
    "Yes, {tasks} please.", "I would like you to do {tasks}.",
)  # fmt: skip
GRANT_SHORT = ("You are in.", "I accept your bid.", "Please go ahead.", "Yours.")

NO_GRANT = (
    "Not this time, thanks.", "Sorry, nothing for you this time.", "Thank you for your bid, but no.",
    "I have to decline your bid.", "I found a better fit.", "No award for you, sorry.",
    "Thanks for bidding; not today.", "I must turn your bid down.", "Maybe next time.",
    "I cannot use your bid.", "Sorry, no.", "Thanks, but I decide otherwise.",
)  # fmt: skip

REPORT = (
    "Done: {tasks}.", "{tasks}: all done.", "I finished {tasks}.", "It is done: {tasks}.",
    "I have done {tasks}.", "Ready: {tasks}.", "I am through with {tasks}.", "{tasks}: finished.",
    "My part is done: {tasks}.", "Completed {tasks}.", "I did {tasks} as agreed.", "{tasks}: ready.",
)  # fmt: skip
REPORT_SHORT = ("All done.", "Finished.", "My part is done.", "Ready.")

FAIL = (
    "I could not do it, sorry.", "I failed, sorry.", "That was too much for me.", "I cannot finish.",
    "I took on too much.", "Sorry, it is not done.", "I must give up.", "It did not work out.",
    "I have to report a failure.", "I did not manage.", "I could not keep my word.",
    "It was more than I can do.",
)  # fmt: skip

DEAL = (
    "How about {deal}?", "I propose {deal}.", "What about {deal}?", "My offer: {deal}.",
    "Could we settle on {deal}?", "Let us say {deal}.", "I would sign this: {deal}.",
    "Here is a proposal: {deal}.", "Suppose we take {deal}.", "I suggest {deal}.",
)  # fmt: skip
DEAL_SHORT = (
    "Here is my offer.", "I propose this.", "How about this?", "Could you live with this?",
    "My proposal, all issues.", "What do you say to this?",
)  # fmt: skip
ASK_ISSUES = (
    "What matters most to you?", "Which issues are important to you?", "What do you need here?",
    "Where can you move?", "What would you like to see?", "What are your priorities?",
)  # fmt: skip
TELL_ISSUES = (
    "I care most about {issue}; {option} is best for me.", "{issue} matters most to me: {option}.",
    "Above all I want {option} for {issue}.", "First of all {issue}, {option} if I can.",
    "My main point is {issue}: {option}.", "For me it is about {issue}, best {option}.",
)  # fmt: skip
TELL_ISSUES_SHORT = ("Here is what I value.", "My points.", "This is what I need.")
DECLINE = (
    "Not with me.", "I cannot sign that.", "I vote against it.", "No from me.",
    "That leaves me worse off.", "I am against it, sorry.",
)  # fmt: skip
