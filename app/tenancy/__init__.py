"""Tenancy: accounts, their users and their API keys.

Promises: a secret is shown once and stored only as a peppered hash; a revoked key is refused at once in the process
that revoked it and within two seconds in every other; a key never gives away more than it has.
Tables: accounts, users, api_keys, key_hashes. States of a key: in force → rotated (in force until its overlap ends),
expired, revoked. Bootstrap opens accounts and gives ``Authenticator`` to the edge; the edge asks it for every request.
"""

from app.tenancy.authenticating import Authenticator
from app.tenancy.keys import KeyTerms, NewKey, create_key
from app.tenancy.opening import Account, open_account
from app.tenancy.queries import billing_addresses, get_account
from app.tenancy.secrets import is_well_formed

__all__ = [
    "Account",
    "Authenticator",
    "KeyTerms",
    "NewKey",
    "billing_addresses",
    "create_key",
    "get_account",
    "is_well_formed",
    "open_account",
]
