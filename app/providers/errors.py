"""What a cloud can answer.

ProviderError
├── NoCapacity        this listing can't be had now: try the next one
├── Rejected          our request is wrong for this cloud: don't repeat it
├── Unauthorized      our credentials are refused: alert the operator, try another cloud
├── QuotaExceeded     our account there is out of money or at its limit: alert, try another cloud
├── RateLimited       too fast: nothing happened, try again after ``retry_after_seconds``
├── NotYet            not in the state this needs: ask again later
├── Gone              the machine does not exist (for a destroy: done)
├── Unsupported       this cloud can't do that
├── Unavailable       a reading call failed (time-out, 5xx, garbage), or a changing one found no connection and was
│                     not sent: nothing changed, try again
└── OutcomeUnknown    a changing call may have happened: never repeat it blindly, reconcile by marker

None of these reaches HTTP as such; rentals translates them into its own reasons.
"""

from __future__ import annotations


class ProviderError(Exception):
    """A cloud answered something other than success."""

    def __init__(
        self, message: str = "", *, retry_after_seconds: float | None = None, machine_id: str | None = None
    ) -> None:
        """Take the cloud's own words (cut, never secret), and for a failed create the machine it made anyway."""
        super().__init__(message[:500])
        self.message = message[:500]
        self.retry_after_seconds = retry_after_seconds
        self.machine_id = machine_id


class NoCapacity(ProviderError):
    """The listing is gone, sold out, or its price moved past the ceiling."""


class Rejected(ProviderError):
    """The cloud refuses the request as wrong; repeating it will not help."""


class Unauthorized(ProviderError):
    """The cloud refuses our credentials."""


class QuotaExceeded(ProviderError):
    """Our account at the cloud lacks money or quota."""


class RateLimited(ProviderError):
    """Too many calls; nothing happened."""


class NotYet(ProviderError):
    """The machine is not yet in the state that this call needs."""


class Gone(ProviderError):
    """The machine does not exist at the cloud."""


class Unsupported(ProviderError):
    """This cloud has no such operation."""


class Unavailable(ProviderError):
    """A reading call got no usable answer, or a changing call was never sent; nothing changed."""


class OutcomeUnknown(ProviderError):
    """A changing call may or may not have happened."""
