"""What signing in can answer.

AppError
├── SignInFailed        400  not the sign-in that this browser began, too late, or a code that GitHub does not know
├── SignInDenied        403  the person said no at GitHub
├── EmailUnverified     403  no verified address
├── SessionChanged      409  the session was changed again and again while it was to be changed
├── GithubRefusal       502  GitHub does not take our own words
├── SignInNotSetUp      503
└── GithubOutOfReach    503
"""

from __future__ import annotations

from app.kit.errors import AppError

_AGAIN = "Begin again at /v1/auth/github."


class SignInFailed(AppError):
    """This is not the sign-in that this browser began, or it took longer than ten minutes."""

    status = 400
    code = "sign_in_failed"
    suggestion = _AGAIN


class SignInDenied(AppError):
    """GitHub was not allowed to say who you are."""

    status = 403
    code = "sign_in_denied"
    suggestion = "Begin again at /v1/auth/github and allow it; only the address is read besides the public profile."


class EmailUnverified(AppError):
    """GitHub knows no verified address of yours."""

    status = 403
    code = "email_unverified"
    suggestion = "Verify an address at GitHub, let it be read, and begin again at /v1/auth/github."


class SessionChanged(AppError):
    """The session was changed by other requests meanwhile."""

    status = 409
    code = "session_changed"
    retryable = True
    suggestion = "Read GET /v1/session and try again."


class GithubRefusal(AppError):
    """GitHub refused to tell who signs in."""

    status = 502
    code = "provider_error"
    suggestion = "Tell the operator: the registration of this service at GitHub does not fit its settings."


class SignInNotSetUp(AppError):
    """Signing in is not set up."""

    status = 503
    code = "provider_unavailable"
    suggestion = "Ask the operator to set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET, or use an API key."


class GithubOutOfReach(AppError):
    """GitHub did not answer in time."""

    status = 503
    code = "provider_unavailable"
    retryable = True
    suggestion = _AGAIN
