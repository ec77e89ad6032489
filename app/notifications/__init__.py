"""Notifications: what happened, told outside: to customers' webhooks, by e-mail as preferred, and over ``/v1/events``.

Promised: every event reaches every endpoint that asked for it at least once, or stands in its log as failed; nothing is
ever sent to an address that is not public; the feed shows every event once, in an order that never changes, to whoever
may see its subject.
Tables: event_queue (filled by a trigger, in the transaction of the event), event_feed, webhook_endpoints,
webhook_deliveries, webhook_attempts, notification_preferences. ``feed``, ``webhooks`` and ``letters`` are the three ways
out; ``fanning`` leads from the queue into them.
"""

from app.notifications.feed.appending import Owner, Whose

__all__ = ["Owner", "Whose"]
