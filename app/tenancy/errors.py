"""The tenancy room's errors.

AppError
├── NameTaken           409  a team of this name exists
├── AlreadyMember       409  who has this address is in the account
├── AlreadyInvited      409  an invitation to this address is open
├── InvalidState (kit)  409
│   ├── LastOwner       409  the account would be without an owner
│   ├── TeamArchived    409
│   ├── TooMany         409  the account, or the person, has as many of these as it can have
│   └── InvitationOver  409  expired, revoked, or replaced by a newer one
├── UnknownReference    422  an id in the body names nothing that the caller sees
└── SentTooOften        429  the invitation was sent a moment ago, or often enough
"""

from __future__ import annotations

from app.kit.errors import AppError, InvalidState


class NameTaken(AppError):
    """A team of this name exists."""

    status = 409
    code = "name_taken"
    suggestion = "Choose another name, or change the team that exists."


class AlreadyMember(AppError):
    """Somebody with this address is in the account already."""

    status = 409
    code = "already_member"
    suggestion = "Change that person's role with PATCH /v1/members/{user_id}."


class AlreadyInvited(AppError):
    """An invitation to this address is open."""

    status = 409
    code = "already_invited"
    suggestion = "Send it again with POST /v1/invitations/{id}/resend, or revoke it first."


class LastOwner(InvalidState):
    """The account would be without an owner."""

    code = "last_owner"
    suggestion = "Make somebody else an owner first, with POST /v1/account/transfer or PATCH /v1/members/{user_id}."


class TeamArchived(InvalidState):
    """The team is archived."""

    suggestion = "Make a new team; what an archived one spent stays told."


class TooMany(InvalidState):
    """There are as many of these as there can be."""

    code = "too_many"
    suggestion = "Remove what is no longer needed first."


class InvitationOver(InvalidState):
    """The invitation has expired, was revoked, or was replaced by a newer one."""

    code = "invitation_over"
    suggestion = "Ask for a new one, or open the one that was sent last."


class UnknownReference(AppError):
    """An id in the body names nothing of this account."""

    status = 422
    code = "validation_failed"
    suggestion = "Check the ids of teams and people."


class SentTooOften(AppError):
    """The invitation was sent a moment ago, or often enough."""

    status = 429
    code = "rate_limited"
    retryable = True
    suggestion = "Wait for the seconds in Retry-After. If the mail doesn't arrive, check the address."
