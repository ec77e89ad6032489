"""API keys: made, changed, rotated with an overlap, revoked.

Promises: a secret leaves once, at its making; a key gives no other key more than it has; one with a limit of its own
makes none at all, since the new one would spend beside it. Tables: api_keys, key_hashes.
"""

from app.tenancy.keys.making import KeyTerms, NewKey, create_key, revoke_key

__all__ = ["KeyTerms", "NewKey", "create_key", "revoke_key"]
