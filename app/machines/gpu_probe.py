"""Runs on the rented machine, on whatever Python 3 it has: fill memory on every GPU by the driver and read it back.

Sent there as text, so it imports nothing of ours. Its one line says ``passed N``, ``skipped why`` or ``failed why``.
"""

import ctypes

WORDS = 4 * 1024 * 1024
PATTERN = 0x5AA5C33C


def probe(cuda: ctypes.CDLL) -> str:
    """Return the line for a loaded ``libcuda``."""
    count = ctypes.c_int(0)
    for name, arguments in (("cuInit", (0,)), ("cuDeviceGetCount", (ctypes.byref(count),))):
        status = getattr(cuda, name)(*arguments)
        if status:
            return f"failed {name} gave {status}"
    for index in range(count.value):
        trouble = _fill_and_read(cuda, index)
        if trouble:
            return f"failed GPU {index}: {trouble}"
    return f"passed {count.value}"


def _fill_and_read(cuda: ctypes.CDLL, index: int) -> str:
    device, context, memory = ctypes.c_int(0), ctypes.c_void_p(0), ctypes.c_uint64(0)
    words = (ctypes.c_uint32 * WORDS)()
    size = ctypes.c_size_t(4 * WORDS)
    calls = (
        ("cuDeviceGet", (ctypes.byref(device), ctypes.c_int(index))),
        ("cuCtxCreate_v2", (ctypes.byref(context), ctypes.c_uint(0), device)),
        ("cuMemAlloc_v2", (ctypes.byref(memory), size)),
        ("cuMemsetD32_v2", (memory, ctypes.c_uint(PATTERN), ctypes.c_size_t(WORDS))),
        ("cuMemcpyDtoH_v2", (words, memory, size)),
        ("cuMemFree_v2", (memory,)),
        ("cuCtxDestroy_v2", (context,)),
    )
    for name, arguments in calls:
        status = getattr(cuda, name)(*arguments)
        if status:
            return f"{name} gave {status}"
    if bytes(words) != PATTERN.to_bytes(4, "little") * WORDS:
        return "memory read back differs from what was written"
    return ""


if __name__ == "__main__":
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        print("skipped no libcuda")  # noqa: T201 - this line is the answer
    else:
        print(probe(library))  # noqa: T201 - this line is the answer
