"""A reader of PTX that runs a kernel thread by thread: for the few instructions that the probe's kernels use.

So what a GPU would be told to do is done, without a GPU. Sums are rounded to single precision as a GPU rounds them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_SHARED_BASE = 1 << 40


def _single(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


@dataclass
class Kernel:
    """One entry: its parameters and its instructions."""

    parameters: list[str]
    shared_bytes: int
    instructions: list[tuple[str, str, list[str]]]
    """(guard, operation, operands)."""
    labels: dict[str, int]


def read_kernel(text: str, name: str) -> Kernel:
    """Return an entry of a PTX text."""
    found = re.search(rf"\.entry {name}\((.*?)\)\s*\{{\n(.*?)\n\}}", text, re.DOTALL)
    assert found is not None
    parameters = re.findall(r"\.param \.\w+ (\w+)", found[1])
    body = re.sub(r"//[^\n]*", "", found[2])
    shared = re.search(r"\.shared \.align 16 \.b8 tiles\[(\d+)\]", body)
    instructions: list[tuple[str, str, list[str]]] = []
    labels: dict[str, int] = {}
    for line in re.split(r"[;\n]", re.sub(r"(\w+):\n", r"\1:;", body)):
        statement = line.strip()
        if statement.endswith(":"):
            labels[statement[:-1]] = len(instructions)
        elif statement and not statement.startswith("."):
            guard, _, rest = statement.rpartition("@%p ")
            operation, _, operands = rest.partition(" ")
            split = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", operands)
            instructions.append((guard or ("@" if "@%p" in statement else ""), operation, split))
    return Kernel(parameters, int(shared[1]) if shared else 0, instructions, labels)


@dataclass
class Grid:
    """One launch. Memory is words by address; parameters by name."""

    kernel: Kernel
    memory: dict[int, float]
    parameters: Mapping[str, int]
    blocks: tuple[int, int]
    threads: int
    executed: int = field(default=0)

    def run(self) -> None:
        """Run every block; its threads in turn, from barrier to barrier."""
        for y in range(self.blocks[1]):
            for x in range(self.blocks[0]):
                shared: dict[int, float] = {}
                waiting = [self._thread(thread, x, y, shared) for thread in range(self.threads)]
                while waiting:
                    waiting = [thread for thread in waiting if next(thread, None) is not None]

    def _thread(self, thread: int, x: int, y: int, shared: dict[int, float]) -> Iterator[str]:
        special = {
            "%tid.x": thread, "%ctaid.x": x, "%ctaid.y": y, "%ntid.x": self.threads, "%nctaid.x": self.blocks[0],
        }  # fmt: skip
        registers: dict[str, float] = {**special, "tiles": _SHARED_BASE}
        at = 0
        while True:
            guard, operation, operands = self.kernel.instructions[at]
            at += 1
            self.executed += 1
            if guard and not registers["%p"]:
                continue
            if operation == "ret":
                return
            if operation == "bra":
                at = self.kernel.labels[operands[0]]
            elif operation == "bar.sync":
                yield "barrier"
            else:
                self._execute(operation, operands, registers, shared)

    def _execute(
        self, operation: str, operands: list[str], registers: dict[str, float], shared: dict[int, float]
    ) -> None:
        def value(text: str) -> float:
            if text.startswith("0f"):
                return struct.unpack(">f", bytes.fromhex(text[2:]))[0]
            return registers[text] if text[0] in "%t" else int(text)

        first, *rest = operands
        if operation.startswith("ld.param"):
            registers[first] = self.parameters[rest[0].strip("[]")]
            return
        if operation.startswith(("ld.", "st.")):
            place, content = (rest[0], first) if operation.startswith("ld.") else (first, rest[0])
            base, _, offset = place.strip("[]").partition("+")
            address = int(registers[base]) + int(offset or 0)
            memory = shared if ".shared" in operation else self.memory
            assert ".shared" not in operation or 0 <= address - _SHARED_BASE < self.kernel.shared_bytes
            names = [name.strip() for name in content.strip("{}").split(",")]
            assert address % (4 * len(names)) == 0, "an access that is not aligned faults"
            for place_in, name in enumerate(names):
                if operation.startswith("ld."):
                    registers[name] = memory[address + 4 * place_in]
                else:
                    memory[address + 4 * place_in] = registers[name]
            return
        values = [value(text) for text in rest]
        registers[first] = _OPERATIONS[operation](*values)


_WORD = (1 << 32) - 1
_OPERATIONS = {
    "mov.u32": lambda a: a,
    "mov.f32": lambda a: a,
    "setp.ge.u32": lambda a, b: a >= b,
    "setp.lt.u32": lambda a, b: a < b,
    "add.u32": lambda a, b: (a + b) if a >= _SHARED_BASE else (a + b) & _WORD,
    "add.u64": lambda a, b: a + b,
    "mul.lo.u32": lambda a, b: (a * b) & _WORD,
    "mul.wide.u32": lambda a, b: a * b,
    "mad.lo.u32": lambda a, b, c: (a * b + c) & _WORD,
    "shl.b32": lambda a, b: (a << b) & _WORD,
    "shr.u32": lambda a, b: a >> b,
    "and.b32": lambda a, b: a & b,
    "xor.b32": lambda a, b: a ^ b,
    "fma.rn.f32": lambda a, b, c: _single(a * b + c),
}
