"""What processes listen at, from Linux's own tables: sockets that other processes, and other users, can reach."""

import os
import re
import time
from pathlib import Path

import psutil

LISTENING, UNIX_LISTENING = "0A", 1 << 16  # net/tcp_states.h; __SO_ACCEPTCON


def sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process holds."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
        except OSError:  # closed meanwhile
            continue
        found |= {match[1]} if match else set()
    return found


def listeners(pid: int) -> set[str]:
    """Each of a process's sockets that can be reached from outside of it: `tcp 0100007F:1F90`, `unix @name`."""
    mine, found = sockets(pid), set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text(encoding="utf-8").splitlines()[1:]:
            words = line.split()
            is_open = words[3] == LISTENING or (kind.startswith("udp") and words[2].endswith(":0000"))
            if words[9] in mine and is_open:
                found.add(f"{kind} {words[1]}")
    for line in Path(f"/proc/{pid}/net/unix").read_text(encoding="utf-8").splitlines()[1:]:
        words = line.split()
        if words[6] in mine and int(words[3], 16) & UNIX_LISTENING:
            found.add(f"unix {' '.join(words[7:])}")
    return found


def watch(pid: int, seconds: float = 0.02) -> tuple[dict[int, tuple[int, str]], set[str]]:
    """Looks at a process and all below it until it ends.

    Returns:
        Parent and command line of each process that was seen, and everything that any of them listened at.
    """
    seen: dict[int, tuple[int, str]] = {}
    found: set[str] = set()
    root = psutil.Process(pid)
    while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
        for process in [root, *root.children(recursive=True)]:
            try:
                if words := process.cmdline():
                    seen[process.pid] = process.ppid(), " ".join(words)
                found |= listeners(process.pid)
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
        time.sleep(seconds)
    return seen, found
