"""The accelerate engine: devices, precision and process group, with time limits; and its tidy end."""

from __future__ import annotations

import atexit
import gc
import os
import socket
import time
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # a public name that __init__ only imports

from pvit_data.errors import ConfigError
from pvit_model.recipes.config import RunConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
STORE = "pvit/store"
"""Key under which rank 0 tells torchrun's store where its own store listens: `ADDRESS PORT`."""
LOOPBACK = "127.0.0.1"


def make_accelerator(run: RunConfig) -> Accelerator:
    """An engine for this process; one of several where torchrun started it.

    Raises:
        ConfigError: for fp16 without an accelerator.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    check_precision(run)
    # A few operations have no deterministic form on an accelerator: they warn, they don't end the run.
    torch.use_deterministic_algorithms(run.deterministic, warn_only=True)
    if run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses without it
        torch.backends.cudnn.benchmark = False
    join_ranks(timedelta(seconds=run.timeout_s))
    return Accelerator(
        mixed_precision=PRECISIONS[run.precision],
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=run.timeout_s)),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        ],
    )


def check_precision(run: RunConfig) -> None:
    """Refuses what the machine cannot compute in.

    Raises:
        ConfigError: for fp16 without an accelerator.
    """
    if run.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("run.precision = 'fp16' needs an accelerator; use bf16 or fp32 on a CPU")


def known_faults(precision: str, version: str | None = None, cudnn: int | None = None) -> list[str]:
    """Sentences about faults of this PyTorch and cuDNN that a run on an accelerator would meet.

    Args:
        precision: of the run.
        version: of PyTorch; default: the one that runs.
        cudnn: its cuDNN, 90800 for 9.8.0; 0: none. Default: the one in use, where there is an accelerator.

    Example:
        >>> len(known_faults("bf16", "2.9.0+cu128", 91002)), known_faults("fp32", "2.9.0", 91002)
        (2, [])
    """
    if cudnn is None:
        cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else 0  # type: ignore[no-untyped-call]
    version = torch.__version__ if version is None else version
    found = []
    if precision == "bf16" and cudnn and version.split("+")[0] == "2.9.0":
        found.append(
            "PyTorch 2.9.0 computes bf16 3D convolutions without cuDNN, 4 times slower and with 3 to 17 times the "
            "memory (pytorch issues 166122, 166643, 174051); take another version, or run.precision=fp32"
        )
    if precision == "bf16" and 90800 <= (cudnn or 0) < 91100:
        found.append(
            f"cuDNN {cudnn // 10000}.{cudnn // 100 % 100} gives wrong bf16 3D convolutions without an error, as all "
            "from 9.8 to 9.10 (pytorch issue 163539); take another version, or run.precision=fp32"
        )
    return found


def join_ranks(timeout: timedelta) -> None:
    """Makes the process group of ranks that torchrun started; nothing in a process of its own.

    torchrun keeps one store through all restarts, so that a restarted rank can read the address of a peer that was
    killed ("connection refused", and a restart is lost). Here the ranks meet in a store that lives as long as rank 0.
    Nothing listens where no rank is: ranks of one machine meet at its loopback address.

    Raises:
        ConfigError: when ranks of other machines could not reach this one.
        dist.DistStoreError: when the ranks do not find each other in time.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or dist.is_initialized():
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    is_one_machine = size == int(os.environ["LOCAL_WORLD_SIZE"])
    if is_one_machine:
        _use_loopback()
    agents = TCPStore(host, port, is_master=False, timeout=timeout)
    if rank == 0:
        store = store_at(LOOPBACK if is_one_machine else own_address(host, port), timeout)
        agents.set(STORE, f"{store.host} {store.port}")
    else:
        store = store_of_rank_0(agents, timeout)
    # They keep the group of their import as a default argument: of a group made before, its threads would never end.
    import torch.distributed.fsdp
    import torch.distributed.nn.functional  # noqa: F401

    backend = "cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    atexit.register(_leave_ranks)


def _leave_ranks() -> None:
    """Ends gloo's threads while Python lives: one that frees a tensor during Python's end aborts the process, and
    torchrun then calls all ranks failed."""
    if dist.is_initialized():
        dist.destroy_process_group()
    gc.collect()  # FSDP's modules hold the group, too, and one another


def _use_loopback() -> None:
    """Lets gloo, too, listen at the loopback address, unless the user said otherwise."""
    names = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    for name in names:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def own_address(host: str, port: int) -> str:
    """The address at which ranks of other machines reach this one: that from which it reaches torchrun's store.

    Where that is on this very machine under a loopback address, as `/etc/hosts` often has it, the address of the way to
    the outside.

    Raises:
        ConfigError: if there is none.
    """
    with socket.create_connection((host, port), timeout=10) as link:
        address = str(link.getsockname()[0])
    if not ip_address(address).is_loopback:
        return address
    with socket.socket(type=socket.SOCK_DGRAM) as way:
        try:
            way.connect(("192.0.2.1", 9))  # RFC 5737; connecting a datagram socket sends nothing
        except OSError as error:
            raise ConfigError(
                f"{host} is {address} on this machine, which the ranks of other machines cannot reach; "
                "give torchrun the address of a network: --rdzv-endpoint ADDRESS:PORT"
            ) from error
        return str(way.getsockname()[0])


def store_at(address: str, timeout: timedelta) -> TCPStore:
    """A store that listens at one address, at a free port; by itself PyTorch's listens at every address there is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, backlog=1024) as server:
        port = server.getsockname()[1]
        return TCPStore(
            address,
            port,
            is_master=True,
            wait_for_workers=False,
            timeout=timeout,
            master_listen_fd=os.dup(server.fileno()),
        )


def store_of_rank_0(agents: TCPStore, timeout: timedelta) -> TCPStore:
    """Connects to the store of the rank 0 that lives; an earlier one's no longer answers."""
    until = time.monotonic() + timeout.total_seconds()
    while True:
        host, _, port = agents.get(STORE).decode().rpartition(" ")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError as error:
            if time.monotonic() > until:
                raise dist.DistStoreError(
                    f"rank 0 did not answer at {host}:{port} in {timeout}"
                ) from error
            time.sleep(0.1)
        else:
            return TCPStore(host, int(port), is_master=False, timeout=timeout)


def release(accelerator: Accelerator) -> None:
    """Ends the process group and lets a later run in the same process choose its own settings."""
    from accelerate.state import AcceleratorState

    accelerator.end_training()
    accelerator.free_memory()
    AcceleratorState._reset_state(reset_partial_state=True)
