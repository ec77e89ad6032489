"""GitHub says who somebody is: OAuth 2 with PKCE by authlib, and two questions to its API. Its token is not kept.

A person is its numeric id: logins are given to others. Only addresses that GitHub has verified count.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]
from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]

from app.tenancy.people.errors import EmailUnverified, GithubOutOfReach, GithubRefusal, SignInFailed

with warnings.catch_warnings():
    # It says that it would rather use httpx's successor. There is one HTTP client in this service.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

log = structlog.get_logger(__name__)

SCOPE: Final = "user:email"
_SECONDS_MAX: Final = 10.0
_BYTES_MAX: Final = 256 * 1024
_HEADERS: Final = {
    "Accept": "application/vnd.github+json",
    "Accept-Encoding": "identity",
    "User-Agent": "hourglass",
    "X-GitHub-Api-Version": "2022-11-28",
}
_WRONG_CODE: Final = "bad_verification_code"
_UNVERIFIED: Final = "unverified_user_email"
_NAME_MAX: Final = 64
_EMAIL_MAX: Final = 320


@dataclass(frozen=True, slots=True)
class Identity:
    """Who GitHub says that somebody is."""

    github_id: int
    login: str
    name: str
    emails: tuple[str, ...]
    """Verified ones, the primary one first; never none."""


class Github:
    """This service as GitHub knows it."""

    def __init__(self, *, client_id: str, client_secret: str, url: str, api_url: str, callback_url: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._url = url.rstrip("/")
        self._api_url = api_url.rstrip("/")
        self._callback_url = callback_url
        self._tls = httpx.create_ssl_context()

    def departure(self, *, state: str, verifier: str) -> str:
        """Return where a browser goes to sign in; it comes back with the state and a code."""
        client = OAuth2Client(None, **self._terms())
        url, _ = client.create_authorization_url(
            f"{self._url}/login/oauth/authorize", state=state, code_verifier=verifier
        )
        return cast("str", url)

    async def identify(self, *, code: str, verifier: str) -> Identity:
        """Return whom a code was given to. A code can be shown once.

        Raises:
            SignInFailed: GitHub does not know the code, or gave it to somebody with another verifier.
            EmailUnverified: there is no verified address that we may read.
            GithubRefusal: our own registration does not fit.
            GithubOutOfReach: it did not answer, or not in its own words.
        """
        try:
            async with asyncio.timeout(_SECONDS_MAX), self._client() as client:
                await self._exchange(client, code, verifier)
                user = await self._ask(client, "/user")
                emails = await self._ask(client, "/user/emails?per_page=100")
            return identity_of(user, emails)
        except AuthlibBaseError as error:
            raise _told(error) from None
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("github.failed", error=type(error).__name__)
            raise GithubOutOfReach from None

    async def _exchange(self, client: Any, code: str, verifier: str) -> None:  # noqa: ANN401 - authlib is untyped
        """Show the code and let the client carry the token that it is for, as long as the client is open."""
        token = await client.fetch_token(
            f"{self._url}/login/oauth/access_token",
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            code=code,
            code_verifier=verifier,
            redirect_uri=self._callback_url,
        )
        if not isinstance(token.get("access_token"), str):
            raise ValueError("no token")  # noqa: TRY004 - what GitHub said, not how it was called
        granted = str(token.get("scope", "")).replace(",", " ").split()
        if not {"user", SCOPE} & set(granted):
            raise EmailUnverified

    async def _ask(self, client: Any, path: str) -> Any:  # noqa: ANN401 - authlib is untyped, and so is JSON
        answer = await client.get(f"{self._api_url}{path}", headers=_HEADERS)
        answer.raise_for_status()
        return answer.json()

    def _client(self) -> Any:  # noqa: ANN401 - authlib is untyped
        """Return a client for one sign-in; it forgets the token with its end."""
        return AsyncOAuth2Client(
            **self._terms(), timeout=_SECONDS_MAX, transport=_Bounded(httpx.AsyncHTTPTransport(verify=self._tls))
        )

    def _terms(self) -> dict[str, Any]:
        return {
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": SCOPE,
            "redirect_uri": self._callback_url,
            "code_challenge_method": "S256",
            "token_endpoint_auth_method": "client_secret_post",
        }


def identity_of(user: Any, emails: Any) -> Identity:  # noqa: ANN401 - what GitHub sent
    """Return who GitHub's two answers are about.

    Raises:
        EmailUnverified: none of the addresses is.
        ValueError, KeyError, TypeError: they are no such answers.
    """
    github_id, login = user["id"], user["login"]
    if type(github_id) is not int or github_id <= 0 or not isinstance(login, str) or not _is_showable(login):
        raise ValueError("no user")
    if not all(type(one["verified"]) is bool and isinstance(one["email"], str) for one in emails):
        raise ValueError("no addresses")
    verified = [one for one in emails if one["verified"] and _is_address(one["email"])]
    verified.sort(key=lambda one: one["primary"] is not True)  # stable: the primary one first, the others as they come
    if not verified:
        raise EmailUnverified
    name = user.get("name")
    shown = name.strip()[:_NAME_MAX] if isinstance(name, str) else ""
    return Identity(github_id, login, shown if _is_showable(shown) else login, tuple(one["email"] for one in verified))


def _is_showable(text: str) -> bool:
    return bool(text.strip()) and text.isprintable() and len(text) <= _NAME_MAX


def _is_address(text: str) -> bool:
    return text.isprintable() and "@" in text and len(text) <= _EMAIL_MAX


def _told(error: Any) -> Exception:  # noqa: ANN401 - authlib is untyped
    if error.error == _WRONG_CODE:
        return SignInFailed("GitHub does not know this sign-in, or no longer.")
    if error.error == _UNVERIFIED:
        return EmailUnverified()
    log.error("github.refused", error=str(error.error)[:100])
    return GithubRefusal()


class _Bounded(httpx.AsyncBaseTransport):
    """Reads no more of an answer than anything of GitHub's that we ask for can have."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and its answer's body through the bound."""
        response = await self._inner.handle_async_request(request)
        stream = _BoundedStream(cast("httpx.AsyncByteStream", response.stream))
        return httpx.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._inner.aclose()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._inner:
            read += len(chunk)
            if read > _BYTES_MAX:
                raise httpx.ReadError("the answer is too long")
            yield chunk

    async def aclose(self) -> None:
        """Close the stream within."""
        await self._inner.aclose()
