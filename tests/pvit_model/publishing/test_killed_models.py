"""`pvit publish RUN` as a process that is killed: the same command goes on, and what arrived is not sent again."""

import random
import signal
import time
from pathlib import Path

import pytest

from pvit_model.network.save import WEIGHTS
from tests.hub_server import REPO, Fault, Hub
from tests.hub_server.state import sha256
from tests.pvit_cli.test_publish_commands import done, hub, require_no_token, start

__all__ = ["hub"]
TIMES = [pytest.param(seed, marks=[] if seed in (0,) else [pytest.mark.full]) for seed in range(15)]


@pytest.mark.parametrize("seed", TIMES)
def test_a_killed_publication_of_a_model_goes_on(hub: Hub, run_folder: Path, tmp_path: Path, seed: int) -> None:
    """At a random byte of the weights, before the commit, and when it is made and nobody hears of it."""
    rng, home = random.Random(seed), tmp_path / "home"
    xet = "0" if seed % 2 else ""
    hub.has_xet = bool(xet)
    argv = ("publish", str(run_folder), "--repo", REPO, "--rights-confirmed")
    size = (run_folder / "model" / WEIGHTS).stat().st_size
    process = start(hub, home, *argv, xet=xet, python="-m pvit_model")
    last = size if seed % 3 else rng.randrange(size * 9 // 10)  # by Xet it is packed

    def stop(total: int) -> None:
        if total > last:
            process.send_signal(signal.SIGKILL)
            time.sleep(0.05)

    hub.on_received = stop
    hub.faults = [Fault("/commit/", "503" if seed % 3 == 1 else "lost", times=99)]
    while process.poll() is None:
        if hub.count("/commit/"):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    time.sleep(0.5)  # what lies in the sockets arrives
    was_made = len(commits(hub)) > 1
    assert not was_made or seed % 3 == 2  # or it was killed while it asked for it
    had, first = hub.stored.copy(), hub.received
    hub.on_received, hub.faults = lambda total: None, []
    hub.forget()
    out, _ = done(start(hub, home, *argv, xet=xet, python="-m pvit_model"))
    assert ("no commit was made" in out) == was_made
    weights = sha256((run_folder / "model" / WEIGHTS).read_bytes())
    assert had + hub.stored == [weights]
    assert first + hub.received <= 2 * size
    assert len(commits(hub)) == 2  # that of its creation, and ours
    assert sha256(commits(hub)[-1][WEIGHTS]) == weights
    require_no_token(hub, home)


def commits(hub: Hub) -> list[dict[str, bytes]]:
    return list(hub.repositories["model", REPO].commits.values())
