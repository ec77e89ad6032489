"""RunPod's quotas: one per minute, hour and day for all calls of an account, told on every answer."""

from __future__ import annotations

from datetime import datetime

from app.sandbox.limits import Limiter, Pace

WINDOWS = (Pace("minute", 60, calls=60), Pace("hour", 3600, calls=3000), Pace("day", 86_400, calls=50_000))
_POLICY = ", ".join(f'"{pace.name}";q={pace.calls};w={int(pace.seconds)}' for pace in WINDOWS)


def quota_headers(limiter: Limiter, identity: str, *, at: datetime) -> dict[str, str]:
    """Return how many calls are left in each window, and after how many seconds there are more."""
    left = [(pace.name, limiter.left(pace, identity, at=at)) for pace in WINDOWS]
    return {
        "RateLimit": ", ".join(f'"{name}";r={state.calls};t={state.seconds}' for name, state in left),
        "RateLimit-Policy": _POLICY,
    }
