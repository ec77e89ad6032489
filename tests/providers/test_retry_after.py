from datetime import UTC, datetime

import pytest

from app.providers.retry_after import retry_after_seconds

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("2.5", 2.5),
        ("999999999999999999999999", 60),
        ("Sun, 01 Mar 2026 12:00:09 GMT", 9),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2099 12:00:00 -0000", 60),
        ("", None),
        (None, None),
        ("soon", None),
        ("-3", None),
        ("1e5", None),
        ("nan", None),
        ("٣", None),
        (".", None),
        ("Sun, 99 Mar 2026 99:00:00 GMT", None),
    ],
)
def test_seconds_dates_and_garbage(header, seconds):
    assert retry_after_seconds(header, at=AT) == seconds
