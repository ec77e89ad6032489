"""The rentals room's errors.

AppError
├── NoMatchingListings   409   nothing on offer fits the filters
├── QuoteExpired         409   the quote's minute is over, or it was used
├── PriceChanged         409   the quoted listing is gone or dearer
├── DuplicateKey         409   the account holds this public key already
├── NameTaken            409   a template of this name exists
├── CannotHibernate      409   the machine's cloud can't turn it off and keep its disk
└── UnknownReference     422   an id in the body names nothing of this account
"""

from __future__ import annotations

from app.kit.errors import AppError, InvalidState


class NoMatchingListings(AppError):
    """Nothing on offer fits these filters."""

    status = 409
    code = "no_matching_listings"
    retryable = True
    suggestion = "Loosen a filter, raise the price ceiling, or look at GET /v1/catalog/facets for what there is."


class QuoteExpired(AppError):
    """The quote is over: it holds for 60 seconds and for one rental."""

    status = 409
    code = "quote_expired"
    suggestion = "Ask for a new quote."


class PriceChanged(AppError):
    """The quoted listing is gone."""

    status = 409
    code = "price_changed"
    retryable = True
    suggestion = "Ask for a new quote."


class DuplicateKey(AppError):
    """The account holds this public key already."""

    status = 409
    code = "duplicate_key"
    suggestion = "Use the key that exists; GET /v1/ssh-keys lists it."


class NameTaken(AppError):
    """A template of this name exists."""

    status = 409
    code = "name_taken"
    suggestion = "Choose another name, or change the template that exists."


class CannotHibernate(InvalidState):
    """This rental's machine can't be turned off with its disk kept."""

    suggestion = "Save what you need and stop the rental; GET /v1/providers tells which clouds can hibernate."


class UnknownReference(AppError):
    """An id in the body names nothing of this account."""

    status = 422
    code = "validation_failed"
    suggestion = "Check the ids of ssh_key_ids and template."
