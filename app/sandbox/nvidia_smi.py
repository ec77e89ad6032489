"""The ``nvidia-smi`` and ``dmesg`` of a machine without a GPU: shell scripts that answer in the tools' own formats."""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass

_COMPUTE_CAPABILITIES = (
    ("B300", "10.3"),
    ("B200", "10.0"),
    ("5090", "12.0"),
    ("5080", "12.0"),
    ("PRO 6000", "12.0"),
    ("H100", "9.0"),
    ("H200", "9.0"),
    ("4090", "8.9"),
    ("L40", "8.9"),
    ("L4", "8.9"),
    ("3090", "8.6"),
    ("A6000", "8.6"),
    ("A100", "8.0"),
    ("V100", "7.0"),
)


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """The GPUs of a machine, all alike. ``name`` is the driver's own, such as ``NVIDIA H100 80GB HBM3``."""

    name: str
    count: int
    vram_mib: int
    """Per GPU, as ``memory.total`` tells it."""
    driver: str = "550.127.05"
    cuda: str = "12.4"


def nvidia_smi_script(gpu: GpuFacts, *, seed: str, ecc_errors: int = 0) -> str:
    """Return a POSIX shell script that answers as ``nvidia-smi`` does: the table, ``-L`` and ``--query-gpu``.

    The GPUs' UUIDs follow from ``seed``, so that a machine keeps them. GeForce cards have no ECC and say ``[N/A]``. All
    are as busy as a file ``.utilization`` in the home says, in percent.
    """
    indexes = range(gpu.count)
    ids = [f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'{seed}/{index}')}" for index in indexes]
    buses = [f"00000000:{index + 1:02X}:00.0" for index in indexes]
    facts = {
        "name": gpu.name,
        "vram": str(gpu.vram_mib),
        "driver": gpu.driver,
        "count": str(gpu.count),
        "ecc": "[N/A]" if "GeForce" in gpu.name else str(ecc_errors),
        "capability": next((version for part, version in _COMPUTE_CAPABILITIES if part in gpu.name), "8.0"),
        "uuids": " ".join(ids),
        "buses": " ".join(buses),
        "list_text": "\n".join(f"GPU {index}: {gpu.name} (UUID: {ids[index]})" for index in indexes),
        "table_text": _table(gpu, buses, ecc="Off" if "GeForce" in gpu.name else str(ecc_errors)),
    }
    assignments = "\n".join(f"{name}={shlex.quote(value)}" for name, value in facts.items())
    return f"#!/bin/sh\n{assignments}\n{_SCRIPT}"


def broken_nvidia_smi_script() -> str:
    """Return a script that fails as the tool does on a machine whose driver is not loaded."""
    return (
        "#!/bin/sh\n"
        "echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
        'Make sure that the latest NVIDIA driver is installed and running."\necho\nexit 9\n'
    )


def dmesg_script(*, xid_errors: bool) -> str:
    """Return a ``dmesg`` that tells this machine's kernel log and never that of the computer it runs on."""
    lines = ["[    4.182334] nvidia-nvlink: Nvlink Core is being initialized, major device number 235"]
    if xid_errors:
        lines.append("[ 5120.402211] NVRM: Xid (PCI:0000:01:00): 79, pid=1423, GPU has fallen off the bus.")
    return "#!/bin/sh\n" + "".join(f"echo {shlex.quote(line)}\n" for line in lines)


def _table(gpu: GpuFacts, buses: list[str], *, ecc: str) -> str:
    """Return the plain answer's table, without its first line, the date."""
    bar = "+" + "-" * 41 + "+" + "-" * 24 + "+" + "-" * 22 + "+"
    versions = f" NVIDIA-SMI {gpu.driver:<23}Driver Version: {gpu.driver:<15}CUDA Version: {gpu.cuda:<8} "
    lines = [
        "+" + "-" * 89 + "+",
        f"|{versions:<89.89}|",
        "|" + bar[1:],
        "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |",
        "|                                         |                        |               MIG M. |",
        "|=========================================+========================+======================|",
    ]
    for index, bus in enumerate(buses):
        memory = f"{'2MiB':>9} / {f'{gpu.vram_mib}MiB':>9}"
        lines += [
            f"| {index:>3}  {gpu.name:<25.25}      Off |   {bus} Off | {ecc:>20} |",
            f"| 30%   34C    P8             21W /  450W | {memory:>22} | {'0%      Default':>20} |",
            f"|                                         |                        | {'N/A':>20} |",
            bar,
        ]
    return "\n".join([*lines, *_PROCESSES])


