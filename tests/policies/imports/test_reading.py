"""Files as they circulate, and files that are nothing at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policies import TEAM_DEFAULT, UNLIMITED, OnExceeded
from app.policies.imports.cloud_files import read_cloud_file
from app.policies.imports.documents import read_document
from app.policies.imports.team_tables import read_team_table

TOML = """
# who may what
[teams.research]
gpu_whitelist = ["RTX 4090",
    "NVIDIA H100 80GB HBM3"]   # two
max_instances = 4
daily_budget = 50.0
max_dph = 2.5

[teams.vision]
gpu_whitelist = ["RTX_4090"]
max_instances = 1
daily_budget = 10
max_dph = 0.8
"""
JSON = """{
  "research": {"gpu_whitelist": ["RTX 4090", "H100"], "max_instances": 4, "daily_budget": 50.0, "max_dph": 2.5},
  "vision": {"gpu_whitelist": ["RTX_4090"], "max_instances": 1, "daily_budget": 10, "max_dph": 0.8}
}"""
PYTHON = """# policies.py
TEAM_POLICIES = {
    'research': {'gpu_whitelist': ['RTX 4090', 'H100'], 'max_instances': 4, 'daily_budget': 50.0, 'max_dph': 2.5,},
    'vision': {'gpu_whitelist': ['RTX_4090'], 'max_instances': 1, 'daily_budget': 10, 'max_dph': 0.8},
}
"""
YAML = """---
teams:
  research:
    gpu_whitelist:
      - RTX 4090
      - "H100"     # the SXM one
    max_instances: 4
    daily_budget: $50
    max_dph: $2.50/hr
  vision:
    gpu_whitelist: [rtx-4090]
    max_instances: 1
    daily_budget: 10 USD
    max_dph: 0.80
"""
CSV = """team,gpu_whitelist,max_instances,daily_budget,max_dph
research,RTX 4090;H100,4,50,2.50
vision,"RTX 4090",1,$10,0.8
"""
LOOSE = """[research]
GPU-Whitelist = RTX 4090, H100
max_intances = 4
dailybudget = $50
max dph = 2.5
[vision]
gpu_whitelist: ["RTX 4090"]
max_instances: 1
daily_budget: 10,
max_dph: .8
max_dph: 0.8
"""


@pytest.mark.parametrize("text", [TOML, JSON, PYTHON, YAML, CSV, LOOSE, TOML.replace("\n", "\r\n"), "\ufeff" + JSON])
def test_every_form_of_a_team_table_says_the_same(text):
    research, vision = read_team_table(text).drafts
    assert (research.team, vision.team) == ("research", "vision")
    assert research.changes == {
        "gpu_whitelist": ("rtx-4090", "h100-80gb"),
        "max_instances": 4,
        "daily_budget_micros": 50_000_000,
        "max_price_micros_per_hour": 2_500_000,
    }
    assert vision.changes == {
        "gpu_whitelist": ("rtx-4090",),
        "max_instances": 1,
        "daily_budget_micros": 10_000_000,
        "max_price_micros_per_hour": 800_000,
    }


@pytest.mark.parametrize("text", [TOML, JSON, PYTHON, YAML, CSV])
def test_a_form_that_is_well_written_is_read_without_a_word(text):
    assert read_team_table(text).notices == []


def test_what_is_loosely_written_is_told_with_its_line():
    told = [(notice.line, notice.code) for notice in read_team_table(LOOSE).notices]
    assert (3, "misspelt_key") in told
    assert (4, "misspelt_key") in told
    assert (11, "duplicate_key") in told


def test_each_change_knows_its_line():
    [research, vision] = read_team_table(TOML).drafts
    assert (research.line, research.lines["gpu_whitelist"], research.lines["max_instances"]) == (3, 4, 6)
    assert vision.lines["max_price_micros_per_hour"] == 14


CLOUD = """
[providers.vast]
api_key = "vast-canary-0123456789"
min_vram_gb = 24
max_$/hour = 0.60
filter = { location = ["US", "DE"], min_bandwidth_gbps = 0.5 }

[providers.runpod]
api_key = runpod-canary-0123456789
min_vram_gb = 24
"max_$/hour" = 0.80
[providers.runpod.filter]
location = "us"

[providers.aws]
secret_token = "aws-canary-0123456789"
max_$/hour = 9

