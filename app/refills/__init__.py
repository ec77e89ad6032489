"""Refills: when a wallet asks its card for more, within which caps; the charge itself is the room of topups' work.

Promised: opt-in; at most one open attempt in a wallet; what is charged and in flight in a month stays within the cap at
every instant; a card that declines is left alone after three tries; every change of a rule's state is an event
and an entry of the audit.
Tables: auto_topup_rules, topup_attempts; their states are drawn in ``states``.
Called by wallet (evaluate, in the transaction of every decrease) and by topups (configure, charge, resolve).
"""

from app.refills.attempts import (
    Attempt,
    DueAttempt,
    begin_try,
    find_asked,
    find_attempt,
    find_due,
    find_open,
    get_incoming,
    keep,
    list_attempts,
    lock_attempt,
)
from app.refills.configuring import configure, new_rule, resume, turn_off
from app.refills.evaluating import (
    Charged,
    Standing,
    Trigger,
    Verdict,
    ask,
    find_below,
    get_charged,
    get_standing,
    judge,
)
from app.refills.keeping import find_rule, get_threshold
from app.refills.queries import INCOMING_OF
from app.refills.resolving import (
    decline,
    give_up,
    is_needed,
    need_action,
    note_detached_card,
    note_payment_by_hand,
    succeed,
    suspend,
    withdraw,
)
from app.refills.states import RESUME_EVERY, AttemptState, ResumedRecently, configured, lapsed
from app.refills.terms import (
    CENT,
    CHARGE_MAX,
    CHARGE_MIN,
    TARGET_ABOVE_THRESHOLD_MIN,
    THRESHOLD_MIN,
    Card,
    Consent,
    Mode,
    Reason,
    Rule,
    State,
    Terms,
    charge_for,
)

__all__ = [
    "CENT",
    "CHARGE_MAX",
    "CHARGE_MIN",
    "INCOMING_OF",
    "RESUME_EVERY",
    "TARGET_ABOVE_THRESHOLD_MIN",
    "THRESHOLD_MIN",
    "Attempt",
    "AttemptState",
    "Card",
    "Charged",
    "Consent",
    "DueAttempt",
    "Mode",
    "Reason",
    "ResumedRecently",
    "Rule",
    "Standing",
    "State",
    "Terms",
    "Trigger",
    "Verdict",
    "ask",
    "begin_try",
    "charge_for",
    "configure",
    "configured",
    "decline",
    "find_asked",
    "find_attempt",
    "find_below",
    "find_due",
    "find_open",
    "find_rule",
    "get_charged",
    "get_incoming",
    "get_standing",
    "get_threshold",
    "give_up",
    "is_needed",
    "judge",
    "keep",
    "lapsed",
    "list_attempts",
    "lock_attempt",
    "need_action",
    "new_rule",
    "note_detached_card",
    "note_payment_by_hand",
    "resume",
    "succeed",
    "suspend",
    "turn_off",
    "withdraw",
]
