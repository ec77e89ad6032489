"""Refills: when a wallet asks its card for more, within which caps; the charge itself is the room of topups' work.

Promised: opt-in; at most one open attempt in a wallet; what is charged and in flight in a month stays within the cap at
every instant; a card that declines is left alone after three tries; every change of a rule's state is an event.
Tables: auto_topup_rules, topup_attempts; their states are drawn in ``states``.
Called by wallet (evaluate, in the transaction of every decrease) and by topups (configure, charge, resolve).
"""

from app.refills.evaluating import Below, Trigger, Verdict, ask, find_below, judge
from app.refills.keeping import find_rule, get_threshold
from app.refills.states import AttemptState
from app.refills.terms import Card, Consent, Mode, Reason, Rule, State, Terms

__all__ = [
    "AttemptState",
    "Below",
    "Card",
    "Consent",
    "Mode",
    "Reason",
    "Rule",
    "State",
    "Terms",
    "Trigger",
    "Verdict",
    "ask",
    "find_below",
    "find_rule",
    "get_threshold",
    "judge",
]
