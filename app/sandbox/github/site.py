"""GitHub's own addresses: where people allow an app to know who they are, and where the app asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.sandbox.answers import Refusal, gateway_page, json_response, spoilt
from app.sandbox.faults import ANSWERS, REFUSALS, Fault
from app.sandbox.github.grants import Grants, Token, Wish, is_registered
from app.sandbox.people import GithubPerson
from app.sandbox.world import CallRecord, World

PROVIDER = "github"
_GATEWAY_STATUSES = frozenset({502, 503, 504})
_DOCS = "https://docs.github.com/rest"
_ERRORS = "/apps/managing-oauth-apps/troubleshooting"
_TOLD = {
    "incorrect_client_credentials": "The client_id and/or client_secret passed are incorrect.",
    "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL for this application.",
    "bad_verification_code": "The code passed is incorrect or expired.",
    "access_denied": "The user has denied your application access.",
    "invalid_request": "The code_challenge_method must be S256.",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Authorize (sandbox)</title></head>
<body><h1>Who are you?</h1><p>This is the sandbox's GitHub: choose somebody to sign in as.</p>
<form method="post" action="/login/oauth/authorize">{hidden}{people}
<button name="answer" value="cancel">Cancel</button></form></body></html>
"""
_BUTTON = '<p><button name="login" value="{login}">{name} ({login})</button></p>\n'
_HIDDEN = '<input type="hidden" name="{name}" value="{value}">\n'

Handler = Callable[[Request], Awaitable[Response]]


