"""Runs on the rented machine, on whatever Python 3 it has: copy memory and multiply matrices on every GPU, and time it.

Sent there as text, so it imports nothing of ours. It speaks to the driver itself, whose compiler takes the kernels as PTX:
neither a framework nor a toolkit needs to be there. Its one line says ``passed`` with the figures of each GPU as JSON,
``skipped why`` or ``failed why``. All sums are of small whole numbers, so they are exact in any order.
"""

from __future__ import annotations

import ctypes
import json
import os
from array import array
from typing import Any

C = Any
"""A value of C's: of ``ctypes``."""

PATTERN = 0x5AA5C33C
WORDS = 64 * 1024 * 1024
"""Copied in one pass, four bytes each: far more than any cache holds."""
SIDE, DEPTH = 1024, 1024
"""The product has SIDE rows and columns, each element the sum of DEPTH products."""
KINDS = 8
"""So many different rows has each factor; the picks of them are random. So each element can be foretold quickly."""
REPEATS = 20
BUSY_MS = 60.0
"""For so long a GPU works before it is judged, since an idle one first has to raise its clock."""
_BATCHES_MAX = 200
_SAMPLES, _SAMPLE_WORDS = 16, 512
_NO_COMPILER = (221, 222)
"""The driver came without its compiler, or with one too old: that says nothing about the GPU."""
_TILE, _STEP, _PITCH = 64, 16, 272
"""A block's tile of the product, how deep it goes at a time, and the bytes from one step of a tile to the next."""


class Trouble(Exception):
    """A GPU or its driver is not as it should be."""


class Skipped(Exception):
    """The machine has nothing to compute with."""


class Driver:
    """The loaded driver library; a call that fails raises."""

    def __init__(self, cuda: C) -> None:
        """Take the library."""
        self._cuda = cuda

    def __call__(self, name: str, *arguments: C) -> None:
        """Call one function.

        Raises:
            Trouble, Skipped: it failed.
        """
        status = getattr(self._cuda, name)(*arguments)
        if status in _NO_COMPILER:
            raise Skipped("the driver has no compiler for PTX")
        if status:
            raise Trouble(f"{name} gave {status}")


def probe(cuda: C) -> str:
    """Return the line for a loaded ``libcuda``."""
    driver, count = Driver(cuda), ctypes.c_int(0)
    figures = []
    try:
        driver("cuInit", ctypes.c_uint(0))
        driver("cuDeviceGetCount", ctypes.byref(count))
    except Trouble as trouble:
        return f"failed {trouble}"
    for index in range(count.value):
        try:
            figures.append(_measure(driver, index))
        except Trouble as trouble:
            return f"failed GPU {index}: {trouble}"
        except Skipped as why:
            return f"skipped {why}"
    return f"passed {json.dumps(figures)}"


