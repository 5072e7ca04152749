"""Runs Python in a process of its own and measures it: what a hostile file costs shows nowhere else."""

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MEMORY, SECONDS = 1.5e9, 10.0

_BEFORE = "import sys\nfrom pathlib import Path\nfrom pvit_data.errors import PvitError\ntry:\n"
_AFTER = """
except PvitError as error:
    print(type(error).__name__, getattr(error, "reason", ""), error)
import time
print("peak", next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")), time.process_time())
"""


class Cost(NamedTuple):
    """What it printed, the most memory in bytes, and seconds of the processor with the start of Python."""

    printed: str
    peak: int
    seconds: float


def cost_of(code: str, *arguments: object) -> Cost:
    """Runs statements that find their arguments in `sys.argv[1:]`; one of our errors is printed."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + body + _AFTER, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'converters'}", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"peak VmHWM:\s+(\d+) kB\s+([\d.]+)", done.stdout)
    assert found is not None
    return Cost(done.stdout[: found.start()], int(found[1]) * 1024, float(found[2]))


def require_cheap(code: str, *arguments: object) -> str:
    """What it printed, after it was found to keep below the bars."""
    cost = cost_of(code, *arguments)
    assert cost.peak < MEMORY, f"{cost.peak / 1e9:.2f} GB"
    assert cost.seconds < SECONDS, f"{cost.seconds:.1f} s"
    return cost.printed


def raw_deflated(mebibytes: int) -> bytes:
    """Zeros as a deflate stream without a header: one block, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * mebibytes + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def deflated(mebibytes: int) -> bytes:
    """Zeros as a zlib stream; their Adler-32 is their number and 1."""
    adler = ((mebibytes << 20) % 65521) << 16 | 1
    return b"\x78\xda" + raw_deflated(mebibytes) + adler.to_bytes(4, "big")