class GithubSite:
    """One GitHub with its people and one registered app."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._grants = Grants()
        self.people: dict[int, GithubPerson] = {person.id: person for person in world.config.github_people}
        """By id; tests change who they are and what they are called."""

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            self._route("/login/oauth/authorize", "GET", "authorize", self._ask),
            self._route("/login/oauth/authorize", "POST", "authorize", self._answer),
            self._route("/login/oauth/access_token", "POST", "token", self._token),
            self._route("/user", "GET", "user", self._user),
            self._route("/user/emails", "GET", "emails", self._emails),
        ]

    async def _ask(self, request: Request) -> Response:
        given = dict(request.query_params)
        self._wish(given)
        hidden = "".join(_HIDDEN.format(name=escape(name), value=escape(value)) for name, value in given.items())
        buttons = (
            _BUTTON.format(login=escape(one.login), name=escape(one.name or one.login)) for one in self.people.values()
        )
        return HTMLResponse(_PAGE.format(hidden=hidden, people="".join(buttons)))

    async def _answer(self, request: Request) -> Response:
        given = await _form(request)
        wish = self._wish(given)
        person = next((one for one in self.people.values() if one.login == given.get("login")), None)
        if given.get("answer") == "cancel" or person is None:
            return _back(wish.redirect_uri, _error("access_denied"), state=wish.state)
        code = self._grants.allow(wish, person.id, at=self._world.clock.now())
        return _back(wish.redirect_uri, {"code": code}, state=wish.state)

    async def _token(self, request: Request) -> Response:
        given, config = await _form(request), self._world.config
        if (given.get("client_id"), given.get("client_secret")) != (
            config.github_client_id,
            config.github_client_secret,
        ):
            return _as_accepted(request, _error("incorrect_client_credentials"))
        result = self._grants.exchange(
            given.get("code", ""),
            redirect_uri=given.get("redirect_uri", ""),
            verifier=given.get("code_verifier", ""),
            at=self._world.clock.now(),
        )
        if isinstance(result, str):
            return _as_accepted(request, _error(result))
        text, token = result
        return _as_accepted(request, {"access_token": text, "scope": ",".join(token.scopes), "token_type": "bearer"})

    async def _user(self, request: Request) -> Response:
        token, person = self._bearer(request)
        public = {
            "login": person.login,
            "id": person.id,
            "node_id": f"U_{person.id}",
            "type": "User",
            "site_admin": False,
            "name": person.name,
            "email": None,
        }
        return json_response(public, headers=_scopes(token))

    async def _emails(self, request: Request) -> Response:
        token, person = self._bearer(request)
        if not {"user", "user:email"} & set(token.scopes):
            raise _refused(404, "Not Found")
        rows = [
            {
                "email": one.email,
                "primary": one.primary,
                "verified": one.verified,
                "visibility": "private" if one.primary else None,
            }
            for one in person.emails
        ]
        return json_response(rows, headers=_scopes(token))

    def _wish(self, given: dict[str, str]) -> Wish:
        """Return what an app asks for; an app or an address that is not registered gets nowhere near the people."""
        config = self._world.config
        if given.get("client_id") != config.github_client_id:
            raise Refusal(404, "<html><body><h1>404</h1></body></html>")
        redirect_uri = given.get("redirect_uri") or config.github_callback_url
        state = given.get("state", "")
        if not is_registered(redirect_uri, config.github_callback_url):
            raise _Sent(_back(config.github_callback_url, _error("redirect_uri_mismatch"), state=state))
        challenge = given.get("code_challenge", "")
        if challenge and given.get("code_challenge_method") != "S256":
            raise _Sent(_back(redirect_uri, _error("invalid_request"), state=state))
        return Wish(config.github_client_id, redirect_uri, given.get("scope", ""), state, challenge)

    def _bearer(self, request: Request) -> tuple[Token, GithubPerson]:
        if not request.headers.get("user-agent"):
            raise Refusal(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent"
            )
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            raise _refused(401, "Requires authentication")
        token = self._grants.find(text) if scheme.lower() in {"bearer", "token"} else None
        person = self.people.get(token.github_id) if token else None
        if token is None or person is None:
            raise _refused(401, "Bad credentials")
        return token, person

    def _route(self, path: str, method: str, operation: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            """Answer one call and note it."""
            await request.body()
            response = await self._spoilt(operation, handler, request)
            record = CallRecord(
                self._world.clock.now(), PROVIDER, operation, method, request.url.path, response.status_code
            )
            self._world.calls.append(record)
            return response

        return Route(path, endpoint, methods=[method])

    async def _spoilt(self, operation: str, handler: Handler, request: Request) -> Response:
        fault = self._world.faults.draw(ANSWERS, provider=PROVIDER, operation=f"{PROVIDER}.{operation}")
        try:
            if fault and not fault.after_effect:
                _strike(fault)
            response = await handler(request)
            if fault:
                _strike(fault)
        except Refusal as refusal:
            response = refusal.response()
        except _Sent as sent:
            response = sent.response
        return spoilt(response, fault, self._world) if fault else response


class _Sent(Exception):
    """The browser is sent elsewhere instead."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def _strike(fault: Fault) -> None:
    if fault.kind not in REFUSALS:
        return
    if fault.kind == "server_error" and fault.status in _GATEWAY_STATUSES:
        raise gateway_page(fault.status or 0)
    told = {
        "rate_limited": (429, "API rate limit exceeded"),
        "unauthorized": (401, "Bad credentials"),
        "server_error": (500, "Server Error"),
        "no_credit": (403, "Sorry. Your account was suspended."),
    }
    status, message = told[fault.kind]
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else None
    raise _refused(fault.status or status, message, headers=headers)


def _refused(status: int, message: str, *, headers: dict[str, str] | None = None) -> Refusal:
    return Refusal(status, {"message": message, "documentation_url": _DOCS, "status": str(status)}, headers=headers)


def _error(name: str) -> dict[str, str]:
    return {
        "error": name,
        "error_description": _TOLD[name],
        "error_uri": f"{_ERRORS}/#{name.replace('_', '-')}",
    }


def _back(redirect_uri: str, told: dict[str, str], *, state: str) -> Response:
    query = urlencode({**told, "state": state} if state else told)
    separator = "&" if urlsplit(redirect_uri).query else "?"
    return RedirectResponse(f"{redirect_uri}{separator}{query}", status_code=302)


def _as_accepted(request: Request, told: dict[str, str]) -> Response:
    """Return an answer of the token's address in the form that is asked for, by default as a form."""
    accepted = request.headers.get("accept", "")
    if "json" in accepted:
        return json_response(told)
    if "xml" in accepted:
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())
        return Response(f"<OAuth>{inner}</OAuth>", media_type="application/xml")
    return Response(urlencode(told), media_type="application/x-www-form-urlencoded")


def _scopes(token: Token) -> dict[str, str]:
    return {"X-OAuth-Scopes": ", ".join(token.scopes)}


async def _form(request: Request) -> dict[str, Any]:
    body = (await request.body()).decode("latin-1")
    return {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