def _measure(driver: Driver, index: int) -> dict[str, int]:
    device, context, module = ctypes.c_int(0), ctypes.c_void_p(0), ctypes.c_void_p(0)
    driver("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
    driver("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    driver("cuCtxSetCurrent", context)
    driver("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(kernels().encode()))
    copy_ms = _copy(driver, module)
    multiply_ms = _multiply(driver, module)
    driver("cuDevicePrimaryCtxRelease_v2", device)  # and with it all memory
    return {
        "multiply_us": round(multiply_ms * 1e3),
        "gflops": round(2 * SIDE * SIDE * DEPTH / multiply_ms / 1e6),
        "gb_per_second": round(2 * 4 * WORDS / copy_ms / 1e6),
    }


def _copy(driver: Driver, module: C) -> float:
    """Copy memory, each word changed by its index; return the milliseconds of a pass."""
    source, target = _memory(driver, 4 * WORDS), _memory(driver, 4 * WORDS)
    driver("cuMemsetD32_v2", source, ctypes.c_uint(PATTERN), ctypes.c_size_t(WORDS))
    count = ctypes.c_uint32(WORDS // 4)
    took = _timed(driver, _function(driver, module, b"copy"), (4096, 1, 256), (source, target, count))
    for sample in range(_SAMPLES):
        begin = (WORDS - _SAMPLE_WORDS) * sample // (_SAMPLES - 1)
        expected = array("I", (PATTERN ^ word for word in range(begin, begin + _SAMPLE_WORDS))).tobytes()
        if _read(driver, ctypes.c_uint64(target.value + 4 * begin), 4 * _SAMPLE_WORDS) != expected:
            raise Trouble("memory read back differs from what was written")
    return took


def _multiply(driver: Driver, module: C) -> float:
    """Multiply two matrices and compare every element of the product; return the milliseconds of a multiplication."""
    left, right = _rows(), _rows()
    picked, across = ([byte % KINDS for byte in os.urandom(SIDE)] for _ in range(2))
    places = []
    for rows, picks in ((left, picked), (right, across)):
        stored = [array("f", row).tobytes() for row in rows]
        content = b"".join([stored[pick] for pick in picks])
        place = _memory(driver, len(content))
        driver("cuMemcpyHtoD_v2", place, ctypes.c_char_p(content), ctypes.c_size_t(len(content)))
        places.append(place)
    product = _memory(driver, 4 * SIDE * SIDE)
    sizes = (ctypes.c_uint32(SIDE), ctypes.c_uint32(DEPTH))
    grid = (SIDE // _TILE, SIDE // _TILE, 256)
    took = _timed(driver, _function(driver, module, b"multiply"), grid, (*places, product, *sizes))
    lines = []
    for row in left:
        sums = [sum(map(int.__mul__, row, other)) for other in right]
        lines.append(array("f", [sums[pick] for pick in across]).tobytes())
    if _read(driver, product, 4 * SIDE * SIDE) != b"".join([lines[pick] for pick in picked]):
        raise Trouble("a product of two matrices is wrong")
    return took


def _rows() -> list[list[int]]:
    return [[byte % 16 - 8 for byte in os.urandom(DEPTH)] for _ in range(KINDS)]


def _memory(driver: Driver, size: int) -> C:
    place = ctypes.c_uint64(0)
    driver("cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(size))
    return place


def _read(driver: Driver, place: C, size: int) -> bytearray:
    content = bytearray(size)
    driver("cuMemcpyDtoH_v2", (ctypes.c_char * size).from_buffer(content), place, ctypes.c_size_t(size))
    return content


def _function(driver: Driver, module: C, name: bytes) -> C:
    function = ctypes.c_void_p(0)
    driver("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(name))
    return function


def _timed(driver: Driver, function: C, shape: tuple[int, int, int], arguments: tuple[C, ...]) -> float:
    """Launch a kernel again and again for a while; return the milliseconds of one launch in the best batch."""
    wide, high, threads = shape
    pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
    launch = (function, wide, high, 1, threads, 1, 1, 0, ctypes.c_void_p(0), pointers, ctypes.c_void_p(0))
    begin, end, took = ctypes.c_void_p(0), ctypes.c_void_p(0), ctypes.c_float(0)
    for event in (begin, end):
        driver("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
    best, busy = float("inf"), 0.0
    for _ in range(_BATCHES_MAX):
        driver("cuEventRecord", begin, ctypes.c_void_p(0))
        for _ in range(REPEATS):
            driver("cuLaunchKernel", *launch)
        driver("cuEventRecord", end, ctypes.c_void_p(0))
        driver("cuEventSynchronize", end)
        driver("cuEventElapsedTime", ctypes.byref(took), begin, end)
        best, busy = min(best, took.value), busy + took.value
        if busy >= BUSY_MS:
            break
    return max(best, 1e-3) / REPEATS


def kernels() -> str:
    """Return both kernels as PTX, which any GPU since 2014 and any driver since 2017 takes."""
    return f".version 6.0\n.target sm_50\n.address_size 64\n{_COPY}\n{_multiply_kernel()}\n"


_COPY = """
// target[i] = source[i] ^ i for 4 * count words, four at a time.
.visible .entry copy(.param .u64 source, .param .u64 target, .param .u32 count)
{
    .reg .pred %p; .reg .b64 %from, %to, %place, %offset;
    .reg .b32 %i, %step, %size, %end, %word, %w0, %w1, %w2, %w3;
    ld.param.u64 %from, [source]; ld.param.u64 %to, [target]; ld.param.u32 %end, [count];
    mov.u32 %i, %ctaid.x;
    mov.u32 %size, %ntid.x;
    mov.u32 %step, %nctaid.x;
    mul.lo.u32 %step, %step, %size;
    mov.u32 %word, %tid.x;
    mad.lo.u32 %i, %i, %size, %word;
AGAIN:
    setp.ge.u32 %p, %i, %end;
    @%p bra DONE;
    mul.wide.u32 %offset, %i, 16;
    add.u64 %place, %from, %offset;
    ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%place];
    shl.b32 %word, %i, 2;
    xor.b32 %w0, %w0, %word;
    add.u32 %word, %word, 1; xor.b32 %w1, %w1, %word;
    add.u32 %word, %word, 1; xor.b32 %w2, %w2, %word;
    add.u32 %word, %word, 1; xor.b32 %w3, %w3, %word;
    add.u64 %place, %to, %offset;
    st.global.v4.u32 [%place], {%w0, %w1, %w2, %w3};
    add.u32 %i, %i, %step;
    bra AGAIN;
DONE:
    ret;
}"""


def _multiply_kernel() -> str:
    """Return the kernel of a block of 256 threads, each of which sums 4 x 4 elements of the block's tile."""
    body = [f"    mov.f32 %s{i}, 0f00000000;" for i in range(16)]
    body += ["    mov.u32 %k, 0;", "AGAIN:"]
    for name, place, shared in (("g", "a", "wa"), ("h", "b", "wb")):
        body.append(f"    ld.global.v4.f32 {_four(name)}, [%p{place}];")
        body += [f"    st.shared.f32 [%{shared}+{_PITCH * i}], %{name}{i};" for i in range(4)]
    body.append("    bar.sync 0;")
    for k in range(_STEP):
        body.append(f"    ld.shared.v4.f32 {_four('g')}, [%ra+{_PITCH * k}];")
        body.append(f"    ld.shared.v4.f32 {_four('h')}, [%rb+{_PITCH * k}];")
        body += [f"    fma.rn.f32 %s{i}, %g{i // 4}, %h{i % 4}, %s{i};" for i in range(16)]
    body += ["    bar.sync 0;", _NEXT_STEP]
    for row in range(4):
        body.append(f"    st.global.v4.f32 [%pc], {_four('s', 4 * row)};")
        body.append("    add.u64 %pc, %pc, %line;")
    return "\n".join([_MULTIPLY_HEAD, *body, "    ret;\n}"])


def _four(name: str, first: int = 0) -> str:
    return "{" + ", ".join(f"%{name}{first + i}" for i in range(4)) + "}"


_MULTIPLY_HEAD = f"""
// c[i][j] = sum over k < depth of a[i][k] * b[j][k]; c has so many columns; all sizes are whole tiles.
.visible .entry multiply(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 columns, .param .u32 depth)
{{
    .reg .pred %p;
    .reg .b32 %t, %tx, %ty, %bx, %by, %part, %row, %k, %end, %wide, %n, %wa, %wb, %ra, %rb;
    .reg .b64 %pa, %pb, %pc, %line, %offset;
    .reg .f32 %g<4>, %h<4>, %s<16>;
    .shared .align 16 .b8 tiles[{2 * _STEP * _PITCH}];
    ld.param.u64 %pa, [a]; ld.param.u64 %pb, [b]; ld.param.u64 %pc, [c];
    ld.param.u32 %wide, [columns]; ld.param.u32 %end, [depth];
    mov.u32 %t, %tid.x; mov.u32 %bx, %ctaid.x; mov.u32 %by, %ctaid.y;
    shl.b32 %bx, %bx, 6; shl.b32 %by, %by, 6;
    and.b32 %tx, %t, 15; shr.u32 %ty, %t, 4; shr.u32 %row, %t, 2;
    and.b32 %part, %t, 3; shl.b32 %part, %part, 2;
    add.u32 %n, %by, %row;
    mad.lo.u32 %n, %n, %end, %part;
    mul.wide.u32 %offset, %n, 4; add.u64 %pa, %pa, %offset;
    add.u32 %n, %bx, %row;
    mad.lo.u32 %n, %n, %end, %part;
    mul.wide.u32 %offset, %n, 4; add.u64 %pb, %pb, %offset;
    mov.u32 %ra, tiles;
    add.u32 %rb, %ra, {_STEP * _PITCH};
    shl.b32 %n, %row, 2;
    mad.lo.u32 %n, %part, {_PITCH}, %n;
    add.u32 %wa, %ra, %n;
    add.u32 %wb, %rb, %n;
    shl.b32 %n, %ty, 4;
    add.u32 %ra, %ra, %n;
    shl.b32 %n, %tx, 4;
    add.u32 %rb, %rb, %n;"""

_NEXT_STEP = f"""    add.u64 %pa, %pa, {4 * _STEP}; add.u64 %pb, %pb, {4 * _STEP};
    add.u32 %k, %k, {_STEP};
    setp.lt.u32 %p, %k, %end;
    @%p bra AGAIN;
    shl.b32 %ty, %ty, 2; shl.b32 %tx, %tx, 2;
    add.u32 %by, %by, %ty; add.u32 %bx, %bx, %tx;
    mad.lo.u32 %n, %by, %wide, %bx;
    mul.wide.u32 %offset, %n, 4;
    add.u64 %pc, %pc, %offset;
    mul.wide.u32 %line, %wide, 4;"""


def main() -> str:
    """Return the line for this machine; a login by SSH may not know the path to its driver."""
    for folder in ("", "/usr/local/nvidia/lib64/", "/usr/lib/x86_64-linux-gnu/", "/usr/lib64/"):
        try:
            library = ctypes.CDLL(folder + "libcuda.so.1")
        except OSError:
            continue
        return probe(library)
    return "skipped no libcuda"


if __name__ == "__main__":
    print(main())  # noqa: T201 - this line is the answer
