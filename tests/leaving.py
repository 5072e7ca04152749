"""`python -m tests.leaving COMMAND ...`: pvit's command line, failing where threads of its group outlive it.

One of gloo's that frees a tensor while Python ends aborts the process: a race that a rank loses now and then."""

import atexit
import os
import sys
from pathlib import Path


def threads() -> list[str]:
    """Names of the threads of this process that belong to a process group or its store."""
    names = (path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm"))
    return sorted(name for name in names if "gloo" in name or "tcpstore" in name)


def check() -> None:
    found = threads()
    if found:
        print(f"rank {os.environ.get('RANK')} ends with {found}", file=sys.stderr, flush=True)
        os._exit(3)


if __name__ == "__main__":
    atexit.register(check)  # before any import that registers one: handlers run last in, first out
    from pvit_cli.model import main

    sys.exit(main(sys.argv[1:]))
