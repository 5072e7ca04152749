"""A raw layout of somebody else's is simulated through its entry point, with its own flags."""

import sys
from pathlib import Path

import pytest

from pvit_cli.data import main
from pvit_converters import registry, simulate
from pvit_data.errors import UsageError

MODULE = '''
from pvit_converters.simulate import Job, Simulator, Tree


def write(job: Job, *, word: str = "plain") -> Tree:
    """Writes a pantry.

    Args:
        job: what to write.
        word: what each file says.
    """
    job.out.mkdir(parents=True)
    count = job.samples or 2
    for number in range(count):
        (job.out / f"{number}.txt").write_text(f"{word} {job.seed}")
    return Tree(job.out, count, {"train": count})


SIMULATOR = Simulator("a pantry of words", write)
nothing = 3
'''


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "larder-1.0.dist-info").mkdir(parents=True)
    (site / "larder.py").write_text(MODULE)
    (site / "larder-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: larder\nVersion: 1.0\n")
    entries = "[pvit.simulators]\nlarder = larder:SIMULATOR\nbroken = larder:nothing\n"
    entries += "[pvit.converters]\nlarder = larder:SIMULATOR\n"
    (site / "larder-1.0.dist-info/entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "larder", raising=False)


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "raw"
    assert main(["simulate", "larder", str(out), "--samples", "3", "--seed", "5", "--word", "jam"]) == 0
    assert "3 samples (3 train)" in capsys.readouterr().out
    assert sorted(path.read_text() for path in out.iterdir()) == ["jam 5"] * 3


def test_it_is_listed_with_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"larder", "hypersim", "ssv2"} <= set(simulate.names())
    assert main(["simulate", "--help"]) == 0
    assert "larder" in capsys.readouterr().out
    assert main(["simulate", "larder", "--help"]) == 0
    assert "what each file says" in capsys.readouterr().out


def test_what_is_no_simulator_is_refused() -> None:
    with pytest.raises(UsageError, match=r"source 'broken': 3 is not a pvit_converters\.simulate\.Simulator"):
        simulate.load("broken")
    with pytest.raises(UsageError, match=r"unknown source 'lardr'. Nearest: 'larder'"):
        simulate.load("lardr")


def test_what_is_no_converter_is_refused() -> None:
    with pytest.raises(UsageError, match=r"source 'larder': .* is not a pvit_converters\.Converter class"):
        registry.load("larder")
    with pytest.raises(UsageError, match=r"unknown source 'lardr'. Nearest: 'larder'"):
        registry.load("lardr")
