from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from app.web.schemas import (
    DecimalIn,
    Lines,
    MoneyIn,
    MoneyOut,
    Name,
    PositiveMoneyIn,
    TimeIn,
    TimeOut,
    WholeNumber,
    Wire,
)


class Order(Wire):
    name: Name = "x"
    script: Annotated[Lines, Field(max_length=100)] = ""
    count: WholeNumber = 1
    ceiling: MoneyIn = 0
    amount: PositiveMoneyIn = 1
    share: DecimalIn = Decimal(1)
    until: TimeIn | None = None


class Receipt(Wire):
    amount: MoneyOut
    at: TimeOut


@pytest.mark.parametrize(
    "fields",
    [
        {"count": True},
        {"count": "5"},
        {"count": Decimal("5.5")},
        {"count": -1},
        {"count": 2**53},
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "a\ud800b"},
        {"name": "two\nlines"},
        {"name": "safe\u202egnp.exe"},
        {"name": "zero\u200bwidth"},
        {"name": "x" * 65},
        {"name": 5},
        {"script": "a\x00"},
        {"script": "a\u202eb"},
        {"script": "\x1b[2J"},
        {"ceiling": "-1"},
        {"ceiling": "1e3"},
        {"ceiling": Decimal("1E+3")},
        {"ceiling": "0.0000001"},
        {"ceiling": True},
        {"ceiling": "NaN"},
        {"ceiling": "9999999999.00"},
        {"ceiling": None},
        {"amount": "0"},
        {"share": True},
        {"share": "0.5"},
        {"until": "2030-01-31"},
        {"until": "2030-01-31T12:00:00"},
        {"until": "2030-02-31T12:00:00Z"},
        {"until": 5},
        {"account_id": "acct_x"},
    ],
)
def test_an_unfit_value_is_refused(fields):
    with pytest.raises(ValidationError):
        Order.model_validate(fields)


def test_money_comes_as_text_or_number_and_is_micros_inside():
    order = Order.model_validate({"ceiling": "2.80", "amount": Decimal("0.000778")})
    assert (order.ceiling, order.amount) == (2_800_000, 778)
    assert Order.model_validate({"amount": 3}).amount == 3_000_000


def test_names_in_any_script_and_scripts_of_many_lines_are_taken():
    order = Order.model_validate({"name": "zażółć 日本 😀", "script": "#!/bin/sh\n\techo 😀\r\n"})
    assert order.name.endswith("😀")


def test_times_are_aware_utc_inside_and_end_in_z_outside():
    order = Order.model_validate({"until": "2030-01-31T13:00:00+01:00"})
    assert order.until == datetime(2030, 1, 31, 12, tzinfo=UTC)
    receipt = Receipt(amount=778, at=order.until)
    assert receipt.model_dump_json() == '{"amount":"0.000778","at":"2030-01-31T12:00:00.000Z"}'
