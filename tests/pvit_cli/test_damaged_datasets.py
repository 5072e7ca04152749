"""R5: on every kind of damaged dataset a command ends with one line and the right exit code, never with a traceback."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_cli.data import main
from tests.pvit_data.samples import SPACES, bare_sample, full_sample
from tests.pvit_data.validate.test_validate import DAMAGE, INDEX, SHARD, WARNINGS

pytestmark = pytest.mark.torture


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def other_version(out: Path) -> None:
    """A shard as a later run with other samples wrote it."""
    with pvit_data.ShardWriter(out / "later", "mine", "train", spaces=SPACES) as writer:
        writer.write(full_sample(5))
    shutil.copy(out / "later" / SHARD, out / SHARD)
    shutil.rmtree(out / "later")


# What is damaged, the exit code of `validate`, and of a command that reads samples.
MORE: dict[str, tuple[Callable[[Path], Any], int, int]] = {
    "shard of another run": (other_version, 1, 1),
    "shard cut to nothing": (lambda d: (d / SHARD).write_bytes(b""), 1, 1),
    "shard that is a folder": (lambda d: (d / SHARD).unlink() or (d / SHARD).mkdir(), 1, 1),
    "shard that links nowhere": (lambda d: (d / SHARD).unlink() or (d / SHARD).symlink_to("/nowhere"), 1, 1),
    "index of zeros": (lambda d: (d / INDEX).write_bytes(bytes(1000)), 1, 1),
    "index that is text": (lambda d: (d / INDEX).write_text("key,shard\n"), 1, 1),
    "manifest empty": (lambda d: (d / "manifest.json").write_bytes(b""), 1, 1),
    "manifest of another program": (lambda d: (d / "manifest.json").write_text('{"name": "app"}'), 1, 1),
    "manifest without a version": (lambda d: replaced(d / "manifest.json", '"version"', '"fashion"'), 1, 1),
    "manifest that is a list": (lambda d: (d / "manifest.json").write_text("[1]"), 1, 1),
    "manifest nested deeply": (lambda d: (d / "manifest.json").write_text("[" * 100_000), 1, 1),
    "manifest that is a folder": (lambda d: (d / "manifest.json").unlink() or (d / "manifest.json").mkdir(), 1, 2),
    "everything gone but one shard": (lambda d: keep_only(d, SHARD), 1, 2),
    "nothing there": (lambda d: keep_only(d, "nothing"), 2, 2),
}  # fmt: skip


def keep_only(out: Path, name: str) -> None:
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_file() and path != out / name:
            path.unlink()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("damaged") / "data"
    with pvit_data.ShardWriter(out, "mine", "train", spaces=SPACES, shard_bytes=1) as writer:
        for seed in (0, 1, 2):
            writer.write(full_sample(seed))
    with pvit_data.ShardWriter(out, "mine", "val", spaces=SPACES) as writer:
        writer.write(full_sample(8))
    with pvit_data.ShardWriter(out, "other", "train") as writer:
        writer.write(bare_sample(20))
    return out


def ends(argv: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """The exit code; an error is one line on stderr that names a file or folder."""
    code = main(argv)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if code == 0 or (argv[0] == "validate" and code == 1):
        assert err == ""
        assert out
    else:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert argv[1] in err or "mine/" in err or "other/" in err, err
    return code


@pytest.mark.parametrize("name", [*DAMAGE, *MORE])
def test_r5_damage_at_the_command_line(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(folder, tmp_path / "data"))
    damage = (DAMAGE.get(name) or MORE[name])[0]
    damage(out)
    expected, reads = MORE[name][1:] if name in MORE else (0 if name in WARNINGS else 1, None)
    assert ends(["validate", str(out)], capsys) == expected
    assert ends(["stats", str(out)], capsys) in (0, 1, 2)
    assert ends(["show", str(out), "0"], capsys) in ((0, 1, 2) if reads is None else (reads,))
