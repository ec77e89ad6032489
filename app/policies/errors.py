"""The policies room's errors.

AppError
├── PolicyViolation      403   a policy does not allow this
├── BudgetExceeded       403   a budget does not cover it
├── ProvisioningPaused   403   a budget was used up; nothing new until its next period
├── KeyLimitExceeded     402   the API key's own limit does not cover it
└── UnknownTeam          422   team_id names no team that the caller reaches
"""

from __future__ import annotations

from typing import Final

from app.kit.errors import AppError


class PolicyViolation(AppError):
    """A policy does not allow this."""

    status = 403
    code = "policy_violation"
    suggestion = "Ask for what the policy allows, or ask the team's lead to request a change of it."


class BudgetExceeded(AppError):
    """The budget does not cover what was spent, what is held and this."""

    status = 403
    code = "budget_exceeded"
    suggestion = "Stop a rental, wait for the next period, or have the budget raised."


class ProvisioningPaused(AppError):
    """The budget is used up: nothing new is provisioned for now."""

    status = 403
    code = "provisioning_paused"
    suggestion = "Wait until `until`, or have the budget raised."


class KeyLimitExceeded(AppError):
    """The API key's own limit does not cover what it spent, what is held for it and this."""

    status = 402
    code = "key_limit_exceeded"
    suggestion = "Use another key, wait for the limit's reset, or have the limit raised."


POLICY_ERRORS: Final[tuple[type[AppError], ...]] = (
    PolicyViolation,
    BudgetExceeded,
    ProvisioningPaused,
    KeyLimitExceeded,
)
"""All with which a policy says no."""


class UnknownTeam(AppError):
    """The team_id names no team that this caller can rent for."""

    status = 422
    code = "validation_failed"
    suggestion = "GET /v1/teams lists the teams of the account."

    @classmethod
    def named(cls) -> UnknownTeam:
        """Return the error for an id of no team, or of one beyond the caller's reach."""
        problem = {"pointer": "/team_id", "code": "unknown", "message": "names no team that this caller can rent for"}
        return cls(errors=[problem])

    @classmethod
    def ambiguous(cls) -> UnknownTeam:
        """Return the error for a caller of several teams who names none."""
        problem = {"pointer": "/team_id", "code": "missing", "message": "is needed by a member of several teams"}
        return cls("A member of several teams says for which one this is.", errors=[problem])
