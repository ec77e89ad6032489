"""A double of CUDA's driver library, for machines without a GPU: what Python finds there as ``libcuda.so.1``.

It runs on the machine itself, on whatever Python 3 that has, so it imports nothing of ours; ``facts.json`` beside it says
what the GPUs are. It keeps memory, refuses what a driver refuses, and computes what the kernels ``copy`` and ``multiply``
compute. Its time is not ours: a launch takes what such a GPU would take.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
from array import array
from collections.abc import Callable
from typing import Any

C = Any
"""A value of C's: of ``ctypes``, or a plain number."""

BAD_VALUE, NO_MEMORY, NO_INIT, NO_DEVICE = 1, 2, 3, 101
NO_CONTEXT, BAD_PTX, BAD_HANDLE, NOT_FOUND, ILLEGAL_ADDRESS, UNKNOWN = 201, 218, 400, 500, 700, 999
_MIB = 1024 * 1024
_TILE = 64
_THREADS_MAX = 1024
_WORD = (1 << 32) - 1
_CALLS = {
    "cuInit": "init",
    "cuDeviceGetCount": "device_get_count",
    "cuDeviceGet": "device_get",
    "cuDevicePrimaryCtxRetain": "device_primary_ctx_retain",
    "cuDevicePrimaryCtxRelease_v2": "device_primary_ctx_release",
    "cuCtxSetCurrent": "ctx_set_current",
    "cuModuleLoadData": "module_load_data",
    "cuModuleGetFunction": "module_get_function",
    "cuMemAlloc_v2": "allocate",
    "cuMemFree_v2": "free",
    "cuMemsetD32_v2": "fill",
    "cuMemcpyHtoD_v2": "copy_in",
    "cuMemcpyDtoH_v2": "copy_out",
    "cuEventCreate": "event_create",
    "cuEventRecord": "event_record",
    "cuEventSynchronize": "event_synchronize",
    "cuEventElapsedTime": "event_elapsed_time",
    "cuLaunchKernel": "launch_kernel",
}
"""The functions that are there, by their names in C."""


class Refused(Exception):
    """A call ends with this status."""


class Allocation:
    """A piece of a device's memory. What it holds is told by a function, so that what nobody reads costs nothing."""

    def __init__(self, device: int, size: int) -> None:
        """Begin with what happens to be there: zeros."""
        self.device = device
        self.size = size
        self.read: Callable[[int, int], bytes] = lambda begin, end: bytes(end - begin)

    def write(self, begin: int, content: bytes) -> None:
        """Change a part."""
        if begin or len(content) < self.size:
            before = self.read(0, self.size)
            content = before[:begin] + content + before[begin + len(content) :]
        self.read = lambda first, last: content[first:last]


