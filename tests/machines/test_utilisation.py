"""How busy GPUs are: what a machine tells is read with care, and never decides whether it is there."""

from __future__ import annotations

import pytest

from app.machines.utilisation import parse_utilisation


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0, 97\n1, 0\n", {0: 97, 1: 0}),
        ("0, 97 %\n", {0: 97}),
        ("0, [N/A]\n1, 12\n", {1: 12}),
        ("GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n", {}),
        ("0, 101\n64, 5\n99999, 5\n-1, 5\n0, -5\n", {}),
        ("0, 5\n0, 99\n", {0: 5}),
        ("", {}),
        ("0, \u0665\n", {}),
    ],
)
def test_what_makes_no_sense_is_passed_over(text, found):
    assert parse_utilisation(text) == found
