"""Reading from the Hub with its own client, in a process of its own, against a stand-in that counts every request."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pvit_data
from tests.hub_server import REPO, TOKEN, Hub, serve_hub
from tests.pvit_data.samples import SPACES, full_sample

ROOT = Path(__file__).parents[3]
SHARD = "mine/train-00000.tar"


def files(out: Path, seeds: range, folder: str = "") -> dict[str, bytes]:
    with pvit_data.ShardWriter(out, "mine", spaces=SPACES) as writer:
        for seed in seeds:
            writer.write(full_sample(seed))
    return {folder + p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as found:
        yield found


def start(hub: Hub, code: str, tmp_path: Path) -> subprocess.Popen[str]:
    """Runs code that has `say()` and `wait()` to go in step with the test."""
    head = """
import pickle, sys
import pvit_data
from pvit_data.errors import PvitError
from pvit_data.storage.storage import Storage
def say(*values): print(*values, flush=True)
def wait(): sys.stdin.readline()
"""
    own = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", head + code],
        env=os.environ | own,
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert TOKEN not in out + err
    assert "signature=" not in out + err
    return out.split("\n")[:-1]


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_ranges_move_their_bytes_and_a_file_is_resolved_once(hub: Hub, tmp_path: Path) -> None:
    found = files(tmp_path / "d", range(4))
    hub.push(found)
    process = start(
        hub,
        f"""
dataset = pvit_data.open("hf://datasets/{REPO}")
say(len(dataset.column("key")))
wait()
say(*[dataset.read(i % 4, ["boxes"]).boxes.xyxy.shape[0] for i in range(40)])
wait()
storage = Storage("hf://datasets/{REPO}")
say(storage.read_range("{SHARD}", 5000, 100).hex())
say(storage.read_range("README.md", 3, 7).hex(), storage.size("{SHARD}"))
""",
        tmp_path,
    )
    assert line(process) == "4"
    hub.asked.clear()
    hub.moved = 0
    go_on(process)
    assert line(process) == " ".join(["3"] * 40)
    assert hub.count("/resolve/") == 1
    assert hub.count("GET /store/") == 40
    assert len(hub.asked) == 41
    sizes = pvit_data.open(tmp_path / "d").members(0)
    assert hub.moved < 40 * (sum(sizes.values()) - sizes["rgb.mp4"])
    hub.moved = 0
    go_on(process)
    lines = finish(process)
    assert bytes.fromhex(lines[0]) == found[SHARD][5000:5100]
    assert lines[1] == f"{found['README.md'][3:10].hex()} {len(found[SHARD])}"
    assert hub.leaks == []


def test_addresses_that_expire_are_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    hub.push(files(tmp_path / "d", range(2), "inner/"))
    process = start(
        hub,
        f"""
dataset = pvit_data.open("hf://datasets/{REPO}@main/inner")
say(dataset[0].key)
wait()
say(dataset[1].key)
""",
        tmp_path,
    )
    assert line(process) == "mine-0000"
    hub.signature += 1
    hub.asked.clear()
    go_on(process)
    assert finish(process) == ["mine-0001"]
    assert hub.count("/resolve/") == 1
    assert hub.leaks == []


def test_a_push_while_reading_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    """A dataset, and the workers it is sent to, stay at the commit that was opened; opened again it is the new one."""
    hub.push(files(tmp_path / "a", range(3)))
    process = start(
        hub,
        f"""
dataset = pvit_data.open("hf://datasets/{REPO}")
say(dataset[0].key)
wait()
say(*[s.key for s in dataset], *[s.key for s in pickle.loads(pickle.dumps(dataset))])
say(*[s.key for s in pvit_data.open("hf://datasets/{REPO}")])
""",
        tmp_path,
    )
    assert line(process) == "mine-0000"
    hub.push(files(tmp_path / "b", range(5, 7)))
    go_on(process)
    first, second = finish(process)
    assert first.split() == ["mine-0000", "mine-0001", "mine-0002"] * 2
    assert second.split() == ["mine-0005", "mine-0006"]


def test_a_commit_that_is_gone_is_named(hub: Hub, tmp_path: Path) -> None:
    commit = hub.push(files(tmp_path / "a", range(3)))
    process = start(
        hub,
        f"""
dataset = pvit_data.open("hf://datasets/{REPO}")
say(dataset[0].key)
wait()
try:
    dataset[1]