_PROCESSES = (
    " " * 89,
    "+" + "-" * 89 + "+",
    f"| {'Processes:':<88}|",
    f"| {' GPU   GI   CI        PID   Type   Process name                              GPU Memory':<88}|",
    f"| {'       ID   ID                                                               Usage':<88}|",
    "|" + "=" * 89 + "|",
    f"| {' No running processes found':<88}|",
    "+" + "-" * 89 + "+",
)

_SCRIPT = r"""
fields= noheader= nounits= only= listing=
while [ $# -gt 0 ]; do
  case $1 in
    --query-gpu=*) fields=${1#*=} ;;
    --query-gpu) shift; fields=$1 ;;
    --query-compute-apps=*) exit 0 ;;
    --format=*) format=${1#*=}
      case ",$format," in *,csv,*) ;; *) echo '"--format=" can only be csv.'; exit 2 ;; esac
      case ",$format," in *,noheader,*) noheader=1 ;; esac
      case ",$format," in *,nounits,*) nounits=1 ;; esac ;;
    -L|--list-gpus) listing=1 ;;
    -i) shift; only=$1 ;;
    -i=*|--id=*) only=${1#*=} ;;
    *) echo "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help."; exit 1 ;;
  esac
  shift
done
if [ -n "$only" ] && ! [ "$only" -lt "$count" ] 2>/dev/null; then echo "No devices were found"; exit 6; fi
if [ "$count" -eq 0 ]; then echo "No devices were found"; exit 6; fi
if [ -n "$listing" ]; then printf '%s\n' "$list_text"; exit 0; fi
if [ -z "$fields" ]; then date '+%a %b %e %H:%M:%S %Y       '; printf '%s\n' "$table_text"; exit 0; fi
pick() { shift "$(($1 + 1))"; printf '%s' "$1"; }
measure() { if [ -n "$nounits" ]; then printf '%s' "$1"; else printf '%s %s' "$1" "$2"; fi; }
unit() {
  case $1 in
    memory.*) printf ' [MiB]' ;; utilization.*|fan.speed) printf ' [%%]' ;; power.*) printf ' [W]' ;;
    clocks.*) printf ' [MHz]' ;;
  esac
}
value() {
  case $2 in
    index) printf '%s' "$1" ;;
    count) printf '%s' "$count" ;;
    name|gpu_name) printf '%s' "$name" ;;
    uuid|gpu_uuid) pick "$1" $uuids ;;
    pci.bus_id|gpu_bus_id) pick "$1" $buses ;;
    driver_version) printf '%s' "$driver" ;;
    memory.total) measure "$vram" MiB ;;
    memory.used) measure 2 MiB ;;
    memory.free) measure "$((vram - 2))" MiB ;;
    utilization.gpu) measure "$(cat "$HOME/.utilization" 2>/dev/null || echo 0)" % ;;
    utilization.memory) measure 0 % ;;
    fan.speed) measure 30 % ;;
    temperature.gpu) printf 34 ;;
    power.draw) measure 21.40 W ;;
    power.limit) measure 450.00 W ;;
    clocks.sm|clocks.current.sm) measure 210 MHz ;;
    pstate) printf P8 ;;
    compute_cap) printf '%s' "$capability" ;;
    compute_mode) printf Default ;;
    persistence_mode) printf Disabled ;;
    mig.mode.current) printf '[N/A]' ;;
    ecc.errors.uncorrected.*) printf '%s' "$ecc" ;;
    ecc.mode.current) if [ "$ecc" = "[N/A]" ]; then printf '[N/A]'; else printf Enabled; fi ;;
    timestamp) date '+%Y/%m/%d %H:%M:%S.000' | tr -d '\n' ;;
    *) return 1 ;;
  esac
}
names=$(printf '%s' "$fields" | tr ',' ' ')
header=
for field in $names; do
  value 0 "$field" >/dev/null || { printf 'Field "%s" is not a valid field to query.\n\n' "$field"; exit 2; }
  header="$header, $field$(unit "$field")"
done
[ -n "$noheader" ] || printf '%s\n' "${header#, }"
index=0
while [ "$index" -lt "$count" ]; do
  if [ -z "$only" ] || [ "$only" = "$index" ]; then
    line=
    for field in $names; do line="$line, $(value "$index" "$field")"; done
    printf '%s\n' "${line#, }"
  fi
  index=$((index + 1))
done
"""
