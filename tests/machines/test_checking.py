from dataclasses import replace

import pytest

from app.catalog.families import FAMILIES
from app.machines.checking import (
    Expectation,
    Failed,
    Floor,
    Gpu,
    Measured,
    Passed,
    check,
    judge_probe,
    parse_nvidia_smi,
    parse_xids,
    verdict,
)
from app.sandbox.cuda import CudaFaults, python_script
from app.sandbox.hosts import GpuFacts, HostBehaviour

HAS_PYTHON = python_script() is not None
H100 = Gpu(0, "NVIDIA H100 80GB HBM3", "GPU-1", 81_559, "550.127.05", 0)
EXPECTED = Expectation(gpu_count=1, vram_mib=81_920, accepts=lambda name: "H100" in name)
H100_FACTS = GpuFacts("NVIDIA H100 80GB HBM3", 1, 81_559)


def changed(**fields):
    values = {"index": 0, "name": H100.name, "uuid": "GPU-1", "vram_mib": 81_559, "driver": "550", "ecc_errors": 0}
    return Gpu(**(values | fields))


def test_answers_are_read_with_and_without_header_and_units():
    text = (
        "index, name, uuid, memory.total [MiB], driver_version, ecc.errors.uncorrected.volatile.total\n"
        "0, NVIDIA GeForce RTX 4090, GPU-a, 24564 MiB, 550.127.05, [N/A]\n"
        "1, Tesla T4, GPU-b, 15360, 535.54.03, 2\r\n"
        "2, NVIDIA A10, GPU-c, 23028, 535.54.03, [Not Supported]\n\n"
    )
    assert parse_nvidia_smi(text) == [
        Gpu(0, "NVIDIA GeForce RTX 4090", "GPU-a", 24_564, "550.127.05", None),
        Gpu(1, "Tesla T4", "GPU-b", 15_360, "535.54.03", 2),
        Gpu(2, "NVIDIA A10", "GPU-c", 23_028, "535.54.03", None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "No devices were found",
        "Unable to determine the device handle for GPU0000:02:00.0: GPU is lost.  Reboot the system to recover this GPU",
        "0, NVIDIA H100 80GB HBM3, GPU-a, [Unknown Error], 550, 0",
        "0, NVIDIA H100 80GB HBM3, GPU-a, 81559, 550, [Unknown Error]",
        "0, NVIDIA H100 80GB HBM3, GPU-a, 81559, 550, [GPU requires reset]",
        "0, NVIDIA H100 80GB HBM3, GPU-a, 81559",
        "x, NVIDIA H100 80GB HBM3, GPU-a, 81559, 550, 0",
        "\x00\x1b[2J",
    ],
)
def test_lines_that_tell_no_gpu_are_refused(text):
    with pytest.raises(ValueError, match="nvidia-smi") as refusal:
        parse_nvidia_smi(text)
    assert str(refusal.value).isprintable()


def test_machine_as_sold_passes():
    assert verdict([H100], expected=EXPECTED) == Passed((H100,))


@pytest.mark.parametrize("vram_mib", [81_920 - 6_553, 81_920 + 6_553])
def test_memory_within_eight_percent_passes(vram_mib):
    assert isinstance(verdict([changed(vram_mib=vram_mib)], expected=EXPECTED), Passed)


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [
        ([], "gpu_mismatch"),
        ([H100, changed(index=1)], "gpu_mismatch"),
        ([changed(name="NVIDIA A100-SXM4-80GB")], "gpu_mismatch"),
        ([changed(vram_mib=81_920 - 6_554)], "gpu_mismatch"),
        ([changed(vram_mib=81_920 + 6_554)], "gpu_mismatch"),
        ([changed(ecc_errors=1)], "gpu_check_failed"),
    ],
)
def test_machine_not_as_sold_fails_with_its_reason(gpus, reason):
    found = verdict(gpus, expected=EXPECTED)
    assert isinstance(found, Failed)
    assert found.reason == reason


def test_xids_of_a_programs_own_fault_are_left_out():
    log = (
        "[ 1.0] NVRM: Xid (PCI:0000:01:00): 31, pid=1, Ch 00000010\n"
        "[ 2.0] NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', GPU has fallen off the bus.\n"
        "[ 3.0] NVRM: Xid (PCI:0000:41:00): 48, pid=9, DBE\n"
    )
    assert parse_xids(log) == [79, 48]
    assert parse_xids("nothing of that") == []