class Library:
    """The library's functions, by their names in C."""

    def __init__(self, folder: str) -> None:
        """Read what the GPUs are; without facts the driver is broken."""
        try:
            with open(os.path.join(folder, "facts.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123 - as short as can be
                self._facts: Any = json.load(file)
        except OSError:
            self._facts = None
        self._ready, self._clock_ms = False, 0.0
        self._device: int | None = None
        self._places: dict[int, Allocation] = {}
        self._next = 0x7F0000000000
        self._things: dict[int, tuple[str, C]] = {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Return a function that answers with a status as the driver does; a name that it lacks is an error."""
        if name not in _CALLS:
            raise AttributeError("libcuda.so.1: undefined symbol: " + name)
        deed = getattr(self, "_" + _CALLS[name])

        def call(*arguments: C) -> int:
            if not self._ready and name != "cuInit":
                return NO_INIT
            try:
                deed(*arguments)
            except Refused as refused:
                return int(refused.args[0])
            return 0

        self.__dict__[name] = call
        return call

    def _init(self, flags: C) -> None:
        if self._facts is None:
            raise Refused(UNKNOWN)
        if _number(flags):
            raise Refused(BAD_VALUE)
        self._ready = True

    def _device_get_count(self, count: C) -> None:
        _give(count, self._facts["count"])

    def _device_get(self, device: C, ordinal: C) -> None:
        if not 0 <= _number(ordinal) < self._facts["count"]:
            raise Refused(NO_DEVICE)
        _give(device, _number(ordinal))

    def _device_primary_ctx_retain(self, context: C, device: C) -> None:
        _give(context, self._thing("context", _number(device)))

    def _device_primary_ctx_release(self, device: C) -> None:
        gone = _number(device)
        self._places = {place: held for place, held in self._places.items() if held.device != gone}
        self._device = None if self._device == gone else self._device

    def _ctx_set_current(self, context: C) -> None:
        self._device = self._of("context", context)

    def _module_load_data(self, module: C, image: C) -> None:
        self._current()
        text = ctypes.string_at(_address(image)).decode("ascii", "replace")
        if not re.match(r"\s*\.version \d+\.\d+\s+\.target sm_\d+\s", text):
            raise Refused(BAD_PTX)
        _give(module, self._thing("module", re.findall(r"\.entry (\w+)", text)))

    def _module_get_function(self, function: C, module: C, name: C) -> None:
        wanted = ctypes.string_at(_address(name)).decode("ascii", "replace")
        if wanted not in self._of("module", module):
            raise Refused(NOT_FOUND)
        _give(function, self._thing("function", wanted))

    def _allocate(self, place: C, size: C) -> None:
        device, wanted = self._current(), _number(size)
        taken = sum(held.size for held in self._places.values() if held.device == device)
        if wanted <= 0 or taken + wanted > self._facts["vram_mib"] * _MIB:
            raise Refused(NO_MEMORY if wanted > 0 else BAD_VALUE)
        self._places[self._next] = Allocation(device, wanted)
        _give(place, self._next)
        self._next += -(-wanted // _MIB) * _MIB + _MIB

    def _free(self, place: C) -> None:
        if self._places.pop(_number(place), None) is None:
            raise Refused(BAD_VALUE)

    def _fill(self, place: C, word: C, words: C) -> None:
        held, begin = self._held(place, 4 * _number(words))
        content = (_number(word) & _WORD).to_bytes(4, "little")
        if begin or 4 * _number(words) < held.size:
            held.write(begin, content * _number(words))
        else:
            held.read = lambda first, last: (content * (-(-(last - first) // 4) + 1))[first % 4 :][: last - first]

    def _copy_in(self, place: C, source: C, size: C) -> None:
        held, begin = self._held(place, _number(size))
        held.write(begin, ctypes.string_at(_address(source), _number(size)))

    def _copy_out(self, target: C, place: C, size: C) -> None:
        held, begin = self._held(place, _number(size))
        ctypes.memmove(_address(target), held.read(begin, begin + _number(size)), _number(size))

    def _event_create(self, event: C, flags: C) -> None:
        del flags
        self._current()
        _give(event, self._thing("event", [None]))

    def _event_record(self, event: C, stream: C) -> None:
        del stream
        self._of("event", event)[0] = self._clock_ms

    def _event_synchronize(self, event: C) -> None:
        self._of("event", event)

    def _event_elapsed_time(self, took: C, begin: C, end: C) -> None:
        first, last = self._of("event", begin)[0], self._of("event", end)[0]
        if first is None or last is None:
            raise Refused(BAD_HANDLE)
        _give(took, last - first)

    def _launch_kernel(self, function: C, *launch: C) -> None:
        gx, gy, _, bx, by, bz, _, _, parameters, _ = launch
        self._current()
        threads = _number(bx) * _number(by) * _number(bz)
        if not 0 < threads <= _THREADS_MAX or _number(gx) <= 0 or _number(gy) <= 0:
            raise Refused(BAD_VALUE)
        kernel = {"copy": self._copy, "multiply": self._multiply}.get(self._of("function", function))
        if kernel is None:
            raise Refused(UNKNOWN)
        self._clock_ms += kernel(_number(gx), _number(gy), parameters)

    def _copy(self, gx: int, gy: int, parameters: C) -> float:
        del gx, gy
        size = 16 * _parameter(parameters, 2, ctypes.c_uint32)
        source, start = self._held(_parameter(parameters, 0, ctypes.c_uint64), size)
        target, begin = self._held(_parameter(parameters, 1, ctypes.c_uint64), size)
        if start or begin or size < target.size:
            raise Refused(BAD_VALUE)
        before = source.read

        def read(first: int, last: int) -> bytes:
            words = array("I", before(first - first % 4, last + -last % 4))
            index = first // 4
            changed = array("I", [word ^ (index + place) for place, word in enumerate(words)]).tobytes()
            return changed[first % 4 :][: last - first]

        target.read = read
        return 2 * size / float(self._facts["gb_per_second"]) / 1e6

    def _multiply(self, gx: int, gy: int, parameters: C) -> float:
        rows, columns, depth = gy * _TILE, gx * _TILE, _parameter(parameters, 4, ctypes.c_uint32)
        left, from_left = self._held(_parameter(parameters, 0, ctypes.c_uint64), 4 * rows * depth)
        right, from_right = self._held(_parameter(parameters, 1, ctypes.c_uint64), 4 * columns * depth)
        target, begin = self._held(_parameter(parameters, 2, ctypes.c_uint64), 4 * rows * columns)
        if begin or columns != _parameter(parameters, 3, ctypes.c_uint32):
            raise Refused(BAD_VALUE)
        one = left.read(from_left, from_left + 4 * rows * depth)
        other = right.read(from_right, from_right + 4 * columns * depth)
        wrong, kept = self._facts["wrong_sums"], list[bytes]()

        def read(first: int, last: int) -> bytes:
            if not kept:
                product = multiplied(one, other, 4 * depth)
                kept.append(miscalculated(product) if wrong else product)
            return kept[0][first:last]

        target.read = read
        return 2 * rows * columns * depth / float(self._facts["gflops"]) / 1e6

    def _thing(self, kind: str, thing: C) -> int:
        handle = 0x5500000000 + 64 * (len(self._things) + 1)
        self._things[handle] = (kind, thing)
        return handle

    def _of(self, kind: str, handle: C) -> C:
        found, thing = self._things.get(_number(handle), ("", None))
        if found != kind:
            raise Refused(NO_CONTEXT if kind == "context" else BAD_HANDLE)
        return thing

    def _current(self) -> int:
        if self._device is None:
            raise Refused(NO_CONTEXT)
        return self._device

    def _held(self, place: C, size: int) -> tuple[Allocation, int]:
        """Return the allocation that holds so many bytes from a place on, and where in it they begin."""
        device, address = self._current(), _number(place)
        for base, held in self._places.items():
            if base <= address < base + held.size and held.device == device:
                if address + size > base + held.size:
                    break
                return held, address - base
        raise Refused(ILLEGAL_ADDRESS)


def multiplied(left: bytes, right: bytes, width: int) -> bytes:
    """Return the product of two matrices of such rows, the right one transposed. Rows that are alike are summed once."""
    ones = [left[begin : begin + width] for begin in range(0, len(left), width)]
    others = [right[begin : begin + width] for begin in range(0, len(right), width)]
    numbers = {row: array("f", row).tolist() for row in {*ones, *others}}
    lines = {}
    for one in set(ones):
        sums = {other: sum(map(float.__mul__, numbers[one], numbers[other])) for other in set(others)}
        lines[one] = array("f", [sums[other] for other in others]).tobytes()
    return b"".join([lines[one] for one in ones])


def miscalculated(product: bytes) -> bytes:
    """Return a product in which one bit of one sum is not what it must be."""
    middle = len(product) // 2 + 2
    return product[:middle] + bytes([product[middle] ^ 1]) + product[middle + 1 :]


def _number(argument: C) -> int:
    value = getattr(argument, "value", argument)
    return 0 if value is None else int(value)


def _address(argument: C) -> int:
    return ctypes.cast(argument, ctypes.c_void_p).value or 0


def _give(pointer: C, value: float) -> None:
    pointer._obj.value = value  # noqa: SLF001 - what byref points to


def _parameter(parameters: C, index: int, kind: C) -> int:
    return int(kind.from_address(parameters[index]).value)
