"""Webhooks: endpoints of customers, what is on its way to them, and the log of every try.

A delivery: pending → delivered | failed (three days of tries, or its endpoint was disabled) → pending (redelivered).
An endpoint: enabled ⇄ disabled (by the customer, after three days of failure, or since it answered 410) → deleted.
"""
