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
from tests.hub_server.state import XET_TOKEN, sha256
from tests.pvit_data.reading.test_layers import write_base, write_layer, write_protocol

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


def start(hub: Hub, home: Path, *argv: str, xet: str = "", python: str = "-m pvit_data") -> subprocess.Popen[str]:
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": SECRET, "HF_HUB_DISABLE_XET": xet or "1"}
    return subprocess.Popen(
        [sys.executable, *python.split(" ", 1), *argv],
        env={k: v for k, v in os.environ.items() if k != "HF_HUB_DISABLE_TELEMETRY"} | own | {"RUST_LOG": "debug"},
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def done(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert hub_secrets_in(out + err) == []
    return out, err


def hub_secrets_in(text: str) -> list[str]:
    """Tokens, and addresses that are as good as one."""
    return [secret for secret in (SECRET, XET_TOKEN, "signature=") if secret in text]


def large(folder: Path) -> dict[str, int]:
    """Bytes of what goes to the store, by sha256."""
    files = [p for p in folder.rglob("*") if p.suffix in (".tar", ".parquet")]
    return {sha256(p.read_bytes()): p.stat().st_size for p in files}


def kill_and_repeat(
    hub: Hub, folder: Path, home: Path, rng: random.Random, jobs: int = 2, together: int = 1, xet: str = ""
) -> None:
    """Kills a publication when some bytes have arrived; the next one sends what was in flight, and the rest.

    Args:
        hub: empty.
        folder: the dataset.
        home: of the client.
        rng: chooses the moment.
        jobs: calls at once.
        together: files that are in flight in each.
        xet: "0": by Xet.
    """
    hub.has_xet = bool(xet)
    sizes = large(folder)
    argv = ("publish", str(folder), "--repo", REPO, "--jobs", str(jobs))
    process = start(hub, home, *argv, xet=xet)
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
    done(start(hub, home, *argv, xet=xet))
    require_no_token(hub, home)
    again = jobs * together if xet else 0  # a file by Xet is in flight until its arrival is noted here
    assert len(set(hub.stored) & whole) <= again
    assert set(hub.stored) | whole == sizes.keys()
    most = sorted(sizes.values())[-jobs * together :]
    assert first + hub.received <= sum(sizes.values()) + sum(most)
    found = hub.repositories["dataset", REPO].files
    own = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {name for name in own if found[name] != own[name]} == {"README.md"}


def require_no_token(hub: Hub, home: Path) -> None:
    """No file of the client's holds one, its logs among them; none was sent to somebody else."""
    tokens = (SECRET.encode(), XET_TOKEN.encode())
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if any(token in path.read_bytes() for token in tokens)]
    assert hub.leaks == []
    assert not hub.count("telemetry")
    assert not hub.count("agent")


@pytest.mark.parametrize("xet", ["", "0"], ids=["lfs", "xet"])
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_publication_continues(hub: Hub, folder: Path, tmp_path: Path, seed: int, xet: str) -> None:
    kill_and_repeat(hub, folder, tmp_path / "home", random.Random(seed), xet=xet)


THERE_AND_BACK = f"""
import sys
import pvit_data
from pvit_cli.data import main
from tests.pvit_data.reading.test_layers import require_equal
here, copy = sys.argv[1:]
assert main(["pull", "{REPO}", copy]) == 0
for options in ({{"source": "clips", "layers": ["later"]}}, {{"source": "few"}}):
    for url in (copy, "hf://datasets/{REPO}"):
        pairs = zip(pvit_data.open(here, **options), pvit_data.open(url, **options), strict=True)
        print(len([require_equal(one, other) for one, other in pairs]))
"""


def test_by_xet_there_and_back(hub: Hub, tmp_path: Path) -> None:
    """Samples and layers are equal bit by bit; nothing is sent again; pulled and streamed without Xet."""
    here, home = tmp_path / "d", tmp_path / "home"
    for write in (write_base, write_layer, write_protocol):
        write(here, licence="CC0-1.0", redistributable=True)
    hub.has_xet = True
    argv = ("--debug", "-v", "publish", str(here), "--repo", REPO)
    done(start(hub, home, *argv, xet="0"))
    assert sorted(hub.stored) == sorted(large(here))
    assert not hub.count("/info/lfs/")
    hub.forget()
    out, _ = done(start(hub, home, *argv, xet="0"))
    assert "no commit was made" in out
    assert hub.received == 0
    assert not hub.count("xet-write-token")
    out, _ = done(start(hub, home, THERE_AND_BACK, str(here), str(tmp_path / "copy"), xet="0", python="-c"))
    assert out.split()[-4:] == ["10", "10", "5", "5"]
    require_no_token(hub, home)


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


def test_hubs_without_xet_and_whose_xet_is_damaged_or_silent(hub: Hub, folder: Path, tmp_path: Path) -> None:
    argv = ("--debug", "-v", "publish", str(folder), "--repo", REPO)
    _, err = done(start(hub, tmp_path / "home", *argv, xet="0"), 1)
    assert "this Hub does not know Xet: set HF_HUB_DISABLE_XET=1" in err
    hub.has_xet = True
    hub.faults = [Fault("POST /v1/xorbs", "flip", times=99)]
    _, err = done(start(hub, tmp_path / "home", *argv, xet="0"), 1)
    assert "the Hub's store answers 400: run the same command again" in err
    assert "Traceback" in err
    assert hub.objects == {}
    require_no_token(hub, tmp_path / "home")
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
