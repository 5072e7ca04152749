"""The command pvit-data end to end: what it says, and how it ends, on good and on bad input."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pvit_data
from pvit_cli.data import main
from pvit_converters.simulate import simulate

COMMAND = [sys.executable, "-c", "from pvit_cli.data import main; raise SystemExit(main())"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("raw") / "hypersim"
    simulate("hypersim", raw, samples=20, seed=3, preset="tiny", traps=False)
    return raw


@pytest.fixture
def raw(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "raw"))


def depth_files(raw: Path) -> list[Path]:
    return sorted(raw.rglob("*.depth_meters.hdf5"))


def only_frame(raw: Path) -> Path:
    """Leaves one frame in the tree and returns its depth file."""
    keep = depth_files(raw)[0]
    prefix = ".".join(keep.name.split(".")[:2])
    for path in raw.glob("ai_*/images/*/*"):
        if path.parent.parent.parent != keep.parent.parent.parent or not path.name.startswith(f"{prefix}."):
            path.unlink()
    return keep


def check(argv: list[str], code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> str:
    """Runs the command; an error must be one line on stderr that holds the parts."""
    assert main([str(a) for a in argv]) == code
    out, err = capsys.readouterr()
    text = err if code else out
    for part in parts:
        assert part in text
    if code:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
    return out


def test_help_is_quick_and_light() -> None:
    code = "import sys; from pvit_cli.data import main; main(['--help']); heavy = 'torch av dask distributed datasets "
    code += "webdataset'.split(); print([m for m in heavy if m in sys.modules])"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 3  # a second on an idle machine
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("sources", "simulate", "convert", "finish"):
        assert name in done.stdout


def test_converting_and_reading_need_no_torch(pristine: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = sys.modules["pvit_model"] = None
from pvit_cli.data import main
assert main(["convert", "hypersim", {str(pristine)!r}, {str(tmp_path / "out")!r}]) == 0
import pvit_data
assert len([s.depth for s in pvit_data.open({str(tmp_path / "out")!r})]) == 20
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_convert_and_convert_again(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    check(["convert", "hypersim", raw, out], 0, capsys, "hypersim: 20 samples converted", "next: pvit-data show")
    stamp = (out / "hypersim/train-00000.tar").stat().st_mtime_ns
    text = check(["convert", "hypersim", raw, out, "--json"], 0, capsys)
    report = json.loads(text)
    assert (report["converted"], report["failed"], report["complete"]) == (20, {}, True)
    assert (out / "hypersim/train-00000.tar").stat().st_mtime_ns == stamp
    assert len(pvit_data.open(str(out))) == 20


def test_one_corrupt_of_twenty(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = depth_files(raw)[7]
    broken.write_bytes(broken.read_bytes()[:-300])
    out = check(["convert", "hypersim", raw, tmp_path / "out"], 0, capsys, "19 samples converted", "1 x corrupt-hdf5")
    assert broken.name in out
    assert len(pvit_data.open(str(tmp_path / "out"))) == 19
    report = json.loads((tmp_path / "out/hypersim/report.json").read_text())
    assert [f["reason"] for f in report["failures"]] == ["corrupt-hdf5"]


def test_too_many_corrupt(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for broken in depth_files(raw)[:3]:
        broken.write_bytes(b"no HDF5")
    argv = ["convert", "hypersim", raw, tmp_path / "out"]
    check(argv, 1, capsys, "3 of 20 samples", "--max-failed 10 percent", "--retry-failed", "report.json", "frame.")
    check(
        [*argv, "--max-failed", "20"], 0, capsys, "17 samples converted", "--retry-failed converts these shards again"
    )


def test_only_frame_truncated(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = only_frame(raw)
    path.write_bytes(path.read_bytes()[:1000])
    argv = ["convert", "hypersim", raw, tmp_path / "out"]
    check(argv, 1, capsys, "nothing could be converted", path.name, "damaged or truncated")


def test_links_out_of_the_root(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = only_frame(raw)
    path.rename(tmp_path / "elsewhere.hdf5")
    path.symlink_to(tmp_path / "elsewhere.hdf5")
    argv = ["convert", "hypersim", raw, tmp_path / "out"]
    check(argv, 1, capsys, path.name, f"a link leads to {tmp_path}/elsewhere.hdf5", "--follow-links")
    check([*argv, "--follow-links"], 0, capsys, "1 sample converted")


def test_only_frame_with_unreadable_jpeg(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only_frame(raw)
    (jpeg,) = raw.rglob("*.tonemap.jpg")
    jpeg.write_bytes(jpeg.read_bytes()[:200])
    argv = ["convert", "hypersim", raw, tmp_path / "out", "--rgb", "jpg"]
    check(argv, 1, capsys, "nothing could be converted", jpeg.name, "JPEG")


@pytest.mark.parametrize(
    ("argv", "code", "parts"),
    [
        (["convert", "hypersim", "{tmp}/nowhere", "{tmp}/out"], 1, ["nowhere: no such folder"]),
        (["convert", "hypersim", "{tmp}", "{tmp}/out"], 1, ["not a Hypersim tree", "ai_VVV_NNN"]),
        (["convert", "ssv2", "{tmp}", "{tmp}/out"], 1, ["not an SSv2 tree", "20bn-something-something-v2"]),
        (
            ["convert", "hypersin", "{raw}", "{tmp}/out"],
            2,
            ["unknown source 'hypersin'", "Nearest: 'hypersim'", "ssv2"],
        ),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--evry", "2"], 2, ["no option '--evry'", "'--every'"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--every", "0"], 2, ["--every"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--split", "training"], 2, ["--split"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--scenes", "ai_777_001"], 1, ["no frame to convert"]),
        (
            ["convert", "hypersim", "{raw}", "{tmp}/out", "--metadata", "{tmp}/gone"],
            1,
            ["--metadata", "no such folder"],
        ),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--shard-size", "huge"], 2, ["--shard-size huge", "256MB"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--encode", "depth"], 2, ["FIELD=CODEC"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--encode", "depth=jpeg"], 2, ["jpeg"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--max-failed", "many"], 2, ["--max-failed many"]),
        (["convert", "hypersim", "{raw}", "{tmp}/out", "--filter", "zzz"], 2, ["--filter zzz"]),
        (["convert", "hypersim", "{raw}", "ftp://host/x"], 2, ["ftp"]),
        (["convert", "hypersim", "{raw}"], 2, ["Missing argument"]),
        (["simulate", "hypersin", "{tmp}/x"], 2, ["unknown source 'hypersin'", "hypersim"]),
        (["simulate", "hypersim", "{raw}"], 2, ["not an empty folder"]),
        (["simulate", "surreact", "{tmp}/x", "--views", "0,left"], 2, ["--views: 'left' is not of type int"]),
        (["simulate", "surreact", "{tmp}/x", "--views", "0,50"], 2, ["two or more of", "(0, 50)"]),
        (["finish", "{tmp}"], 2, ["no conversion to finish"]),
        (["sources", "hypersin"], 2, ["Nearest: 'hypersim'"]),
        (["convrt"], 2, ["convrt", "'convert'"]),
    ],
)
def test_bad_input_is_one_line(
    argv: list[str], code: int, parts: list[str], pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check([a.format(tmp=tmp_path, raw=pristine) for a in argv], code, capsys, *parts)
    assert not (tmp_path / "out").exists()


def test_other_options_lose_nothing(pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["convert", "hypersim", pristine, tmp_path / "out"]
    check(argv, 0, capsys)
    check([*argv, "--every", "2"], 2, capsys, "every: 1 there, 2 now", "--overwrite")
    assert len(pvit_data.open(str(tmp_path / "out"))) == 20


def test_a_full_disk_is_one_line(pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, old[1]))
        check(["convert", "hypersim", pristine, tmp_path / "out"], 1, capsys, "hypersim/train-00000.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    check(["convert", "hypersim", pristine, tmp_path / "out"], 0, capsys, "20 samples converted")


def test_unwritable_output(pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    check(["convert", "hypersim", pristine, tmp_path / "file/out"], 1, capsys, "file/out")


def test_stopping_exits_75_and_the_same_command_continues(pristine: Path, tmp_path: Path) -> None:
    argv = [*COMMAND, "convert", "hypersim", str(pristine), str(tmp_path / "out"), "--shard-size", "1kB"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").rglob("*.tar")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    if process.returncode != 0:  # it may have been quicker
        assert process.returncode == 75
        assert err.startswith("error: ")
        assert "the same command continues" in err
        assert err.count("\n") == 1
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "20 samples converted" in done.stdout


def test_ctrl_c_stops_every_process_quietly(pristine: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches the workers too; only the command itself may answer."""
    argv = [*COMMAND, "convert", "hypersim", str(pristine), str(tmp_path / "out"), "--shard-size", "1kB"]
    process = subprocess.Popen(
        [*argv, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list((tmp_path / "out").rglob("*.tar")) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if process.returncode != 0:
        lines = [line for line in err.splitlines() if not line.startswith("convert hypersim: ")]  # progress
        assert process.returncode == 75
        assert lines == [f"error: {tmp_path / 'out'}: stopped; finished shards are kept, the same command continues"]


def test_dry_run(pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["convert", "hypersim", pristine, tmp_path / "out", "--dry-run"]
    check(argv, 0, capsys, "20 samples would be converted", "tried 5 samples, 5 succeeded")
    assert json.loads(check([*argv, "--json"], 0, capsys))["tried"] == 5
    assert not (tmp_path / "out").exists()


def test_job_array_and_finish(pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["convert", "hypersim", pristine, tmp_path / "out", "--num-tasks", "3"]
    check([*argv, "--task-index", "0"], 0, capsys, "unfinished", "the other tasks")
    check(["finish", tmp_path / "out"], 1, capsys, "are missing", "--partial")
    check([*argv, "--task-index", "1"], 0, capsys)
    check([*argv, "--task-index", "2"], 0, capsys, "20 samples converted")
    check(["finish", tmp_path / "out"], 0, capsys, "manifest.json is up to date")
    assert len(pvit_data.open(str(tmp_path / "out"))) == 20


def test_sources_and_simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(["sources"], 0, capsys, "hypersim", "ssv2", "CC-BY-SA-3.0")
    check(["sources", "ssv2"], 0, capsys, "must not be published", "--val-list", "validation,test}.json")
    listed = json.loads(check(["sources", "--json"], 0, capsys))
    assert {s["name"] for s in listed} >= {"hypersim", "ssv2"}
    raw = tmp_path / "raw"
    check(["simulate", "ssv2", raw, "--samples", "14", "--preset", "tiny"], 0, capsys, "14 samples", "next: pvit-data")
    check(["convert", "ssv2", raw, tmp_path / "out", "--no-verify", "--limit", "3"], 0, capsys, "3 samples converted")
    assert {s.action for s in pvit_data.open(str(tmp_path / "out"))} <= set(range(8))
