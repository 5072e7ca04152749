"""The doctor: a sound machine has no problems, and each thing that is wrong is told with what helps."""

import json
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from pvit_cli.data import main
from pvit_data.errors import FormatError
from pvit_data.machine import software, system
from pvit_data.machine.checkup import LOOKS, checkup
from pvit_data.machine.finding import Finding

Usage = namedtuple("Usage", "total used free")


def only(findings: object, about: str) -> Finding:
    (found,) = (f for f in findings if f.about == about)  # type: ignore[attr-defined]
    return found


def test_this_machine_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) in (0, 1)
    told = json.loads(capsys.readouterr().out)
    states = {finding["about"]: finding["state"] for finding in told["findings"]}
    assert {"Python", "packages", "codecs", "cores", "open files", "index cache", "Hub cache"} <= states.keys()
    assert (states["packages"], states["codecs"], states["temporary files"]) == ("ok", "ok", "ok")
    assert told["ok"] == ("problem" not in states.values())


def test_problems_decide_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fine, odd = Finding("cores", "note", "1 core", "ask for more"), Finding("codecs", "problem", "broken", "mend it")
    for found, code, last in (([fine], 0, "No problems."), ([fine, odd], 1, "1 problem")):
        monkeypatch.setattr("pvit_data.machine.checkup.LOOKS", {"all": lambda found=found: iter(found)})
        assert main(["doctor"]) == code
        out = capsys.readouterr().out
        assert out.splitlines()[-1] == last
        assert all(f"-> {finding.remedy}" in out for finding in found)


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        raise OSError("libcuda.so: cannot open shared object file")

    monkeypatch.setitem(LOOKS, "GPU", broken)
    found = only(checkup(), "GPU")
    assert (found.state, "libcuda.so" in found.found) == ("problem", True)


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "dask":
            raise metadata.PackageNotFoundError(name)
        return {"av": "13.1.0", "torch": "2.5.0"}.get(name) or real(name)

    monkeypatch.setattr(software.metadata, "version", version)
    found = [*software.look_at_packages()]
    needed, train, dask = (only(found, name) for name in ("packages", "extra [train]", "extra [dask]"))
    assert (needed.state, needed.found) == ("problem", "missing or too old: av>=14 (there is 13.1.0)")
    assert needed.remedy == "pip install -U pvit-toolkit"
    assert (train.state, "torch>=2.6 (there is 2.5.0)" in train.found) == ("note", True)
    assert (dask.state, "dask>=" in dask.found, "pvit-toolkit[dask]" in dask.remedy) == ("note", True, True)


def test_broken_and_lacking_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "_decodes", lambda name: name != "hevc")
    (found,) = software.look_at_codecs()
    assert (found.state, "no decoder for hevc" in found.found) == ("note", True)

    def broken(*_: object) -> bytes:
        raise FormatError("no encoder libx264")

    monkeypatch.setattr("pvit_data.codecs.video.encode_video", broken)
    (found,) = software.look_at_codecs()
    assert (found.state, "libx264" in found.found, "--only-binary" in found.remedy) == ("problem", True, True)


def test_torch_is_imported_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(software.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
    (found,) = software.look_at_gpu()
    assert (found.state, "not installed" in found.found, "[train]" in found.remedy) == ("note", True, True)


def test_a_card_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    Card = namedtuple("Card", "name total_memory")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card("H100", 80 << 30))
    (found,) = software.look_at_gpu()
    assert (found.state, found.found) == ("ok", "H100, 80.0 GiB, bf16")


@pytest.mark.parametrize(("card", "state"), [(True, "problem"), (False, "note")])
def test_a_card_that_torch_cannot_use(card: bool, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(software, "DRIVER", str(tmp_path if card else tmp_path / "none"))
    (found,) = software.look_at_gpu()
    assert found.state == state
    assert found.remedy


def test_what_a_container_grants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text("50000 100000\n")
    monkeypatch.setattr(system, "QUOTA", quota)
    (cores,) = system.look_at_cores()
    assert (cores.state, "0.5 of them" in cores.found) == ("note", True)
    quota.write_text("max 100000\n")
    assert "granted" not in next(system.look_at_cores()).found
    monkeypatch.setattr(system, "SHARED", tmp_path)
    for free, state in ((64 << 20, "problem"), (8 << 30, "ok")):
        monkeypatch.setattr(system.shutil, "disk_usage", lambda path, free=free: Usage(free, 0, free))
        assert next(system.look_at_memory()).state == state
    monkeypatch.setattr(system, "SHARED", tmp_path / "none")
    assert [*system.look_at_memory()] == []
    for limits, state in (((256, 4096), "note"), ((1024, -1), "ok"), ((-1, -1), "ok")):
        monkeypatch.setattr(system.resource, "getrlimit", lambda _, limits=limits: limits)
        assert next(system.look_at_files()).state == state


def test_caches_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "new/folder"))
    assert only(system.look_at_caches(), "index cache").state == "ok"
    assert not (tmp_path / "new").exists()
    (tmp_path / "other/indices").mkdir(parents=True)
    (tmp_path / "other/indices/thesis.doc").write_text("mine")
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "other"))
    found = only(system.look_at_caches(), "index cache")
    assert (found.state, "PVIT_CACHE" in found.remedy) == ("note", True)
    monkeypatch.setattr(system, "_is_writable", lambda folder: False)
    found = only(system.look_at_caches(), "temporary files")
    assert (found.state, "TMPDIR" in found.remedy) == ("problem", True)
    monkeypatch.setattr(system, "_is_writable", lambda folder: True)
    monkeypatch.setattr(system.shutil, "disk_usage", lambda path: Usage(1, 1, 1000))
    assert only(system.look_at_caches(), "Hub cache").state == "note"
