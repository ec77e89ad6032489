import ctypes

import pytest

from app.machines.checking import (
    Expectation,
    Failed,
    Gpu,
    Passed,
    check,
    judge_probe,
    parse_nvidia_smi,
    parse_xids,
    verdict,
)
from app.machines.gpu_probe import PATTERN, WORDS, probe
from app.sandbox.hosts import GpuFacts, HostBehaviour

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


@pytest.mark.parametrize(
    ("text", "status", "found"),
    [
        ("passed 1\n", 0, Passed((H100,), computed=True)),
        ("skipped no libcuda\n", 0, Passed((H100,))),
        ("", 42, Passed((H100,))),
        ("failed cuInit gave 999\n", 0, Failed("gpu_check_failed", "the computation failed: cuInit gave 999")),
        ("passed 0\n", 0, Failed("gpu_check_failed", "CUDA sees 0 GPUs instead of 1")),
        ("", -11, Failed("gpu_check_failed", "the computation broke off with status -11")),
        ("Traceback", 1, Failed("gpu_check_failed", "the computation broke off with status 1")),
    ],
)
def test_probes_line_decides(text, status, found):
    assert judge_probe(text, status=status, found=Passed((H100,))) == found


class Cuda:
    """A driver library of two GPUs, with one call that may fail and a value that memory reads back as."""

    def __init__(self, *, failing=None, reads=PATTERN):
        self.failing = failing
        self.reads = reads

    def __getattr__(self, name):
        def call(*arguments):
            if name == self.failing:
                return 999
            if name == "cuDeviceGetCount":
                arguments[0]._obj.value = 2
            if name == "cuMemcpyDtoH_v2":
                ctypes.memmove(arguments[0], self.reads.to_bytes(4, "little") * WORDS, 4 * WORDS)
            return 0

        return call


def test_probe_passes_when_memory_reads_back():
    assert probe(Cuda()) == "passed 2"


@pytest.mark.parametrize("name", ["cuInit", "cuDeviceGetCount", "cuCtxCreate_v2", "cuMemsetD32_v2"])
def test_probe_tells_the_call_that_failed(name):
    assert probe(Cuda(failing=name)).startswith("failed")
    assert f"{name} gave 999" in probe(Cuda(failing=name))


def test_probe_sees_memory_that_lost_a_bit():
    assert probe(Cuda(reads=PATTERN ^ 1)) == "failed GPU 0: memory read back differs from what was written"


async def test_sound_machine_passes_without_computation_where_it_has_no_cuda(tmp_path, running, shell_on):
    async with running(tmp_path / "a", gpu=H100_FACTS) as host, shell_on(host) as shell:
        found = await check(shell, EXPECTED)
        assert isinstance(found, Passed)
        assert [gpu.name for gpu in found.gpus] == [H100.name]


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


async def test_machine_that_never_stops_talking_fails(tmp_path, running, shell_on):
    async with running(tmp_path / "a", gpu=H100_FACTS) as host, shell_on(host) as shell:
        await shell.run("printf '#!/bin/sh\\nexec yes\\n' > .bin/nvidia-smi.new && chmod +x .bin/nvidia-smi.new")
        await shell.run("mv -f .bin/nvidia-smi.new .bin/nvidia-smi")
        assert await check(shell, EXPECTED) == Failed("gpu_check_failed", "the machine's answers are endless")
