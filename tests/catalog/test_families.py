from __future__ import annotations

import csv
from pathlib import Path

import pytest

from app.catalog.families import FAMILIES, FAMILY_BY_SLUG, families_with_vram, find_family, get_family, match_family


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("RTX_4090", "rtx-4090"),
        ("rtx 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("4090", "rtx-4090"),
        ("H100_SXM", "h100-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("NVIDIA H100 PCIe", "h100-80gb"),
        ("h100", "h100-80gb"),
        ("H100SXM5", "h100-80gb"),
        ("H100_NVL", "h100-nvl-94gb"),
        ("NVIDIA H100 NVL", "h100-nvl-94gb"),
        ("A100-80G-PCIe-NVLink", "a100-80gb"),
        ("A100-SXM4-40GB", "a100-40gb"),
        ("a100 40 GB", "a100-40gb"),
        ("a100", "a100-80gb"),
        ("RTX 6000Ada", "rtx-6000-ada-48gb"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada-48gb"),
        ("Quadro RTX 6000", "rtx-6000-24gb"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-96gb"),
        ("RTX_PRO_6000_S", "rtx-pro-6000-96gb"),
        ("NVIDIA GH200 480GB", "gh200-96gb"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("H200 NVL", "h200-141gb"),
        ("Tesla T4", "t4"),
        ("Tesla V100-SXM2-32GB", "v100-32gb"),
        ("ＲＴＸ　４０９０", "rtx-4090"),  # noqa: RUF001 - full-width letters are the point
    ],
)
def test_a_family_is_found_by_what_clouds_drivers_and_people_write(text, slug):
    assert find_family(text).slug == slug


@pytest.mark.parametrize(
    "text", ["", "gpu", "RTX 4090 D", "RTX 4090 Laptop GPU", "RTX 4090 48GB", "H100 64GB", "4", "💥"]
)
def test_other_models_are_not_taken_for_their_neighbours(text):
    assert find_family(text) is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.slug)
def test_every_family_is_found_by_its_slug_its_title_and_every_alias_with_its_memory(family):
    for name in (family.slug, family.slug.upper(), family.title, family.model(family.interconnects[0])):
        assert find_family(name) is family
    for alias in family.aliases:
        assert match_family(alias, family.vram_gb * 1024).family is family
    assert get_family(family.slug) is family


@pytest.mark.parametrize(
    ("name", "vram_mib", "slug", "interconnect"),
    [
        ("A100 SXM4", 40_960, "a100-40gb", "sxm"),
        ("A100 SXM4", 81_920, "a100-80gb", "sxm"),
        ("A100 PCIE", 81_251, "a100-80gb", "pcie"),
        ("H100 SXM", 81_559, "h100-80gb", "sxm"),
        ("H100-80G-PCIe", 81_920, "h100-80gb", "pcie"),
        ("NVIDIA H100 80GB HBM3", 81_559, "h100-80gb", "sxm"),
        ("H100", 81_559, "h100-80gb", None),
        ("H100 NVL", 95_830, "h100-nvl-94gb", "nvl"),
        ("H100", 95_830, "h100-nvl-94gb", "nvl"),
        ("L40S", 46_068, "l40s-48gb", "pcie"),
        ("B300 SXM6 AC", 275_040, "b300", "sxm"),
        ("NVIDIA GH200 480GB", 97_871, "gh200-96gb", "sxm"),
        ("Tesla T4", 15_360, "t4", "pcie"),
    ],
)
def test_name_and_memory_together_tell_family_and_form(name, vram_mib, slug, interconnect):
    match = match_family(name, vram_mib)
    assert (match.family.slug, match.interconnect) == (slug, interconnect)


@pytest.mark.parametrize(
    ("name", "vram_mib"),
    [("RTX 4090", 49_140), ("RTX 3060", 8_192), ("H100 SXM", 95_830), ("H100 NVL", 81_559), ("A100", 61_440)],
)
def test_a_name_with_another_memory_is_no_family_of_ours(name, vram_mib):
    assert match_family(name, vram_mib) is None


def test_memory_is_matched_with_a_tolerance_of_eight_percent_and_no_more():
    assert match_family("L40S", 49_152 * 92 // 100 + 1)
    assert match_family("L40S", 49_152 * 92 // 100 - 1) is None


def test_families_chosen_by_memory_alone_run_the_usual_images():
    chosen = {family.slug for family in families_with_vram(96)}
    assert {"h200-141gb", "b200", "rtx-pro-6000-96gb"} <= chosen
    assert not chosen & {"gh200-96gb", "mi300x-192gb", "h100-nvl-94gb"}


def test_slugs_are_unique_and_figures_are_those_of_the_slowest_form_when_it_is_unknown():
    assert len(FAMILY_BY_SLUG) == len(FAMILIES)
    assert get_family("h100-80gb").hardware(None).bandwidth_gb_per_second == 2000
    assert get_family("h100-80gb").hardware("sxm").fp16_tflops == 989


_VAST = {
    "RTX_4090": "rtx-4090",
    "RTX_3060": "rtx-3060",
    "RTX_3060_Ti": "rtx-3060-ti",
    "RTX_3070": "rtx-3070",
    "RTX_3080": "rtx-3080",
    "RTX_3090": "rtx-3090",
    "RTX_4060_Ti": "rtx-4060-ti-16gb",
    "RTX_4070S_Ti": "rtx-4070-ti-super",
    "RTX_5090": "rtx-5090",
    "RTX_6000Ada": "rtx-6000-ada-48gb",
    "RTX_A2000": "a2000-6gb",
    "RTX_A6000": "a6000-48gb",
    "RTX_PRO_6000_S": "rtx-pro-6000-96gb",
    "A40": "a40-48gb",
    "B200": "b200",
    "H100_NVL": "h100-nvl-94gb",
    "H100_SXM": "h100-80gb",
    "H200": "h200-141gb",
    "L40S": "l40s-48gb",
    "Tesla_V100": "v100-16gb",
}


def _rows(shared: Path, name: str) -> list[dict[str, str]]:
    with (shared / "market" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_offer_of_a_real_day_maps_to_its_family(shared):
    for row in _rows(shared, "vast-offers.csv"):
        vram = int(row["gpu_total_ram_mib"]) // int(row["num_gpus"])
        match = match_family(row["gpu_name"], vram)
        expected = _VAST.get(row["gpu_name"]) or f"a100-{round(vram / 1024)}gb"
        if row["gpu_name"] == "RTX_4090" and vram > 40_000:
            assert match is None
        else:
            assert match.family.slug == expected, row


def test_every_type_and_flavor_of_real_price_lists_maps_to_its_family(shared):
    expected = {
        "A100-80G-PCIe": ("a100-80gb", "pcie"),
        "A100-80G-PCIe-NVLink": ("a100-80gb", "pcie"),
        "H100-80G-PCIe": ("h100-80gb", "pcie"),
        "H100-80G-PCIe-NVLink": ("h100-80gb", "pcie"),
        "H100-80G-SXM5": ("h100-80gb", "sxm"),
        "L40": ("l40-48gb", "pcie"),
        "RTX-A4000": ("a4000-16gb", "pcie"),
        "RTX-A6000": ("a6000-48gb", "pcie"),
        "A6000": ("a6000-48gb", "pcie"),
        "V100": ("v100-16gb", None),
    }
    for row in _rows(shared, "hyperstack-flavors.csv") + _rows(shared, "lambda-types.csv"):
        match = match_family(row["gpu"], int(row["vram_mib_per_gpu"]))
        assert (match.family.slug, match.interconnect) == expected[row["gpu"]]


def test_every_gpu_of_real_price_histories_is_known(shared):
    unknown = {row["gpu"] for row in _rows(shared, "daily-medians.csv") if find_family(row["gpu"]) is None}
    assert unknown == set()
