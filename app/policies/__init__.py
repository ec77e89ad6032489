"""Policies: who may spend how much. One function on every path that spends, decided under the wallet's lock.

Promised: no cap and no budget is ever exceeded, however many ask at once; a dry run says what the real decision would.

A policy belongs to a subject: the account, a team, a person or a key. All that apply to a spender hold together. A team
has a policy from its first day on (``TEAM_DEFAULT``), any other subject none until one is set.

A budget that stops all ends what runs at the very second, by the meters themselves (``recap``); others pause and tell.

Tables: policies, commitments (what is open), policy_spend, policy_counted, policy_zones (what was spent, by local day),
budget_marks, budget_looks (what was told of budgets), policy_requests.
Order of locks: the wallet, then these.
"""

from app.policies.budgets.enforcing import recap
from app.policies.checking import NONE_ALLOWED
from app.policies.committing import Rows, admit, end, find_spender, require
from app.policies.deciding import Wish
from app.policies.errors import (
    POLICY_ERRORS,
    BudgetExceeded,
    KeyLimitExceeded,
    PolicyViolation,
    ProvisioningPaused,
    UnknownTeam,
)
from app.policies.narrowing import longest, narrow, require_duration
from app.policies.queries import COUNT_RENTAL
from app.policies.reading import Rules, get_policies, standing_terms_for, terms_for
from app.policies.spenders import Spender
from app.policies.standing import stand
from app.policies.terms import TEAM_DEFAULT, UNLIMITED, OnExceeded, Policy, SubjectKind, Terms

__all__ = [
    "COUNT_RENTAL",
    "NONE_ALLOWED",
    "POLICY_ERRORS",
    "TEAM_DEFAULT",
    "UNLIMITED",
    "BudgetExceeded",
    "KeyLimitExceeded",
    "OnExceeded",
    "Policy",
    "PolicyViolation",
    "ProvisioningPaused",
    "Rows",
    "Rules",
    "Spender",
    "SubjectKind",
    "Terms",
    "UnknownTeam",
    "Wish",
    "admit",
    "end",
    "find_spender",
    "get_policies",
    "longest",
    "narrow",
    "recap",
    "require",
    "require_duration",
    "stand",
    "standing_terms_for",
    "terms_for",
]
