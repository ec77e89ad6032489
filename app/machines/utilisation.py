"""How busy the GPUs are, asked in the same breath as whether they are there at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from app.machines.shell import Shell

LOOK: Final = "nvidia-smi --query-gpu=index,utilization.gpu --format=csv,noheader,nounits || nvidia-smi -L"
"""One call as a rule; where a driver can't tell utilisation, the list of GPUs decides whether they are there."""

_GPUS_MAX: Final = 64
_PERCENT_MAX: Final = 100
_MAX_BYTES: Final = 16 * 1024
_LINE: Final = re.compile(r"(\d{1,2}), *(\d{1,3})(?: *%)?", re.ASCII)


async def look(shell: Shell) -> Mapping[int, int] | None:
    """Return each GPU's utilisation in percent by its index, of the last second or less; None where no GPU answers.

    A GPU that tells none, such as a part of one (MIG), is left out.

    Raises:
        ShellError: the machine can't be reached, or says too much.
    """
    answer = await shell.run(LOOK, max_bytes=_MAX_BYTES)
    return parse_utilisation(answer.text) if answer.status == 0 else None


def parse_utilisation(text: str) -> Mapping[int, int]:
    """Read the answer's lines; the machine is its customer's, so what makes no sense is passed over."""
    found: dict[int, int] = {}
    for line in text.splitlines():
        if (told := _LINE.fullmatch(line.strip())) is None:
            continue
        gpu, percent = int(told[1]), int(told[2])
        if gpu < _GPUS_MAX and percent <= _PERCENT_MAX:
            found.setdefault(gpu, percent)
    return found
