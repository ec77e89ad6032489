"""Pages of HTML, without scripts."""

from __future__ import annotations

import functools
from typing import Any

import jinja2
from starlette.responses import HTMLResponse, RedirectResponse, Response

MERCHANT = "Hourglass"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CARDS = (
    ("4242 4242 4242 4242", "is accepted"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has insufficient funds"),
    ("4000 0000 0000 0341", "is saved, then declined"),
    ("4000 0025 0000 3155", "asks its holder until it was set up"),
    ("4000 0027 6000 3184", "asks its holder always"),
    ("4000 0000 0000 0259", "is accepted, then disputed as fraud"),
    ("4000 0000 0000 1976", "is accepted, then inquired about"),
    ("4000 0000 0000 5423", "is accepted, then warned of"),
    ("4000 0000 0000 7726", "is refunded after a while"),
    ("4000 0000 0000 5126", "can't be refunded after all"),
)


def dollars(cents: int) -> str:
    """Return cents as people read them."""
    return f"${cents // 100:,}.{cents % 100:02d}"


def page(name: str, *, status: int = 200, **told: Any) -> Response:  # noqa: ANN401 - whatever a template shows
    """Return a page made from its template."""
    text = _templates().get_template(f"{name}.html").render(merchant=MERCHANT, cards=_CARDS, **told)
    return HTMLResponse(text, status, headers=_HEADERS)


def over(heading: str, text: str, *, status: int = 200, link: str | None = None) -> Response:
    """Return a page on which there is nothing to do."""
    return page("over", status=status, heading=heading, text=text, link=link)


def go(url: str) -> Response:
    """Send the browser elsewhere."""
    return RedirectResponse(url, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


@functools.cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("app.sandbox.stripe"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    found.filters["dollars"] = dollars
    return found
