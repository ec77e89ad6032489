"""What a cloud may do wrong, and where it is shown that nothing comes of it: each by a scene that exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

_HERE = "rentals/test_provider_faults.py"
_LIFE = "rentals/test_provider_life_faults.py"
_FAULTS = "rentals/test_faults.py"
_CONTRACT = "providers/contract/test_faults.py"

TABLE: dict[int, tuple[str, dict[str, tuple[str, ...]]]] = {
    20: (
        "a create is done, and its answer never comes",
        {
            _HERE: ("test_an_ambiguous_create_leaves_exactly_one_machine_at_every_cloud",),
            _CONTRACT: ("test_a_create_without_an_answer_is_unknown_and_found_by_its_marker",),
        },
    ),
    21: (
        "a create is done ten minutes after it was given up",
        {
            _HERE: ("test_a_machine_that_comes_ten_minutes_late_goes_and_the_other_runs_on",),
            _FAULTS: ("test_a_machine_that_turns_up_long_after_its_attempt_is_doomed_again",),
        },
    ),
    22: (
        "a create is done twice",
        {_HERE: ("test_a_second_machine_of_one_create_goes_while_the_first_runs_on",)},
    ),
    23: (
        "429 with any Retry-After",
        {
            _HERE: ("test_whatever_a_cloud_says_of_its_pace_the_rental_is_not_held_up",),
            _CONTRACT: ("test_a_create_that_came_too_fast_made_nothing",),
        },
    ),
    24: (
        "bursts of 500, 502, 503, 504",
        {
            _HERE: ("test_a_burst_of_errors_on_every_call_is_outlived",),
            _CONTRACT: ("test_a_create_that_met_a_broken_server_is_unknown_and_never_repeated",),
        },
    ),
    25: (
        "answers that are cut, of other types, with keys twice, huge, or a page",
        {
            _HERE: ("test_garbage_in_answer_to_anything_is_outlived",),
            _CONTRACT: (
                "test_a_create_with_an_unreadable_answer_is_unknown_and_found_by_its_marker",
                "test_an_unreadable_answer_to_a_reading_call_is_unavailable",
            ),
        },
    ),
    26: (
        "an answer that drips",
        {
            _CONTRACT: ("test_a_slow_answer_ends_at_the_deadline",),
            "providers/test_wire.py": ("test_no_call_outlasts_its_deadline",),
        },
    ),
    27: (
        "no TLS, no such name, no connection, or one that is cut after the request",
        {
            _HERE: (
                "test_a_cloud_to_which_no_connection_leads_costs_nothing_and_holds_up_no_other",
                "test_an_ambiguous_create_leaves_exactly_one_machine_at_every_cloud",
            ),
            "providers/test_wire.py": ("test_without_a_connection_a_change_was_not_sent",),
        },
    ),
    28: (
        "price or stock change between the list and the create",
        {
            _FAULTS: (
                "test_a_rental_survives",
                "test_with_nothing_to_be_had_the_rental_fails_and_everything_comes_back",
            ),
            _CONTRACT: ("test_an_offer_that_is_gone_is_no_capacity",),
        },
    ),
    29: (
        "another GPU than was sold, or too few",
        {_FAULTS: ("test_a_rental_survives", "test_the_next_listing_is_tried_at_the_locked_rate")},
    ),
    30: (
        "a list leaves a fresh machine out, or moves between its pages",
        {
            _FAULTS: ("test_a_rental_survives",),
            _CONTRACT: ("test_a_list_may_lag_behind_a_create",),
            "providers/vast/test_client.py": (
                "test_a_list_is_read_to_its_last_page_and_a_machine_that_moved_is_told_once",
                "test_pages_in_a_circle_end",
            ),
        },
    ),
    31: (
        "a list shows strangers' machines",
        {
            _FAULTS: ("test_a_machine_that_nobody_owns_is_destroyed_and_a_strangers_is_not",),
            "providers/contract/test_life.py": ("test_strangers_machines_are_invisible",),
        },
    ),
    32: (
        "a label is dropped or cut",
        {_HERE: ("test_a_label_that_the_cloud_loses_costs_no_machine_whose_id_is_known",)},
    ),
    33: (
        "a machine never boots",
        {_FAULTS: ("test_a_rental_survives",), _CONTRACT: ("test_a_failed_boot_is_failed",)},
    ),
    34: (
        "a machine boots and can't be reached, at once or later",
        {
            _FAULTS: ("test_a_rental_survives",),
            _LIFE: ("test_a_dead_host_is_let_go_whether_its_cloud_calls_it_running_or_broken_and_bills_it",),
            "rentals/test_interruptions.py": ("test_a_spot_machine_that_falls_silent_is_given_its_time_to_answer",),
        },
    ),
    35: (
        "a machine disappears",
        {
            _FAULTS: (
                "test_a_host_that_dies_young_costs_nothing",
                "test_a_host_that_dies_old_is_charged_to_its_last_pulse",
            )
        },
    ),
    36: (
        "a spot machine is taken back, with notice and without",
        {
            "rentals/test_notices.py": ("test_a_notice_lets_the_script_save_and_the_next_machine_go_on_from_there",),
            "rentals/test_interruptions.py": (
                "test_an_outbid_machine_is_replaced_on_another_host_and_its_disk_let_go",
            ),
        },
    ),
    37: (
        "a dead host is called running, or one that is billed is called broken",
        {
            _LIFE: ("test_a_dead_host_is_let_go_whether_its_cloud_calls_it_running_or_broken_and_bills_it",),
            "rentals/test_last_look.py": ("test_what_was_charged_since_the_last_answer_comes_back",),
        },
    ),
    38: (
        "a delete finds nothing, is too early, fails for an hour, or lies; or a machine is paid for longer than it runs",
        {
            _LIFE: ("test_a_delete_that_fails_for_an_hour_is_asked_for_until_the_machine_is_gone",),
            _FAULTS: ("test_a_rental_survives",),
            "providers/contract/test_life.py": ("test_to_destroy_the_unknown_is_success",),
            "providers/lambda_cloud/test_client.py": ("test_answers_to_a_terminate_that_did_not_succeed",),
            "catalog/test_matching.py": (
                "test_a_minimum_commitment_counts_as_far_as_it_goes_beyond_the_time_expected",
            ),
        },
    ),
    39: (
        "our key is revoked",
        {
            _LIFE: ("test_a_key_that_is_revoked_midway_stops_no_meter_and_loses_no_machine",),
            _FAULTS: ("test_a_cloud_that_refuses_our_key_is_told_as_ours",),
        },
    ),
    40: (
        "a cloud's clock is not ours",
        {
            _LIFE: ("test_a_cloud_whose_clock_is_months_ahead_changes_nothing_of_what_is_billed",),
            "costs/test_books.py": ("test_machine_that_runs_over_midnight_counts_on_each_day_for_its_part",),
        },
    ),
    41: (
        "a cloud is down for a day",
        {
            _LIFE: ("test_a_cloud_that_is_down_for_a_day_keeps_no_meter_running_and_no_other_cloud_waiting",),
            _FAULTS: ("test_a_cloud_that_is_down_proves_nothing",),
        },
    ),
}
"""Number → what happens, and the scenes that show it, by file."""


@cache
def scenes_of(path: str) -> frozenset[str]:
    """The scenes in a file."""
    tree = ast.parse((Path(__file__).resolve().parents[1] / path).read_text(encoding="utf-8"))
    made = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, made) and node.name.startswith("test_"))


def test_the_table_is_whole() -> None:
    assert sorted(TABLE) == list(range(20, 42))


@pytest.mark.parametrize("number", TABLE)
def test_what_a_cloud_may_do_wrong_is_shown_to_be_harmless(number: int) -> None:
    _, files = TABLE[number]
    assert files
    for path, scenes in files.items():
        assert scenes
        assert set(scenes) <= scenes_of(path)
