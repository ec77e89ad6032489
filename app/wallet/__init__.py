"""Wallet: one account's money in its own words: available, reserved, total, to the second.

Promised: an hour is held before a rental begins; usage eats only the hold; a bill is C(n) = ⌊rate x n / 3600⌋ of n whole
seconds however often it is settled, and with a rate that changes the sum of such parts; what is left comes back at once;
nothing falls below zero. A hold can be capped: after that moment nothing is billed, however late the worker.
Money comes in debt first; promotional credit is spent first, expires unless a rental holds it, and is never taken for a
reversed payment. What is reversed is held, taken and given back once per cause; the rest is owed, and while something is
owed nothing is available. While a payment is disputed the wallet is restricted: nothing new is reserved or renewed.
Tables: holds, wallet_alerts, reversal_holds. States of a hold: waiting → running ⇄ waiting (interrupted) → closed; of a
reversal's hold: open → closed. Locks: the wallet first, then holds.
Called by rentals (hold, start, change_rate, close, refund), by policies (cap), by topups (receive, refunds, disputes), by worker (settle, expiry) and by
the operator (credit, grant).
"""

from app.wallet.alerts import set_low_balance, watch
from app.wallet.capping import Cap, cap, last_billable, lock_running
from app.wallet.crediting import credit_adjustment, open_wallet, unfreeze
from app.wallet.ending import EndingHold, find_ending
from app.wallet.errors import InsufficientBalance, WalletLocked, WalletRestricted
from app.wallet.holds import Settled, close, hold, lock, pause, refund_host_fault, start
from app.wallet.meter import Meter
from app.wallet.noticing import asking_after, is_live, notice, reconsider, refill
from app.wallet.owing import takeable
from app.wallet.promotions import expire_promo, grant_promo
from app.wallet.reading import Balance, HoldView, find_holds, get_balance, list_holds
from app.wallet.receiving import claw_back, receive
from app.wallet.renewing import Due, find_due, settle
from app.wallet.repricing import change_rate
from app.wallet.reversal_holds import ReversalHold, list_reversal_holds
from app.wallet.reversals import (
    debit_dispute,
    finish_refund,
    give_back,
    hold_dispute,
    hold_refund,
    release_dispute,
    release_refund,
    reverse_dispute,
)
from app.wallet.unrunning import unrun

__all__ = [
    "Balance",
    "Cap",
    "Due",
    "EndingHold",
    "HoldView",
    "InsufficientBalance",
    "Meter",
    "ReversalHold",
    "Settled",
    "WalletLocked",
    "WalletRestricted",
    "asking_after",
    "cap",
    "change_rate",
    "claw_back",
    "close",
    "credit_adjustment",
    "debit_dispute",
    "expire_promo",
    "find_due",
    "find_ending",
    "find_holds",
    "finish_refund",
    "get_balance",
    "give_back",
    "grant_promo",
    "hold",
    "hold_dispute",
    "hold_refund",
    "is_live",
    "last_billable",
    "list_holds",
    "list_reversal_holds",
    "lock",
    "lock_running",
    "notice",
    "open_wallet",
    "pause",
    "receive",
    "reconsider",
    "refill",
    "refund_host_fault",
    "release_dispute",
    "release_refund",
    "reverse_dispute",
    "set_low_balance",
    "settle",
    "start",
    "takeable",
    "unfreeze",
    "unrun",
    "watch",
]
