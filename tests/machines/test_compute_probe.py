import ctypes
import json
import random
import shutil
import subprocess
from array import array
from itertools import chain

import pytest

from app.machines.compute_probe import PATTERN, SIDE, kernels, probe
from app.sandbox.libcuda import Library, multiplied
from tests.machines.ptx import Grid, read_kernel

SOUND = {
    "name": "H100",
    "count": 2,
    "vram_mib": 81_559,
    "gb_per_second": 2800,
    "gflops": 40_000,
    "wrong_sums": False,
}


@pytest.fixture
def driver_of(tmp_path):
    """Return what loads a driver with these facts."""

    def load(**facts):
        (tmp_path / "facts.json").write_text(json.dumps(SOUND | facts))
        return Library(str(tmp_path))

    return load


class Failing:
    """A driver of which one function fails, or gives something else than it should."""

    def __init__(self, driver, name, status):
        self.driver, self.name, self.status = driver, name, status

    def __getattr__(self, name):
        if name == self.name:
            return lambda *_: self.status
        return getattr(self.driver, name)


class Forgetful:
    """A driver whose memory loses a bit on the way back."""

    def __init__(self, driver):
        self.driver = driver

    def __getattr__(self, name):
        call = getattr(self.driver, name)
        if name != "cuMemcpyDtoH_v2":
            return call

        def read(target, place, size):
            status = call(target, place, size)
            target[5] = bytes([target[5][0] ^ 1])
            return status

        return read


def test_figures_of_each_gpu_are_told(driver_of):
    word, _, figures = probe(driver_of()).partition(" ")
    one = {"multiply_us": 54, "gflops": 40_000, "gb_per_second": 2_800}
    assert (word, json.loads(figures)) == ("passed", [one, one])


@pytest.mark.parametrize(
    "name",
    [
        "cuInit",
        "cuDeviceGetCount",
        "cuDeviceGet",
        "cuDevicePrimaryCtxRetain",
        "cuCtxSetCurrent",
        "cuModuleLoadData",
        "cuModuleGetFunction",
        "cuMemAlloc_v2",
        "cuMemsetD32_v2",
        "cuMemcpyHtoD_v2",
        "cuMemcpyDtoH_v2",
        "cuLaunchKernel",
        "cuEventRecord",
        "cuEventSynchronize",
        "cuEventElapsedTime",
        "cuDevicePrimaryCtxRelease_v2",
    ],
)
def test_call_that_failed_is_told(driver_of, name):
    line = probe(Failing(driver_of(), name, 999))
    assert line.startswith("failed ")
    assert line.endswith(f"{name} gave 999")


@pytest.mark.parametrize("status", [221, 222])
def test_driver_without_a_compiler_says_nothing_about_the_gpu(driver_of, status):
    line = probe(Failing(driver_of(), "cuModuleLoadData", status))
    assert line == "skipped the driver has no compiler for PTX"


def test_wrong_sum_is_seen(driver_of):
    assert probe(driver_of(wrong_sums=True)) == "failed GPU 0: a product of two matrices is wrong"


def test_memory_that_lost_a_bit_is_seen(driver_of):
    assert probe(Forgetful(driver_of())) == "failed GPU 0: memory read back differs from what was written"


def test_gpu_without_enough_memory_fails(driver_of):
    assert probe(driver_of(vram_mib=300)) == "failed GPU 0: cuMemAlloc_v2 gave 2"


def test_broken_driver_fails(tmp_path):
    assert probe(Library(str(tmp_path))) == "failed cuInit gave 999"


def test_kernel_copies_and_changes_each_word_by_its_index():
    count, source, target = 37, 1 << 20, 1 << 21
    memory = {source + 4 * word: PATTERN for word in range(4 * count)}
    parameters = {"source": source, "target": target, "count": count}
    Grid(read_kernel(kernels(), "copy"), memory, parameters, (2, 1), 8).run()
    assert [memory[target + 4 * word] for word in range(4 * count)] == [PATTERN ^ word for word in range(4 * count)]
    assert target + 4 * 4 * count not in memory


def test_kernel_multiplies_every_element_and_nothing_beside():
    rows, columns, depth = 64, 128, 32
    draw = random.Random(7)
    left = [[float(draw.randint(-8, 7)) for _ in range(depth)] for _ in range(rows)]
    right = [[float(draw.randint(-8, 7)) for _ in range(depth)] for _ in range(columns)]
    places = {"a": 1 << 20, "b": 1 << 22, "c": 1 << 24}
    memory = {}
    for name, matrix in (("a", left), ("b", right)):
        memory |= {places[name] + 4 * index: value for index, value in enumerate(chain.from_iterable(matrix))}
    before = len(memory)
    grid = Grid(
        read_kernel(kernels(), "multiply"),
        memory,
        {**places, "columns": columns, "depth": depth},
        (columns // 64, rows // 64),
        256,
    )
    grid.run()
    expected = [[sum(map(float.__mul__, row, other)) for other in right] for row in left]
    found = [[memory[places["c"] + 4 * (i * columns + j)] for j in range(columns)] for i in range(rows)]
    assert found == expected
    assert len(memory) == before + rows * columns
    # The sandbox's double, which stands in for the kernel, computes the same.
    stored = [array("f", chain.from_iterable(matrix)).tobytes() for matrix in (left, right)]
    assert multiplied(*stored, 4 * depth) == array("f", chain.from_iterable(expected)).tobytes()


PTXAS = shutil.which("ptxas")


@pytest.mark.skipif(PTXAS is None, reason="NVIDIA's assembler is not installed")
@pytest.mark.parametrize("architecture", [75, 80, 86, 89, 90, 100, 120])
def test_nvidias_own_assembler_takes_the_kernels(tmp_path, architecture):
    source = tmp_path / "kernels.ptx"
    source.write_text(kernels())
    command = [PTXAS, f"-arch=sm_{architecture}", "-v", str(source), "-o", str(tmp_path / "kernels.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("0 bytes spill stores") == 2


def test_shape_of_the_product_is_whole_tiles():
    assert SIDE % 64 == 0


def test_driver_refuses_what_a_driver_refuses(driver_of):
    cuda, place = driver_of(), ctypes.c_uint64(0)
    reference = ctypes.byref(place)
    assert cuda.cuDeviceGetCount(reference) == 3
    assert cuda.cuInit(ctypes.c_uint(1)) == 1
    assert cuda.cuInit(0) == 0
    assert cuda.cuMemAlloc_v2(reference, ctypes.c_size_t(4)) == 201
    assert cuda.cuDeviceGet(reference, 2) == 101
    context = ctypes.c_void_p(0)
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert cuda.cuCtxSetCurrent(ctypes.c_void_p(5)) == 201
    assert cuda.cuCtxSetCurrent(context) == 0
    assert cuda.cuModuleLoadData(reference, ctypes.c_char_p(b"no kernels")) == 218
    assert cuda.cuMemAlloc_v2(reference, ctypes.c_size_t(100)) == 0
    target = ctypes.create_string_buffer(101)
    assert cuda.cuMemcpyDtoH_v2(target, place, ctypes.c_size_t(101)) == 700
    assert cuda.cuMemcpyHtoD_v2(ctypes.c_uint64(place.value + 96), target, ctypes.c_size_t(4)) == 0
    assert cuda.cuMemFree_v2(place) == 0
    assert cuda.cuMemFree_v2(place) == 1
    with pytest.raises(AttributeError, match="undefined symbol"):
        _ = cuda.cuNothing
