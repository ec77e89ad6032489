import pytest

from app.sandbox.gpus import gpu_facts, wrong_gpu_facts
from app.sandbox.lambda_cloud.market import built_in_types
from app.sandbox.vast.market import built_in_slabs


@pytest.mark.parametrize(
    ("name", "vram", "driver_name"),
    [
        ("H100 SXM", 81559, "NVIDIA H100 80GB HBM3"),
        ("H100 NVL", 95830, "NVIDIA H100 NVL"),
        ("A100 SXM4", 40960, "NVIDIA A100-SXM4-40GB"),
        ("A100 SXM4", 81920, "NVIDIA A100-SXM4-80GB"),
        ("A100 PCIE", 81920, "NVIDIA A100 80GB PCIe"),
        ("RTX 4090", 49140, "NVIDIA GeForce RTX 4090"),
        ("RTX 9999", 1, "NVIDIA GeForce RTX 9999"),
        ("X1", 1, "NVIDIA X1"),
    ],
)
def test_the_driver_has_its_own_names(name, vram, driver_name):
    assert gpu_facts(name, 2, vram).name == driver_name


def test_every_gpu_of_the_built_in_markets_is_known():
    from app.sandbox.gpus import _MODELS

    for kind in [*built_in_slabs(), *built_in_types()]:
        assert any(model in {kind.gpu_name, kind.gpu_name + " 40"} for model in _MODELS), kind.gpu_name


def test_what_is_delivered_wrongly_differs_from_what_was_ordered():
    for slab in built_in_slabs():
        ordered = gpu_facts(slab.gpu_name, slab.num_gpus, slab.vram_mib)
        assert wrong_gpu_facts(ordered, "").name != ordered.name
        assert wrong_gpu_facts(ordered, "count").count not in {ordered.count, 0}