[budget]
"total_$/month" = 500
total_$/day = 40
alert_at_$/hour = 3
prefer_spot = true
timeout_on_interrupt = "2m"
"""
CANARIES = ("vast-canary", "runpod-canary", "aws-canary")


def test_a_cloud_file_comes_to_the_accounts_policy():
    reading = read_cloud_file(CLOUD)
    [draft] = reading.drafts
    assert draft.team is None
    assert draft.changes["allowed_providers"] == ("vast", "runpod")
    assert draft.changes["max_price_micros_per_hour"] == 600_000
    assert draft.changes["allowed_regions"] == ("US", "DE")
    assert draft.changes["monthly_budget_micros"] == 500_000_000
    assert draft.changes["daily_budget_micros"] == 40_000_000
    assert "rtx-4090" in draft.changes["gpu_whitelist"]
    assert "rtx-3060" not in draft.changes["gpu_whitelist"]
    assert reading.launch_defaults == {"spot": "prefer", "timeout_on_interrupt": 120, "min_inet_mbps": 500}


def test_credentials_are_warned_of_and_never_repeated():
    reading = read_cloud_file(CLOUD)
    secrets = [notice.line for notice in reading.notices if notice.code == "secret_left_out"]
    assert secrets == [3, 9, 16]
    assert not any(canary in repr(reading) for canary in CANARIES)


def test_what_a_policy_can_not_hold_is_told_on_its_line():
    told = {notice.line: notice.code for notice in read_cloud_file(CLOUD).notices}
    assert told[15] == "unknown_provider"
    assert told[11] == "lowest_holds"
    assert {told[line] for line in (6, 22, 23, 24)} == {"not_a_policy"}


def test_a_cloud_that_is_not_known_sets_no_ceiling_for_others():
    assert read_cloud_file("[providers.aws]\nmax_$/hour = 0.01\n[budget]\ntotal_$/month = 5").drafts[0].changes == {
        "monthly_budget_micros": 5_000_000
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[a]\nmax_instances = lots", "value_left_out"),
        ("[a]\nmax_instances = -1", "value_left_out"),
        ("[a]\nmax_instances = 1.5", "value_left_out"),
        ("[a]\nmax_instances = true", "value_left_out"),
        ("[a]\ndaily_budget = 1e9", "value_left_out"),
        ("[a]\ndaily_budget = 0.0000001", "value_left_out"),
        ("[a]\ndaily_budget = [5]", "value_left_out"),
        ("[a]\nmax_dph = 0", "value_left_out"),
        ("[a]\nmax_dph = null", "no_limit_left_out"),
        ("[a]\ngpu_whitelist = ['Voodoo 2']", "value_left_out"),
        ("[a]\ngpu_whitelist = [['RTX 4090']]", "value_left_out"),
        ("[a]\nmagic = 5", "unknown_key"),
        ("[a]\nmax_instances", "unreadable"),
        ("[a]\nmax_instances = [1", "unreadable"),
        ('[a]\nmax_instances = "1', "unreadable"),
        ("max_instances = 5", "unknown_key"),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(text, code):
    reading = read_team_table(text)
    assert code in [notice.code for notice in reading.notices]
    assert all(draft.terms(TEAM_DEFAULT) == TEAM_DEFAULT for draft in reading.drafts)


def test_an_empty_whitelist_allows_nothing_and_an_unknown_family_is_left_out():
    assert read_team_table("[a]\ngpu_whitelist = []").drafts[0].changes == {"gpu_whitelist": ()}
    reading = read_team_table("[a]\ngpu_whitelist = ['RTX 4090', 'Voodoo 2']")
    assert reading.drafts[0].changes == {"gpu_whitelist": ("rtx-4090",)}
    assert [notice.code for notice in reading.notices] == ["unknown_family"]


def test_everything_that_a_policy_says_can_be_imported():
    text = """[a]
max_gpus = 8
monthly_budget = 1,000
max_duration = 8h
allowed_regions = ["de", "eu-central"]
allowed_providers = Vast.ai, LambdaLabs, Nowhere
min_reliability = 97%
on_budget_exceeded = stop-all
"""
    assert read_team_table(text).drafts[0].changes == {
        "max_gpus": 8,
        "monthly_budget_micros": 1_000_000_000,
        "max_duration_seconds": 8 * 3600,
        "allowed_regions": ("DE", "eu-central"),
        "allowed_providers": ("vast", "lambda"),
        "min_reliability_ppm": 970_000,
        "on_budget_exceeded": OnExceeded.STOP_ALL,
    }


_BITS = """[teams.a]
 [ ] { } " ' = : , - # max_$/hour api_key 0.5 team, providers budget \\ null a.b.c 🙂"""
bits = st.sampled_from([*_BITS.split(" "), " ", "  ", "\t", "\n", "\x7f", '"' * 3])


@given(st.lists(bits | st.text(max_size=8), max_size=60).map("".join))
def test_no_text_is_too_odd(text):
    for read in (read_team_table, read_cloud_file):
        reading = read(text)
        lines = text.count("\n") + text.count("\r") + 1
        assert all(1 <= notice.line <= lines for notice in reading.notices)
        for draft in reading.drafts:
            draft.terms(UNLIMITED)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{" * 100_000,
        '{"a":' * 50_000,
        "a" * 250_000,
        " " * 250_000 + "x",
        "a: " + " " * 250_000 + "x\n",
        "[" + "a." * 100_000 + "b]\nc = 1",
        "- " * 120_000,
        '"' * 250_000,
        "a =" + " " * 200_000 + "[1",
        "team," * 50_000,
        "a = 1\n" * 40_000,
        "x\\" * 100_000,
    ],
)
def test_a_text_made_to_be_slow_is_read_at_once(text):
    read_document(text)
    read_cloud_file(text)
