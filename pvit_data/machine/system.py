"""What the system grants: cores, shared memory, open files, and folders for caches."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pvit_data.errors import UsageError
from pvit_data.format.mapped.cache import VARIABLE, IndexCache, index_folder
from pvit_data.machine.finding import Finding
from pvit_data.words import counted, size_text

SHARED = Path("/dev/shm")
LEAST_SHARED = 1 << 30
"""Bytes of shared memory in which the batches of a few workers find room."""
LEAST_FILES = 1024
LEAST_FREE = 1 << 30
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def look_at_cores() -> Iterator[Finding]:
    """Cores that this process may use."""
    there = os.cpu_count() or 1
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    granted = min(float(ours), _quota())
    told = f"{counted(ours, 'core')} of {there} may be used"
    told += f", time for {granted:.1f} of them is granted" if granted < ours else ""
    if granted < 2:
        remedy = "convert with --workers 1 and train with data.workers=0, or ask for more cores"
        yield Finding("cores", "note", told, remedy)
    else:
        yield Finding("cores", "ok", told)


def _quota() -> float:
    """Cores whose time a container gets."""
    try:
        most, period = QUOTA.read_text(encoding="ascii").split()
        return float(most) / float(period)
    except (OSError, ValueError):
        return float("inf")  # "max", or no such limit


def look_at_memory() -> Iterator[Finding]:
    """Shared memory, in which loader processes hand over batches."""
    if not SHARED.is_dir():
        return  # other systems have none of this kind
    room = shutil.disk_usage(SHARED)
    told = f"{SHARED}: {size_text(room.free)} free of {size_text(room.total)}"
    if room.free < LEAST_SHARED:
        remedy = "loader processes may die of SIGBUS: docker run --shm-size=8g (or --ipc=host), or data.workers=0"
        yield Finding("shared memory", "problem", told, remedy)
    else:
        yield Finding("shared memory", "ok", told)


def look_at_files() -> Iterator[Finding]:
    """How many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    if soft != resource.RLIM_INFINITY and soft < LEAST_FILES:
        told = f"at most {soft:,} per process (may be raised to {most})"
        yield Finding("open files", "note", told, f"ulimit -n {LEAST_FILES * 8}")
    else:
        shown = "any number" if soft == resource.RLIM_INFINITY else f"{soft:,}"
        yield Finding("open files", "ok", f"{shown} per process")


def look_at_caches() -> Iterator[Finding]:
    """Where temporary files, large indices and downloads go."""
    from huggingface_hub.constants import HF_HUB_CACHE

    yield _folder("temporary files", Path(tempfile.gettempdir()), "TMPDIR")
    indices = index_folder()
    try:
        IndexCache(indices).require_ours()
    except UsageError as error:
        yield Finding("index cache", "note", str(error), f"set {VARIABLE} to a folder of your own")
    else:
        yield _folder("index cache", indices, VARIABLE)
    yield _folder("Hub cache", Path(HF_HUB_CACHE), "HF_HOME")


def _folder(about: str, path: Path, variable: str) -> Finding:
    """Whether a folder, which may not be there yet, can be written, and how much room it has."""
    there = next(each for each in (path, *path.parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    told = f"{path}: {size_text(free)} free"
    if not _is_writable(there):
        remedy = f"set {variable} to a folder that you may write to"
        return Finding(about, "problem", f"{path}: cannot be written", remedy)
    if free < LEAST_FREE:
        return Finding(about, "note", told, f"free some space, or set {variable} to a larger disk")
    return Finding(about, "ok", told)


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
