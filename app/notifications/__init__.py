"""Notifications: what happened, told outside: to customers' webhooks, by e-mail as preferred, and over ``/v1/events``.

Promised: every event reaches every endpoint that asked for it at least once, or stands in its log as failed; nothing is
ever sent to an address that is not public.
"""
