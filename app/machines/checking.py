"""Is this the machine that was sold? The GPUs' number, names, memory and health, then a short computation on each.

The expected facts come from the listing; the tolerance on memory covers what drivers reserve and GB told as GiB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.machines import compute_probe
from app.machines.shell import AnswerTooLong, Shell, TimedOut

QUERY = "index,name,uuid,memory.total,driver_version,ecc.errors.uncorrected.volatile.total"
_COLUMNS = QUERY.count(",") + 1
_TOLERANCE_PERCENT = 8
_MIB = re.compile(r"(\d+)(?: MiB)?", re.ASCII)
_XID = re.compile(r"NVRM: Xid \([^)\n]{1,64}\): (\d{1,4})", re.ASCII)
_PROGRAMS_FAULT = frozenset({13, 31, 43, 45, 68, 69})
"""Xids that a program's own error causes: a former tenant's bug says nothing about the GPU."""
_NO_PYTHON = 42
_NOT_STARTED = (126, 127)
"""What a shell ends with when what stands there is no program after all."""
_RUN_PROBE = (
    "for python in python3 /usr/local/bin/python3 /opt/conda/bin/python3 /opt/venv/bin/python3; do "
    f'command -v "$python" >/dev/null 2>&1 && exec "$python" -; done; exit {_NO_PYTHON}'
)
"""A login by SSH knows nothing of the path that an image sets for its own programs."""
_UNFIT_PYTHON = re.compile(rb"^(SyntaxError|ImportError|ModuleNotFoundError): [^\n]*\n?\Z", re.MULTILINE)
"""An image's Python may be too old, or come without ``ctypes``: that says nothing about the GPU."""
_FIGURE_MAX = 10**9
_PROBE_SECONDS = 60
"""Eight GPUs that nobody used for a while take a quarter of that to be found."""
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver tells it. ``ecc_errors`` is None where it has no ECC."""

    index: int
    name: str
    uuid: str
    vram_mib: int
    driver: str
    ecc_errors: int | None


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that a sound GPU of a model does."""

    gb_per_second: int
    gflops: int

    @classmethod
    def of(cls, *, bandwidth_gb_per_second: int, fp16_tflops: int) -> Floor:
        """Return the floor for a model's figures: its bandwidth, and its dense FP16 sums by tensor cores.

        A third of the bandwidth: a plain copy reaches four fifths on a GPU of its own. And 1/250 of the tensor cores'
        figure, since the probe sums in plain single precision, whose peak is between 1/30 (data centre) and 1/2
        (consumer) of that, and reaches perhaps a third of the peak. Low clocks, ECC and heat pass; what is broken,
        shared or throttled to a fraction does not.
        """
        return cls(bandwidth_gb_per_second // 3, fp16_tflops * 1000 // 250)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the probe measured on one GPU."""

    multiply_us: int
    """A product of two matrices, in microseconds."""
    gflops: int
    gb_per_second: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What was sold. ``vram_mib`` is per GPU; ``accepts`` says whether a driver's GPU name is of the family."""

    gpu_count: int
    vram_mib: int
    accepts: Callable[[str], bool]
    floor: Floor | None = None
    """How fast each GPU must compute at least; None where nothing is known of the model."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The machine is as sold. ``measured`` is empty where the machine had nothing to compute with."""

    gpus: tuple[Gpu, ...]
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The machine is not as sold, or not sound, or (``startup_failed``) fails the customer's own probe."""

    reason: Literal["gpu_mismatch", "gpu_check_failed", "startup_failed"]
    message: str


def parse_nvidia_smi(csv_text: str) -> list[Gpu]:
    """Return the GPUs in the answer to ``QUERY`` as CSV, with or without header and units.

    Raises:
        ValueError: a line that is not a GPU's, such as an error message of the tool.
    """
    lines = [line for line in csv_text.splitlines() if line.strip() and not line.startswith("index,")]
    return [_gpu(line) for line in lines]


def parse_xids(kernel_log: str) -> list[int]:
    """Return the Xid codes in a kernel log that speak of the GPU itself, in their order."""
    return [code for found in _XID.findall(kernel_log) if (code := int(found)) not in _PROGRAMS_FAULT]


def verdict(gpus: Sequence[Gpu], *, expected: Expectation) -> Passed | Failed:
    """Compare what the driver tells with what was sold."""
    if len(gpus) != expected.gpu_count:
        return Failed("gpu_mismatch", f"{len(gpus)} GPUs instead of {expected.gpu_count}")
    for gpu in gpus:
        if not expected.accepts(gpu.name):
            return Failed("gpu_mismatch", f"GPU {gpu.index} is another model: {gpu.name}")
        if abs(gpu.vram_mib - expected.vram_mib) * 100 > expected.vram_mib * _TOLERANCE_PERCENT:
            return Failed("gpu_mismatch", f"GPU {gpu.index} has {gpu.vram_mib} MiB instead of {expected.vram_mib}")
    for gpu in gpus:
        if gpu.ecc_errors:
            return Failed("gpu_check_failed", f"GPU {gpu.index} has {gpu.ecc_errors} uncorrected memory errors")
    return Passed(tuple(gpus))


async def check(shell: Shell, expected: Expectation) -> Passed | Failed:
    """Look at the machine, then compute on it. Takes at most 100 s.

    Raises:
        TimedOut, Unreachable: of the shell; they say nothing about the GPUs.
    """
    try:
        found = await _look(shell, expected)
        if isinstance(found, Failed):
            return found
        return await _compute(shell, found, expected.floor)
    except AnswerTooLong:
        return Failed("gpu_check_failed", "the machine's answers are endless")


async def _look(shell: Shell, expected: Expectation) -> Passed | Failed:
    command = f"nvidia-smi --query-gpu={QUERY} --format=csv,noheader,nounits"
    answer = await shell.run(command, deadline_seconds=25, max_bytes=_MAX_BYTES)
    if answer.status != 0:
        said = (answer.text.strip() or answer.stderr.decode(errors="replace").strip()).partition("\n")[0]
        return Failed("gpu_check_failed", f"nvidia-smi failed: {_printable(said)}")
    try:
        found = verdict(parse_nvidia_smi(answer.text), expected=expected)
    except ValueError as error:
        return Failed("gpu_check_failed", str(error))
    if isinstance(found, Failed):
        return found
    # Reading the kernel's log is a privilege that many machines don't give: then there is nothing to find.
    command = "dmesg 2>/dev/null | grep -F 'NVRM: Xid' | tail -n 50"
    log = await shell.run(command, deadline_seconds=15, max_bytes=_MAX_BYTES)
    if codes := parse_xids(log.text):
        return Failed("gpu_check_failed", f"the kernel's log tells of GPU errors (Xid {codes[-1]})")
    return found


async def _compute(shell: Shell, found: Passed, floor: Floor | None) -> Passed | Failed:
    try:
        answer = await shell.run(_RUN_PROBE, stdin=_PROBE, deadline_seconds=_PROBE_SECONDS, max_bytes=_MAX_BYTES)
    except TimedOut:  # the machine answered a moment ago: a GPU that never ends is no slow network
        return Failed("gpu_check_failed", f"the computation did not end within {_PROBE_SECONDS} s")
    unfit = answer.status == 1 and _UNFIT_PYTHON.search(answer.stderr[-_MAX_BYTES:]) is not None
    return judge_probe(answer.text, status=_NO_PYTHON if unfit else answer.status, found=found, floor=floor)


def judge_probe(text: str, *, status: int | None, found: Passed, floor: Floor | None) -> Passed | Failed:
    """Return what the probe's line means. No Python or no CUDA driver library on the machine is no failure."""
    word, _, rest = text.strip().partition(" ")
    if status in {_NO_PYTHON, *_NOT_STARTED} or word == "skipped":
        return found
    if status != 0 or word not in {"passed", "failed"}:
        return Failed("gpu_check_failed", f"the computation broke off with status {status}")
    try:
        measured = _measured(rest) if word == "passed" else ()
    except ValueError:
        return Failed("gpu_check_failed", f"the computation tells no figures: {_printable(rest)}")
    trouble = _trouble(measured, len(found.gpus), floor) if word == "passed" else f"failed: {_printable(rest)}"
    return Failed("gpu_check_failed", f"the computation {trouble}") if trouble else replace(found, measured=measured)


def _measured(text: str) -> tuple[Measured, ...]:
    """Read the probe's figures; they come from the machine and are not trusted to be what they should.

    Raises:
        ValueError: they are not.
    """
    try:
        figures = json.loads(text, parse_float=_refused, parse_constant=_refused)
        measured = tuple(Measured(**one) for one in figures)
    except (TypeError, RecursionError) as error:
        raise ValueError("no figures") from error
    numbers = [number for one in measured for number in (one.multiply_us, one.gflops, one.gb_per_second)]
    if any(type(number) is not int or not 0 <= number < _FIGURE_MAX for number in numbers):
        raise ValueError("no figures")
    return measured


def _refused(text: str) -> int:
    raise ValueError(f"no whole number: {text[:40]}")


def _trouble(measured: Sequence[Measured], gpu_count: int, floor: Floor | None) -> str | None:
    if len(measured) != gpu_count:
        return f"sees {len(measured)} GPUs instead of {gpu_count}"
    if floor is None:
        return None
    for index, one in enumerate(measured):
        if one.gb_per_second < floor.gb_per_second:
            return f"is slow: GPU {index} copies {one.gb_per_second} GB/s, less than {floor.gb_per_second}"
        if one.gflops < floor.gflops:
            took = f"{one.multiply_us / 1000:.1f} ms for a product of matrices"
            return f"is slow: GPU {index} makes {one.gflops} GFLOPS, less than {floor.gflops} ({took})"
    return None


def _gpu(line: str) -> Gpu:
    cells = [cell.strip() for cell in line.split(",")]
    index, memory = cells[0], _MIB.fullmatch(cells[3]) if len(cells) == _COLUMNS else None
    if memory is None or not index.isdecimal():
        raise ValueError(f"nvidia-smi tells no GPU in this line: {_printable(line)}")
    ecc = cells[5]
    if not ecc.isdecimal() and ecc.strip("[]") not in {"N/A", "Not Supported", "Not Available"}:
        raise ValueError(f"nvidia-smi can't read GPU {index}: {_printable(ecc)}")
    return Gpu(int(index), cells[1], cells[2], int(memory[1]), cells[4], int(ecc) if ecc.isdecimal() else None)


def _printable(text: str) -> str:
    """Return a machine's words fit for a message: one short line of plain characters."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


_PROBE = Path(compute_probe.__file__).read_bytes()
