"""Events: the outbox. What happened is written in the transaction of the change, and read in order.

Promised: per subject (a rental, or the account itself) events carry a gapless ``seq`` from 1; none is ever changed.
Table: events. Called by every room that changes something a customer may want to know; who is told is the business of
notifications, which a trigger queues every event for.
"""

from app.events.models import EventRow
from app.events.recording import Event, list_events, record
from app.events.showing import in_dollars

__all__ = ["Event", "EventRow", "in_dollars", "list_events", "record"]
