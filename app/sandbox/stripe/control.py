"""The account's own paths under ``/_sandbox/stripe/``: what its owner, its customers and their banks do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from app.sandbox.answers import Refusal
from app.sandbox.control import control_route, json_body
from app.sandbox.stripe.account import CardDeclined, StripeAccount

Deed = Callable[..., Any]


class StripeControl:
    """The calls by which tests, demos and people steer the account; the parameters are the methods' own."""

    def __init__(self, account: StripeAccount) -> None:
        self._account = account
        self._deeds: dict[str, dict[str, Deed]] = {
            "sessions": {"pay": account.pay, "expire": account.expire, "settle": account.settle_async},
            "payments": {"refund": account.refund, "dispute": account.dispute, "warn": account.warn},
            "refunds": {"settle": account.settle_refund},
            "disputes": {
                "respond": account.respond,
                "escalate": account.escalate,
                "close": account.close_dispute,
            },
            "customers": {"add-card": account.add_card},
            "cards": {
                "change": account.change_card,
                "renew": account.renew_card,
                "detach": account.detach_card,
            },
            "events": {"resend": account.webhooks.resend},
        }

    def routes(self) -> list[Route]:
        """Return the paths."""
        root = "/_sandbox/stripe"
        return [
            control_route(f"{root}/truth", "GET", self._truth),
            control_route(f"{root}/webhooks", "GET", self._webhooks),
            control_route(f"{root}/webhooks", "POST", self._change_webhooks),
            control_route(f"{root}/webhooks/troubles", "POST", self._trouble),
            control_route(f"{root}/webhooks/troubles", "DELETE", self._no_trouble),
            control_route(f"{root}/{{noun}}/{{id}}/{{deed}}", "POST", self._do),
        ]

    async def _do(self, request: Request) -> object:
        noun, object_id, name = (request.path_params[part] for part in ("noun", "id", "deed"))
        deed = self._deeds.get(noun, {}).get(name)
        if deed is None:
            known = ", ".join(f"{noun}/…/{name}" for noun, deeds in self._deeds.items() for name in deeds)
            raise Refusal(404, {"error": f"no such deed; one of {known}"})
        body = await json_body(request)
        try:
            done = deed(object_id, **body)
            return await done if isinstance(done, Awaitable) else done
        except (TypeError, ValueError) as error:
            raise Refusal(422, {"error": str(error)}) from None
        except LookupError as error:
            raise Refusal(404, {"error": str(error)}) from None
        except CardDeclined as declined:
            raise Refusal(402, {"error": str(declined), **asdict(declined.decline)}) from None

    async def _truth(self, request: Request) -> object:  # noqa: ARG002 - every call takes the request
        return asdict(self._account.truth())

    async def _webhooks(self, request: Request) -> object:  # noqa: ARG002 - as above
        webhooks = self._account.webhooks
        return {
            "url": webhooks.url,
            "types": sorted(webhooks.types),
            "paused": webhooks.paused,
            "troubles": [asdict(trouble) for trouble in webhooks.troubles],
            "sent": [asdict(sent) for sent in webhooks.sent],
        }

    async def _change_webhooks(self, request: Request) -> object:
        webhooks, body = self._account.webhooks, await json_body(request)
        if unknown := set(body) - {"url", "types", "secrets", "paused"}:
            raise Refusal(422, {"error": f"unknown: {', '.join(sorted(unknown))}"})
        webhooks.url = body.get("url", webhooks.url)
        webhooks.types = frozenset(body.get("types", webhooks.types))
        webhooks.secrets = tuple(body.get("secrets", webhooks.secrets))
        if "paused" in body:
            (webhooks.pause if body["paused"] else webhooks.resume)()
        return await self._webhooks(request)

    async def _trouble(self, request: Request) -> object:
        try:
            self._account.webhooks.trouble(**await json_body(request))
        except (TypeError, ValueError) as error:
            raise Refusal(422, {"error": str(error)}) from None
        return {}

    async def _no_trouble(self, request: Request) -> object:  # noqa: ARG002 - as above
        self._account.webhooks.clear()
        return {}
