"""What hosts offer on Vast: the built-in market, or a snapshot of a real day from a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Slab:
    """One slice of one host's machine. ``dph`` is dollars per hour for all its GPUs, without disk."""

    gpu_name: str
    num_gpus: int
    vram_mib: int
    """Per GPU."""
    dph: Decimal
    geolocation: str | None
    reliability: str = "0.998"
    verification: str = "verified"
    direct_ports: int = 100


_BUILT_IN = """
RTX 3060          1  12288  0.07  Milan, IT
RTX 3070          1   8192  0.09  Quebec, CA
RTX 3080          4  10240  0.37  , CN
RTX 3090          1  24576  0.17  Quebec, CA
RTX 3090          1  24576  0.19  Sofia, BG
RTX 3090          1  24576  0.14  Kraków, PL       0.91
RTX 3090          2  24576  0.33  Quebec, CA
RTX 3090          4  24576  0.67  Texas, US
RTX 3090          1  24576  0.12  , VN             0.97   unverified
RTX 4090          1  24564  0.29  Oregon, US
RTX 4090          1  24564  0.31  Frankfurt, DE
RTX 4090          1  24564  0.34  Washington, US
RTX 4090          1  24564  0.40  Tokyo, JP
RTX 4090          1  24564  0.27  Taipei, TW       0.995  verified  0
RTX 4090          1  49140  0.44  Hong Kong, HK
RTX 4090          2  24564  0.66  Helsinki, FI
RTX 4090          2  24564  0.79  British Columbia, CA
RTX 4090          4  24564  1.39  Frankfurt, DE
RTX 4090          5  24564  2.00  Reykjavík, IS
RTX 4090          8  24564  2.77  Taipei, TW
RTX 5090          1  32607  0.48  Texas, US
RTX 5090          1  32607  0.51  Bács-Kiskun, HU
RTX 5090          2  32607  0.93  Taipei, TW
RTX 5090          4  32607  1.87  Quebec, CA
RTX 5090          8  32607  4.53  Texas, US
RTX 5090         16  32607  6.83  Taipei, TW
RTX A6000         1  49140  0.43  Kansas, US
RTX A6000         2  49140  0.85  Cluj-Napoca, RO
RTX 6000Ada       1  49140  0.53  Tokyo, JP
RTX PRO 6000 WS   1  97887  0.74  New York, US
RTX PRO 6000 S    1  97887  1.13  New York, US
A40               1  46068  0.40  Sydney, AU
A40               2  46068  0.79  Sydney, AU
L4                1  23034  0.32  Stockholm, SE
L40               1  46068  0.58  Amsterdam, NL
L40S              1  46068  0.60  Taichung City, TW
L40S              2  46068  1.20  Oregon, US
L40S              4  46068  2.40  Tokyo, JP
Tesla V100        8  16384  0.85  Stockholm, SE
A100 PCIE         1  40960  0.55  Oklahoma, US
A100 PCIE         1  81920  0.72  Oklahoma, US
A100 PCIE         2  81920  1.60  Prague, CZ
A100 SXM4         1  40960  0.76  Georgia, US
A100 SXM4         1  81920  1.14  Munich, DE
A100 SXM4         2  81920  2.38  Ljubljana, SI
A100 SXM4         4  81920  5.10  Oregon, US
A100 SXM4         8  81920 10.60  Iowa, US
H100 PCIE         1  81559  1.68  Paris, FR
H100 PCIE         2  81559  3.30  Paris, FR
H100 NVL          1  95830  1.87  Sofia, BG
H100 NVL          2  95830  4.10  Sydney, AU
H100 SXM          1  81559  1.87  Texas, US
H100 SXM          1  81559  2.20  Frankfurt, DE
H100 SXM          2  81559  3.73  Bangkok, TH
H100 SXM          4  81559  8.53  Hanoi, VN
H100 SXM          8  81559 16.00  Hanoi, VN
H200              1 143771  2.80  Paris, FR
H200              2 143771  5.38  Michigan, US
H200              8 143771 21.60  Paris, FR
B200              2 183359  9.41  , US
B200              4 183359 18.82  -
B300              8 275040 41.00  Oslo, NO
"""


def built_in_slabs() -> list[Slab]:
    """Return the market that is here without any file: every family, with the traps of the real one."""
    return [_slab(line) for line in _BUILT_IN.strip().splitlines()]


def read_slabs(path: Path) -> list[Slab]:
    """Read ``num_gpus,gpu_name,gpu_total_ram_mib,dph_total,geolocation`` with ``_`` for spaces in the name."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Slab(
                gpu_name=row["gpu_name"].replace("_", " "),
                num_gpus=int(row["num_gpus"]),
                vram_mib=int(row["gpu_total_ram_mib"]) // int(row["num_gpus"]),
                dph=Decimal(row["dph_total"]),
                geolocation=row["geolocation"] or None,
            )
            for row in csv.DictReader(file)
        ]


def _slab(line: str) -> Slab:
    """Read a line: name (16 columns), GPUs, MiB each, dollars, place, then reliability, verification, ports."""
    name, rest = line[:16].strip(), line[16:].split(maxsplit=3)
    count, vram, dollars, tail = rest
    place, _, more = tail.partition("  ")
    extra = more.split()
    return Slab(
        name,
        int(count),
        int(vram),
        Decimal(dollars),
        None if place == "-" else place,
        extra[0] if extra else "0.998",
        extra[1] if len(extra) > 1 else "verified",
        int(extra[2]) if len(extra) > 2 else 100,  # noqa: PLR2004 - the third column
    )
