"""Letting a caller in: by the API key it brings, else by the cookie of a browser in which a person is signed in.

A request that brings a key is the key's, whatever else it carries: the two are never mixed, and one that does not open
is not made good by the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from fastapi import Request
from starlette.types import Scope

from app.web.browsing import SESSION, Site
from app.web.errors import SignInNeeded, Unauthorized
from app.web.exchange import exchange_of, state_of
from app.web.origin import Origin, act_as
from app.web.principal import AppState, Principal, Sessions, SignedIn

SESSION_COOKIE_SECONDS = 14 * 24 * 3600
"""How long a browser keeps the cookie: as long as a session can last."""

_BEARER = b"bearer "
_MAPPED = "::ffff:"
"""Before an address of IPv4 where a socket takes both kinds: a limit for all of ``::/64`` would be one for everybody."""


@dataclass(frozen=True, slots=True)
class Proof:
    """With what a caller proves who it is, to be proven again for as long as its answer lasts."""

    key: str | None = field(repr=False)
    cookie: str | None = field(repr=False)
    address: str | None

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return what a request brings.

        Raises:
            Unauthorized: nothing, or what can't be read.
        """
        address = address_of(request.scope)
        if brings_key(request.scope):
            return cls(_bearer(request.scope), None, address)
        following = exchange_of(request.scope).session
        return cls(None, following or _cookie(request)[0], address)

    async def caller(self, state: AppState, *, at: datetime) -> Principal:
        """Return whom this proves now. A session is not lengthened by it.

        Raises:
            Unauthorized, Forbidden: it no longer proves anybody.
        """
        if self.key is not None:
            return await state.authenticate(self.key, at=at, address=self.address)
        if self.cookie is None or state.sessions is None:
            raise Unauthorized
        return (await state.sessions.recognise(self.cookie, at=at)).acting()


async def admitted(request: Request, scope: str | None, at: datetime) -> Principal:
    """Authenticate, then count, then check the scope: who is nobody learns nothing, who is somebody is limited first.

    Raises:
        Unauthorized, KeyExpired, KeyDisabled: nobody we know.
        CsrfFailed, MembershipEnded, ScopeMissing, IpNotAllowed, AccountSuspended: somebody who may not.
        RateLimited: the key, the person, the account or the address asks too often.
    """
    state, exchange = state_of(request), exchange_of(request.scope)
    with _FailuresCounted(request):
        if brings_key(request.scope):
            secret = _bearer(request.scope)
            caller = await state.authenticate(secret, at=at, address=address_of(request.scope))
        else:
            caller = (await _signed_in(request, at)).acting()
    exchange.principal = caller
    _act_as(request, caller.actor, caller.user_id, team_id=caller.team_id)
    exchange.rate = state.limiter.admit(account_id=caller.account_id, key_id=caller.actor)
    if scope is not None:
        caller.require(scope)
    return caller


async def visiting(request: Request, at: datetime) -> SignedIn:
    """Return the person who is signed in, whether or not it still belongs to the account that it has chosen.

    Raises:
        SignInNeeded: a key asks.
        Unauthorized, CsrfFailed, RateLimited: as for ``admitted``.
    """
    if brings_key(request.scope):
        await admitted(request, None, at)
        raise SignInNeeded
    with _FailuresCounted(request):
        person = await _signed_in(request, at)
    exchange = exchange_of(request.scope)
    exchange.principal = person.principal
    _act_as(request, person.person_id, person.person_id)
    exchange.rate = state_of(request).limiter.admit(account_id=person.account_id, key_id=person.person_id)
    return person


def brings_key(scope: Scope) -> bool:
    """Say whether a request is to be a key's."""
    return any(name == b"authorization" for name, _ in scope["headers"])


def address_of(scope: Scope) -> str | None:
    """Return the address that a request comes from; one of IPv4 as such, also on a socket that takes both."""
    if not scope.get("client"):
        return None
    address = str(scope["client"][0])
    return address.removeprefix(_MAPPED) if "." in address else address


def _act_as(request: Request, actor: str, user_id: str | None, *, team_id: str | None = None) -> None:
    act_as(Origin(actor, user_id, exchange_of(request.scope).request_id, address_of(request.scope), team_id))


def set_session(scope: Scope, site: Site, secret: str) -> None:
    """Let the answer give the browser the secret by which its session is known from here on."""
    exchange = exchange_of(scope)
    exchange.session = secret
    exchange.cookies = [site.cookie(SESSION, secret, seconds=SESSION_COOKIE_SECONDS)]


def drop_session(scope: Scope, site: Site) -> None:
    """Let the answer take the session's cookie from the browser."""
    exchange_of(scope).cookies = [site.cookie(SESSION, "", seconds=0)]


class _FailuresCounted:
    """Looks nothing up for an address that has failed too often, and counts when it fails once more."""

    def __init__(self, request: Request) -> None:
        self._limiter = state_of(request).limiter
        self._address = address_of(request.scope)

    def __enter__(self) -> None:
        self._limiter.check_address(self._address)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Unauthorized):
            self._limiter.count_failure(self._address)


async def _signed_in(request: Request, at: datetime) -> SignedIn:
    secret, sessions = _cookie(request)
    person = await sessions.recognise(secret, at=at)
    sessions.site.check_sender(request.scope, token=person.csrf_token)
    successor = await sessions.keep(secret, at=at)
    if successor is not None:
        set_session(request.scope, sessions.site, successor)
    return person


def _cookie(request: Request) -> tuple[str, Sessions]:
    """Return the session's secret, and by whom it is recognised."""
    if not any(name == b"cookie" for name, _ in request.scope["headers"]):
        raise Unauthorized
    sessions = state_of(request).sessions
    secret = None if sessions is None else sessions.site.find_cookie(request.scope, SESSION)
    if sessions is None or secret is None:
        raise Unauthorized
    return secret, sessions


def _bearer(scope: Scope) -> str:
    """Return the bearer token; a second Authorization header would leave open which one counts."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1 or values[0][: len(_BEARER)].lower() != _BEARER:
        raise Unauthorized
    return str(values[0][len(_BEARER) :], "latin-1").strip()