except PvitError as error:
    say(type(error).__name__, error)
for action in (lambda: pvit_data.open("hf://datasets/{REPO}"), lambda: Storage("hf://datasets/x").create("a")):
    try:
        action()
    except PvitError as error:
        say(type(error).__name__, error)
""",
        tmp_path,
    )
    assert line(process) == "mine-0000"
    del hub.commits[commit]
    hub.push({})
    hub.signature += 1
    go_on(process)
    lines = finish(process)
    assert lines[0].startswith(f"StorageError hf://datasets/{REPO}/{SHARD}: there is no such revision")
    assert lines[0].endswith(f"(commit {commit[:10]})")
    assert lines[1].startswith(f"UsageError hf://datasets/{REPO} has no manifest.json")
    assert lines[2].startswith("UsageError cannot write to hf://datasets/x")


def test_shards_without_manifest_are_found_and_streamed(hub: Hub, tmp_path: Path) -> None:
    found = files(tmp_path / "d", range(2))
    hub.push({name: data for name, data in found.items() if name.endswith(".tar")})
    code = f"""
say(*[s.key for s in pvit_data.open("hf://datasets/{REPO}")])
say(Storage("hf://datasets/{REPO}").hash("{SHARD}", 1 << 30)[1])
"""
    lines = finish(start(hub, code, tmp_path))
    assert lines == ["mine-0000 mine-0001", hashlib.sha256(found[SHARD]).hexdigest()]


def test_validating_a_repository(hub: Hub, tmp_path: Path) -> None:
    found = files(tmp_path / "d", range(2))
    hub.push(found)
    hub.push(found | {SHARD: found[SHARD][:9000] + b"x" + found[SHARD][9001:]})
    code = f"""
from pvit_data.validate import validate
for commit in {list(hub.commits)}:
    report = validate("hf://datasets/{REPO}@" + commit, deep=True)
    say(*sorted(report.counts), *sorted({{p.key for p in report.problems if p.key}}))
"""
    process = start(hub, code, tmp_path)
    assert finish(process) == ["", "member-damaged shard-hash mine-0000"]


def test_a_hub_that_falters(hub: Hub, tmp_path: Path) -> None:
    """Status codes and cut connections that may pass are tried again; for good, they are named, without addresses."""
    hub.push(files(tmp_path / "d", range(4)))
    process = start(
        hub,
        f"""
from pvit_data.storage import remote
remote.WAITS, remote.MAX_WAIT = (0.01,) * 3, 0.01
dataset = pvit_data.open("hf://datasets/{REPO}")
say(dataset[0].key)
for row in (1, 2):
    wait()
    try:
        say(dataset[row].key)
    except PvitError as error:
        say(type(error).__name__, error)
""",
        tmp_path,
    )
    assert line(process) == "mine-0000"
    hub.failures = ["503", "cut", "429"]
    go_on(process)
    assert line(process) == "mine-0001"
    hub.failures = ["500"] * 9
    go_on(process)
    (last,) = finish(process)
    assert last.startswith(f"StorageError hf://datasets/{REPO}/{SHARD}: the server answers 500 (commit ")
    assert len(hub.failures) == 5


def test_batches_are_fetched_side_by_side(hub: Hub, tmp_path: Path) -> None:
    """Among threads, too, the address of a file is asked for once, and again when it has expired."""
    hub.push(files(tmp_path / "d", range(16)))
    process = start(
        hub,
        f"""
dataset = pvit_data.open("hf://datasets/{REPO}")
dataset.column("json_offset")
say("ready")
for workers in (0, 2):
    wait()
    clip = pvit_data.ClipConfig(num_frames=2, size=(16, 16))
    say(*[key for batch in pvit_data.eval_loader(dataset, clip, 16, workers=workers) for key in batch.keys])
""",
        tmp_path,
    )
    truth = " ".join(f"mine-{seed:04d}" for seed in range(16))
    assert line(process) == "ready"
    for signature in (0, 1):
        hub.asked.clear()
        hub.most, hub.wait, hub.signature = 0, 0.1, signature
        go_on(process)
        assert line(process) == truth
        assert hub.most > 3  # one after the other it is 1
        assert hub.count("/resolve/") == 1
        assert hub.count("GET /store/") <= 16 + 16 * signature  # once more where the address had expired
    assert finish(process) == []
    assert hub.leaks == []
