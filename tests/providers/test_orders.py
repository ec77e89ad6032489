import pytest

from app.providers import LambdaProvider, VastProvider
from app.providers.errors import Rejected
from app.providers.orders import check_order


def test_a_sound_order_passes(order):
    check_order(order(env={"HF_TOKEN": "x y\n", "_a1": ""}, ports=(1, 65535)), VastProvider.capability)


@pytest.mark.parametrize(
    "changes",
    [
        {"marker": ""},
        {"marker": "x" * 257},
        {"marker": "a b"},
        {"image": ""},
        {"image": "ubuntu --privileged"},
        {"image": "-v"},
        {"env": {"-v /:/host": "1"}},
        {"env": {"-p 22:22": "1"}},
        {"env": {"A=B": "1"}},
        {"env": {"": "1"}},
        {"env": {"A": "a\x00b"}},
        {"env": {"A": "\ud800"}},
        {"env": {"A": "x" * 40_000}},
        {"ports": (0,)},
        {"ports": (65536,)},
        {"disk_gb": 0},
    ],
)
def test_what_a_cloud_could_misread_is_refused(order, changes):
    with pytest.raises(Rejected):
        check_order(order(**changes), VastProvider.capability)


def test_limits_are_the_clouds_own(order):
    with pytest.raises(Rejected):
        check_order(order(marker="x" * 65), LambdaProvider.capability)
    with pytest.raises(Rejected):
        check_order(order(spot=True, bid_micros_per_hour=1), LambdaProvider.capability)