FIGURES = '{"multiply_us": 100, "gflops": 40000, "gb_per_second": 2800}'
FLOOR = Floor.of(bandwidth_gb_per_second=2000, fp16_tflops=756)


@pytest.mark.parametrize(
    ("text", "status", "found"),
    [
        (f"passed [{FIGURES}]\n", 0, Passed((H100,), (Measured(100, 40_000, 2_800),))),
        ("skipped no libcuda\n", 0, Passed((H100,))),
        ("", 42, Passed((H100,))),
        ("", 127, Passed((H100,))),
    ],
)
def test_sound_or_silent_probe_passes(text, status, found):
    assert judge_probe(text, status=status, found=Passed((H100,)), floor=FLOOR) == found


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("failed cuInit gave 999\n", 0, "the computation failed: cuInit gave 999"),
        ("passed []\n", 0, "the computation sees 0 GPUs instead of 1"),
        (f"passed [{FIGURES}, {FIGURES}]", 0, "the computation sees 2 GPUs instead of 1"),
        ("", -11, "the computation broke off with status -11"),
        ("Traceback", 1, "the computation broke off with status 1"),
        (f"passed [{FIGURES}]", 1, "the computation broke off with status 1"),
        ("passed 1", 0, "the computation tells no figures: 1"),
        ("passed [1]", 0, "the computation tells no figures: [1]"),
        ("passed {", 0, "the computation tells no figures: {"),
        ('passed [{"multiply_us": 1}]', 0, 'the computation tells no figures: [{"multiply_us": 1}]'),
    ],
)
def test_probe_that_tells_no_good_fails(text, status, message):
    found = judge_probe(text, status=status, found=Passed((H100,)), floor=FLOOR)
    assert found == Failed("gpu_check_failed", message)


@pytest.mark.parametrize("value", ["2800.5", "NaN", "-1", "1e400", "true", '"2800"', "null", "9" * 5000, "[" * 9000])
def test_figure_that_is_no_sensible_number_fails(value):
    text = f'passed [{{"multiply_us": 100, "gflops": 40000, "gb_per_second": {value}}}]'
    found = judge_probe(text, status=0, found=Passed((H100,)), floor=FLOOR)
    assert isinstance(found, Failed)
    assert "tells no figures" in found.message


@pytest.mark.parametrize(
    ("gflops", "gb_per_second", "words"),
    [
        (3_023, 2_800, "GPU 0 makes 3023 GFLOPS, less than 3024 (0.1 ms for a product of matrices)"),
        (40_000, 665, "GPU 0 copies 665 GB/s, less than 666"),
        (3_024, 666, None),
    ],
)
def test_gpu_below_a_fraction_of_its_figures_fails(gflops, gb_per_second, words):
    text = f'passed [{{"multiply_us": 100, "gflops": {gflops}, "gb_per_second": {gb_per_second}}}]'
    found = judge_probe(text, status=0, found=Passed((H100,)), floor=FLOOR)
    assert found == Failed("gpu_check_failed", f"the computation is slow: {words}") if words else Passed
    assert isinstance(judge_probe(text, status=0, found=Passed((H100,)), floor=None), Passed)


def test_every_familys_sound_gpu_is_above_its_floor():
    """As the sandbox has them, in numbers that its machines really have."""
    for family in FAMILIES:
        for hardware in family.forms.values():
            floor = Floor.of(bandwidth_gb_per_second=hardware.bandwidth_gb_per_second, fp16_tflops=hardware.fp16_tflops)
            assert 0 < floor.gb_per_second < hardware.bandwidth_gb_per_second / 2
            assert 0 < floor.gflops < 10_100


@pytest.mark.parametrize(
    ("gpu", "computes"),
    [
        (H100_FACTS, Measured(40, 53_600, 2_847)),
        (GpuFacts("NVIDIA H100 80GB HBM3", 2, 81_559), Measured(40, 53_600, 2_847)),
    ],
)
async def test_sound_machine_passes_and_tells_what_it_can_do(tmp_path, running, shell_on, gpu, computes):
    expected = replace(EXPECTED, gpu_count=gpu.count, floor=FLOOR)
    async with running(tmp_path / "a", gpu=gpu) as host, shell_on(host) as shell:
        found = await check(shell, expected)
        assert isinstance(found, Passed)
        assert [gpu.name for gpu in found.gpus] == [H100.name] * gpu.count
        if HAS_PYTHON:
            assert found.measured == tuple([computes] * gpu.count)


