"""CUDA on a machine without a GPU: files that let Python there find a driver library, ``libcuda`` of this room."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.sandbox import libcuda
from app.sandbox.gpus import speed_of
from app.sandbox.nvidia_smi import GpuFacts

FOLDER: Final = ".cuda"
FACTS: Final = "facts.json"
SLOWER: Final = 50
"""So many times slower is a slow GPU: one that is throttled, or that others compute on as well."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class CudaFaults:
    """What is wrong with the computing. The default is nothing."""

    slow: str = ""
    """``both``, ``memory`` or ``compute``: what is slow."""
    wrong_sums: bool = False


def cuda_files(gpu: GpuFacts, faults: CudaFaults) -> dict[str, str]:
    """Return the files that belong into ``FOLDER`` of a machine's home."""
    speed = speed_of(gpu.name)
    facts = {
        "name": gpu.name,
        "count": gpu.count,
        "vram_mib": gpu.vram_mib,
        "gb_per_second": speed.gb_per_second / (SLOWER if faults.slow in {"both", "memory"} else 1),
        "gflops": speed.gflops / (SLOWER if faults.slow in {"both", "compute"} else 1),
        "wrong_sums": faults.wrong_sums,
    }
    library = Path(libcuda.__file__).read_text(encoding="utf-8")
    return {"libcuda.py": library, "ctypes.py": _CTYPES, FACTS: json.dumps(facts)}


def python_script() -> str | None:
    """Return a ``python3`` for machines which finds the driver library; None where this computer has no Python to run."""
    python = shutil.which("python3", path=_PATH)
    if python is None:
        return None
    path = f'PYTHONPATH="$HOME/{FOLDER}${{PYTHONPATH:+:$PYTHONPATH}}"'
    return f'#!/bin/sh\nexport {path}\nexec {shlex.quote(python)} "$@"\n'


_CTYPES = '''"""The real ``ctypes``, but that it finds ``libcuda.so.1`` beside itself."""

import importlib.machinery
import importlib.util
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
spec = importlib.machinery.PathFinder.find_spec("ctypes", [path for path in sys.path if path != here])
real = importlib.util.module_from_spec(spec)
sys.modules["ctypes"] = real
spec.loader.exec_module(real)


class CDLL(real.CDLL):
    def __new__(cls, name=None, *arguments, **options):
        if name in ("libcuda.so.1", "libcuda.so"):
            import libcuda

            return libcuda.Library(here)
        return super().__new__(cls)


real.CDLL = CDLL
real.cdll = real.LibraryLoader(CDLL)
'''
