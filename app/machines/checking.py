"""Is this the machine that was sold? The GPUs' number, names, memory and health, then a short computation on each.

The expected facts come from the listing; the tolerance on memory covers what drivers reserve and GB told as GiB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.machines import gpu_probe
from app.machines.shell import AnswerTooLong, Shell

QUERY = "index,name,uuid,memory.total,driver_version,ecc.errors.uncorrected.volatile.total"
_COLUMNS = QUERY.count(",") + 1
_TOLERANCE_PERCENT = 8
_MIB = re.compile(r"(\d+)(?: MiB)?", re.ASCII)
_XID = re.compile(r"NVRM: Xid \([^)\n]{1,64}\): (\d{1,4})", re.ASCII)
_PROGRAMS_FAULT = frozenset({13, 31, 43, 45, 68, 69})
"""Xids that a program's own error causes: a former tenant's bug says nothing about the GPU."""
_NO_PYTHON = 42
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
class Expectation:
    """What was sold. ``vram_mib`` is per GPU; ``accepts`` says whether a driver's GPU name is of the family."""

    gpu_count: int
    vram_mib: int
    accepts: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Passed:
    """The machine is as sold. ``computed`` is False where the machine had nothing to compute with."""

    gpus: tuple[Gpu, ...]
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The machine is not as sold, or not sound."""

    reason: Literal["gpu_mismatch", "gpu_check_failed"]
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
    """Look at the machine, then compute on it. Takes at most 80 s.

    Raises:
        TimedOut, Unreachable: of the shell; they say nothing about the GPUs.
    """
    try:
        found = await _look(shell, expected)
        if isinstance(found, Failed):
            return found
        return await _compute(shell, found)
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


async def _compute(shell: Shell, found: Passed) -> Passed | Failed:
    command = f"command -v python3 >/dev/null 2>&1 || exit {_NO_PYTHON}; exec python3 -"
    answer = await shell.run(command, stdin=_PROBE, deadline_seconds=40, max_bytes=_MAX_BYTES)
    return judge_probe(answer.text, status=answer.status, found=found)


def judge_probe(text: str, *, status: int | None, found: Passed) -> Passed | Failed:
    """Return what the probe's line means. No Python or no CUDA driver library on the machine is no failure."""
    word, _, rest = text.strip().partition(" ")
    if status == _NO_PYTHON or word == "skipped":
        return found
    if status != 0 or word not in {"passed", "failed"}:
        return Failed("gpu_check_failed", f"the computation broke off with status {status}")
    if word == "failed":
        return Failed("gpu_check_failed", f"the computation failed: {_printable(rest)}")
    if rest != str(len(found.gpus)):
        return Failed("gpu_check_failed", f"CUDA sees {_printable(rest)} GPUs instead of {len(found.gpus)}")
    return replace(found, computed=True)


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


_PROBE = Path(gpu_probe.__file__).read_bytes()