@pytest.mark.skipif(not HAS_PYTHON, reason="this computer has no Python that sandbox machines could run")
@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (CudaFaults(slow="both"), "is slow: GPU 0 copies 57 GB/s, less than 666"),
        (CudaFaults(slow="memory"), "is slow: GPU 0 copies 57 GB/s, less than 666"),
        (CudaFaults(slow="compute"), "is slow: GPU 0 makes 1072 GFLOPS, less than 3024 (2.0 ms"),
        (CudaFaults(wrong_sums=True), "failed: GPU 0: a product of two matrices is wrong"),
    ],
)
async def test_machine_that_computes_slowly_or_wrongly_fails(tmp_path, running, shell_on, faults, words):
    behaviour = HostBehaviour(cuda=faults)
    async with running(tmp_path / "a", gpu=H100_FACTS, behaviour=behaviour) as host, shell_on(host) as shell:
        found = await check(shell, replace(EXPECTED, floor=FLOOR))
        assert isinstance(found, Failed)
        assert found.reason == "gpu_check_failed"
        assert words in found.message


@pytest.mark.parametrize(
    ("gpu", "behaviour", "reason", "words"),
    [
        (GpuFacts("NVIDIA GeForce RTX 4090", 1, 24_564), HostBehaviour(), "gpu_mismatch", "another model"),
        (GpuFacts(H100.name, 2, 81_559), HostBehaviour(), "gpu_mismatch", "2 GPUs instead of 1"),
        (GpuFacts(H100.name, 1, 40_960), HostBehaviour(), "gpu_mismatch", "40960 MiB"),
        (H100_FACTS, HostBehaviour(runs_nvidia_smi=False), "gpu_check_failed", "NVIDIA driver"),
        (H100_FACTS, HostBehaviour(has_nvidia_smi=False), "gpu_check_failed", "nvidia-smi failed"),
        (H100_FACTS, HostBehaviour(ecc_errors=3), "gpu_check_failed", "3 uncorrected"),
        (H100_FACTS, HostBehaviour(xid_errors=True), "gpu_check_failed", "Xid 79"),
        (GpuFacts(H100.name, 0, 81_559), HostBehaviour(), "gpu_check_failed", "No devices were found"),
    ],
)
async def test_wrong_or_faulty_machine_fails(tmp_path, running, shell_on, gpu, behaviour, reason, words):
    async with running(tmp_path / "a", gpu=gpu, behaviour=behaviour) as host, shell_on(host) as shell:
        found = await check(shell, EXPECTED)
        assert isinstance(found, Failed)
        assert found.reason == reason
        assert words in found.message


@pytest.mark.parametrize(
    "error",
    ["SyntaxError: future feature annotations is not defined", "ModuleNotFoundError: No module named '_ctypes'"],
)
async def test_python_that_can_not_run_the_probe_says_nothing_about_the_gpu(tmp_path, running, shell_on, error):
    async with running(tmp_path / "a", gpu=H100_FACTS) as host, shell_on(host) as shell:
        script = f'#!/bin/sh\ncat >/dev/null\nprintf "Traceback\\n  File\\n%s\\n" "{error}" >&2\nexit 1\n'
        await shell.write_file(".bin/python3", script.encode(), mode="755")
        found = await check(shell, EXPECTED)
        assert isinstance(found, Passed)
        assert found.measured == ()


async def test_probe_that_breaks_off_fails(tmp_path, running, shell_on):
    async with running(tmp_path / "a", gpu=H100_FACTS) as host, shell_on(host) as shell:
        await shell.write_file(".bin/python3", b"#!/bin/sh\necho MemoryError: no >&2\nexit 1\n", mode="755")
        assert await check(shell, EXPECTED) == Failed("gpu_check_failed", "the computation broke off with status 1")


async def test_machine_that_never_stops_talking_fails(tmp_path, running, shell_on):
    async with running(tmp_path / "a", gpu=H100_FACTS) as host, shell_on(host) as shell:
        await shell.run("printf '#!/bin/sh\\nexec yes\\n' > .bin/nvidia-smi.new && chmod +x .bin/nvidia-smi.new")
        await shell.run("mv -f .bin/nvidia-smi.new .bin/nvidia-smi")
        assert await check(shell, EXPECTED) == Failed("gpu_check_failed", "the machine's answers are endless")
