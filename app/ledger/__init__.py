"""Ledger: every movement of money, once and for ever.

Promised: one append-only row per movement, gapless ``seq`` per account, no bucket below zero, a wallet always equal to
the fold of its transfers, posting a key twice moves once. Ranges are sealed into a hash chain that ``verify`` recomputes.
Tables: wallets, transfers, ledger_seals. Buckets: available, reserved, owed on the wallet; funding, spend, promo,
adjustment as counters that only the transfers know. A transfer may name what it belongs to: a rental, and one payment,
refund, dispute, top-up or lot. A frozen or restricted wallet reserves nothing new.
Called by wallet, lots, refills, statements, and topups (which brings money in through wallet).
"""

from app.ledger.errors import (
    FrozenError,
    KeyReusedError,
    NoWalletError,
    OverdrawnError,
    RestrictedError,
    TwinPostedError,
)
from app.ledger.freezing import freeze, unfreeze
from app.ledger.inflows import inflow, post_inflow, was_posted
from app.ledger.kinds import ENTRIES, Bucket, Kind
from app.ledger.listing import posted_for
from app.ledger.posting import (
    Balances,
    LockedWallet,
    Movement,
    Usage,
    lock_wallet,
    lock_wallets,
    open_wallet,
    post,
    post_many,
    reserve,
    watch,
)
from app.ledger.restricting import restrict, unrestrict
from app.ledger.sealing import Verified, find_unsealed, seal, verify

__all__ = [
    "ENTRIES",
    "Balances",
    "Bucket",
    "FrozenError",
    "KeyReusedError",
    "Kind",
    "LockedWallet",
    "Movement",
    "NoWalletError",
    "OverdrawnError",
    "RestrictedError",
    "TwinPostedError",
    "Usage",
    "Verified",
    "find_unsealed",
    "freeze",
    "inflow",
    "lock_wallet",
    "lock_wallets",
    "open_wallet",
    "post",
    "post_inflow",
    "post_many",
    "posted_for",
    "reserve",
    "restrict",
    "seal",
    "unfreeze",
    "unrestrict",
    "verify",
    "was_posted",
    "watch",
]
