"""Audit: who changed what, when and from where; written in the transaction of the act and never changed.

Promised: per account, entries carry a gapless ``seq`` and each the hash of the one before, so that ``verify`` finds a
changed, deleted or inserted row.
"""
