"""Ranks of a gloo group that are forked, which takes none of the seconds that a fresh process spends on imports."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist


def statuses(ranks: int, work: Callable[[], object], store: Path) -> list[int]:
    """Runs work in so many processes and says how each ended, as `os.waitpid` does; 0: without an error.

    Args:
        ranks: 1: a process without a group.
        store: a path at which they meet, without a file.
    """
    children = []
    for rank in range(ranks):
        child = os.fork()
        if not child:
            _never_back(rank, ranks, work, store)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def _never_back(rank: int, ranks: int, work: Callable[[], object], store: Path) -> None:
    code = 9
    try:
        if ranks > 1:
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
            dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
        work()
        code = 0
    finally:
        os._exit(code)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread: others do not survive a fork."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
