"""`pvit-data publish` and `pull` as they are used: dry runs, killed processes, reports, tokens that nobody reads."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pvit_cli.data import main
from pvit_data import Sample, ShardWriter
from tests.hub_server import REPO, Fault, Hub, serve_hub
from tests.hub_server.state import sha256

ROOT = Path(__file__).parents[2]
SECRET = "hf_pl4nted"
SIZE = 1_100_000  # bytes of a shard at least: it is sent in a call of its own
SMALL = 60_000  # sent together with others


def write_noise(out: Path, shards: int, shard_bytes: int) -> Path:
    """Shards of noise that cannot be made smaller."""
    rng = np.random.default_rng(0)
    height = shard_bytes * 5 // 4 // (2 * 256 * 4) + 8  # a sample fills a shard
    with ShardWriter(out, "noise", shard_bytes=shard_bytes, licence="CC0-1.0", redistributable=True) as writer:
        for number in range(shards):
            depth = rng.uniform(1, 9, (4, height, 256)).astype(np.float16).astype(np.float32)
            writer.write(Sample(key=f"k{number:02d}", depth=depth))
    assert len(list(out.rglob("*.tar"))) == shards
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("publish") / "data", 8, SIZE)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as found:
        found.tokens = {SECRET}
        yield found


def start(hub: Hub, home: Path, *argv: str, xet: str = "") -> subprocess.Popen[str]:
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": SECRET, "HF_HUB_DISABLE_XET": xet or "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pvit_data", *argv],
        env=os.environ | own | {"HF_HUB_DISABLE_TELEMETRY": "1"},
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def done(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert SECRET not in out + err
    assert "signature=" not in out + err
    return out, err


def large(folder: Path) -> dict[str, int]:
    """Bytes of what goes to the store, by sha256."""
    files = [p for p in folder.rglob("*") if p.suffix in (".tar", ".parquet")]
    return {sha256(p.read_bytes()): p.stat().st_size for p in files}


def kill_and_repeat(hub: Hub, folder: Path, home: Path, rng: random.Random, jobs: int = 2) -> None:
    """Kills a publication when some bytes have arrived; the next one sends what was in flight, and the rest."""
    sizes = large(folder)
    argv = ("publish", str(folder), "--repo", REPO, "--jobs", str(jobs))
    process = start(hub, home, *argv)
    last = rng.randrange(sum(sizes.values()))

    def stop(total: int) -> None:
        if total > last:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            time.sleep(0.05)

    hub.on_received = stop
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    hub.on_received = lambda total: None
    before = -1
    while hub.received != before:  # what lies in the sockets arrives
        before = hub.received
        time.sleep(0.3)
    commits = hub.repositories["dataset", REPO].commits.values()
    assert not [files for files in commits if "manifest.json" in files]
    whole, first = set(hub.stored), hub.received
    hub.forget()
    done(start(hub, home, *argv))
    assert not [path for path in home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not set(hub.stored) & whole
    assert set(hub.stored) | whole == sizes.keys()
    most = sorted(sizes.values())[-jobs:]
    assert first + hub.received <= sum(sizes.values()) + sum(most)
    found = hub.repositories["dataset", REPO].files
    own = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {name for name in own if found[name] != own[name]} == {"README.md"}


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_publication_continues(hub: Hub, folder: Path, tmp_path: Path, seed: int) -> None:
    kill_and_repeat(hub, folder, tmp_path / "home", random.Random(seed))


def test_a_stopped_publication_says_so(hub: Hub, folder: Path, tmp_path: Path) -> None:
    process = start(hub, tmp_path / "home", "publish", str(folder), "--repo", REPO)
    hub.faults = [Fault("PUT /store", "stall", skip=3, times=99, seconds=1)]
    told: list[int] = []

    def stop(total: int) -> None:
        if total > SIZE and not told:
            told.append(total)
            process.send_signal(signal.SIGTERM)

    hub.on_received = stop
    before = time.monotonic()
    _, err = done(process, 75)
    assert time.monotonic() - before < 20
    assert f"{REPO}: stopped; the same command continues it" in err


def test_a_hub_without_xet_and_one_whose_xet_is_silent(hub: Hub, folder: Path, tmp_path: Path) -> None:
    argv = ("publish", str(folder), "--repo", REPO)
    _, err = done(start(hub, tmp_path / "home", *argv, xet="0"), 1)
    assert "this Hub does not know Xet: set HF_HUB_DISABLE_XET=1" in err
    hub.faults = [Fault("xet-write-token", "stall", times=99, seconds=20)]
    hub.forget()
    process = start(hub, tmp_path / "home", *argv, xet="0")
    while not hub.count("xet-write-token"):
        assert process.poll() is None
        time.sleep(0.01)
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = done(process, 75)
    assert time.monotonic() - before < 10
    assert f"{REPO}: stopped" in err


def test_a_killed_pull_continues(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.push({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    hub.faults = [Fault("GET /store/", "stall", skip=4, times=2, seconds=2)]
    argv = ("pull", REPO, str(tmp_path / "out"), "--jobs", "2")
    process = start(hub, tmp_path / "home", *argv)
    while hub.count("GET /store/") < 6:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out/manifest.json").exists()
    assert hub.sent > SIZE
    done(start(hub, tmp_path / "home", *argv))
    sizes = sorted(large(folder).values())
    assert hub.sent <= sum(sizes) + sum(sizes[-2:])
    assert large(tmp_path / "out") == large(folder)


def test_dry_run_publish_pull_and_reports(
    hub: Hub, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process; the planted token stands in nothing that is printed, written or sent."""
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": True,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", SECRET)

    def run(*argv: str, code: int = 0) -> str:
        assert main(list(argv)) == code
        out, err = capfd.readouterr()
        assert SECRET not in out + err
        assert "signature=" not in out + err
        return out + err

    publish = ("publish", str(folder), "--repo", REPO)
    text = run(*publish, "--dry-run")
    assert "as me, to me/mine (will be made)" in text
    assert "noise/train-00000.tar" in text
    assert re.search(r"noise +record \(8\), depth \(8\) +yes +CC0-1.0", text)
    assert "# noise" in text
    facts = json.loads(run(*publish, "--dry-run", "--json"))
    assert facts["bytes"] > 8 * SIZE / 2
    assert facts["licences"] == {"noise": "CC0-1.0"}
    told = [(line["field"], line["public"], line["licence"]) for line in facts["fields"]]
    assert told == [("record", "yes", "CC0-1.0"), ("depth", "yes", "CC0-1.0")]
    assert hub.repositories == {}
    text = run(*publish, "--tag", "v1")
    assert "were there already; every checksum is the manifest's" in text
    assert f"{hub.url}/datasets/me/mine (commit" in text
    assert "nothing has changed" in run(*publish, "--tag", "v1")
    assert "0 files to send, 0 B" in run(*publish, "--dry-run")
    text = run("pull", REPO, str(tmp_path / "out"), "--revision", "v1")
    assert "files fetched (" in text
    assert f"next: pvit-data stats {tmp_path / 'out'}" in text
    assert json.loads(run("pull", REPO, str(tmp_path / "out"), "--json"))["fetched"] == 0
    run("pull", REPO, str(tmp_path / "part"), "--shards", "0-1,3")
    assert len(list((tmp_path / "part/noise").glob("*.tar"))) == 3
    hub.faults = [Fault("PUT /store", "403", times=99)]
    hub.objects.clear()
    text = run("--debug", "-v", "publish", str(folder), "--repo", "me/other", code=1)
    assert "Traceback" in text
    assert "the Hub's store answers 403" in text
    hub.tokens.clear()
    assert "error: the Hub: the token is not accepted, it may have expired" in run(*publish, code=1)
    run("--debug", "-v", *publish, code=1)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert not [text for text in hub.said if SECRET in text]
    assert not [data for data in hub.objects.values() if SECRET.encode() in data]


def test_what_may_not_be_passed_on_is_refused_before_the_hub_is_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ShardWriter(tmp_path / "d", "closed", licence="theirs (no redistribution)") as writer:
        writer.write(Sample(key="k", num_frames=1))
    assert main(["publish", str(tmp_path / "d"), "--repo", REPO]) == 1
    assert "error: cannot be published in public: source 'closed': its licence forbids it" in capfd.readouterr().err
