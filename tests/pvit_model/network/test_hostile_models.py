"""Models of strangers: what a configuration or a header claims is compared with the bytes that are there."""

import io
import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvit_data.errors import ConfigError, FormatError, PvitError, SourceError
from pvit_model import create_model, load_backbone_checkpoint
from pvit_model.network.inference import Inference
from pvit_model.network.save import read_config
from pvit_model.network.tensor_file import load_tensors, shapes_in
from pvit_model.using.loading import load_model, run_facts

MEASURE = """
import sys, time
from pathlib import Path
from pvit_data.errors import PvitError
from pvit_model.using.loading import load_model
from pvit_model import load_backbone_checkpoint, create_model
network = create_model("mvitv2_xxs")
for path in sys.argv[1:]:
    began = time.process_time()
    try:
        load_backbone_checkpoint(network, path) if path.endswith(".pth") else load_model(path)
    except PvitError as error:
        print("refused:", error)
    assert time.process_time() - began < 10, path
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line))
"""


def refused_within_bounds(paths: list[Path]) -> None:
    """In a child process: each in less than 10 s, and 1.5 GB for all."""
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    *refusals, peak = done.stdout.splitlines()
    assert len(refusals) == len(paths)
    assert int(peak) < 1_500_000


@pytest.fixture
def model(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of a trained network's folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (run_folder / "model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_bytes(json.dumps(json.loads(path.read_bytes()) | values).encode())


CLAIMS: dict[str, dict[str, Any]] = {
    "classes": {"num_classes": 3_000_000_000},
    "2 to the 70": {"num_classes": 2**70},
    "width": {"backbone_options": {"embed_dim": 1 << 40, "clip": [8, 32, 32]}},
    "negative": {"backbone_options": {"embed_dim": -8, "clip": [8, 32, 32]}},
    "text": {"backbone_options": {"depth": "deep"}},
    "depth": {"backbone_options": {"depth": 10**9}},
    "depth 512": {"backbone_options": {"depth": 512, "clip": [8, 32, 32]}},
    "stages": {"backbone_options": {"stages": [0] * 100_000}},
    "tasks": {"tasks": [f"boxes/{i}" for i in range(60)]},
    "many tasks": {"tasks": [f"boxes/{i}" for i in range(5000)]},
    "boxes": {"num_boxes": 10**12},
    "prompts": {"prompts_per_task": 10**12},
    "dense layers": {"dense_layers": [0] * 10_000},
    "space": {"segm_spaces": {"things": 10**10}},
    "list": {"backbone": ["x"]},
    "unknown": {"backbone": "none_of_ours"},
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_configuration_is_compared_before_anything_is_made(name: str, model: Path) -> None:
    change(model / "config.json", **CLAIMS[name])
    with pytest.raises(PvitError) as caught:
        load_model(str(model))
    assert "\n" not in str(caught.value)


def test_the_message_names_the_tensor_and_both_shapes(model: Path) -> None:
    change(model / "config.json", num_classes=3_000_000)
    change(model / "inference.json", action=None)
    with pytest.raises(SourceError, match=r"head\.bias.* has shape \(3,\) in the weights and has shape \(3000000,\)"):
        load_model(str(model))


def claim_in_both(folder: Path, classes: int = 20_000_000) -> None:
    """Configuration and header agree on 10 GB, of which the file holds some kilobytes."""
    change(folder / "config.json", num_classes=classes)
    change(folder / "inference.json", action=None)
    path = folder / "model.safetensors"
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8:begin])
    for name in ("head.weight", "head.bias"):
        tensors[name]["shape"][0] = classes
    text = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[begin:])


def test_a_header_is_compared_with_the_file(model: Path) -> None:
    claim_in_both(model, 4)
    with pytest.raises(FormatError, match=r"model\.safetensors: cannot be read \(.*; save or download it again"):
        load_model(str(model))
    with pytest.raises(FormatError, match=r"model\.safetensors: cannot be read"):
        shapes_in(model / "model.safetensors")


@pytest.mark.parametrize("where", ["~nobody-of-this-name/run", "~nobody-of-this-name", "a\0b", "a" * 5000])
def test_places_where_no_model_can_be(where: str) -> None:
    with pytest.raises(PvitError, match=r"no model in|no folder"):
        load_model(where)


def test_a_claim_costs_no_memory(model: Path, tmp_path: Path) -> None:
    folders = [shutil.copytree(model, tmp_path / name) for name in (*CLAIMS, "both")]
    claim_in_both(folders.pop())
    for folder in folders:
        change(folder / "config.json", **CLAIMS[folder.name])
    folders.append(tmp_path / "both")
    refused_within_bounds(folders)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clip": {"num_frames": 10**9}}, "num_frames"),
        ({"clip": {"num_frames": 4096, "size": [8192, 8192]}}, "at most"),
        ({"crops": 10**6}, "crops"),
        ({"action": {"name": "a", "classes": ["x"], "first": 2 * 10**9}}, "ids 2000000000"),
        ({"action": {"name": "a", "classes": ["x"] * 70_000}}, r"inference\.json: .*expected 0\.\.65534"),
        ({"action": {"name": "a", "classes": ["x", "y"]}}, "2 ids, the network has 3"),
        ({"action": {"name": "a", "classes": [2**70]}}, "larger"),
        ({"loss_options": json.loads("[" * 60 + "]" * 60)}, "nested"),
    ],
)
def test_what_is_stored_beside_a_network_is_checked(values: dict[str, Any], said: str, model: Path) -> None:
    change(model / "inference.json", **values)
    with pytest.raises(FormatError, match=said):
        load_model(str(model))


HEADERS = {
    "empty": b"",
    "short": b"\x01",
    "claims 2**63": struct.pack("<Q", 1 << 63) + b"{}",
    "claims 100 MB": struct.pack("<Q", 100_000_000) + b"{}",
    "no json": struct.pack("<Q", 4) + b"{{{{",
    "list": struct.pack("<Q", 2) + b"[]",
    "deep": struct.pack("<Q", 9000) + b"[" * 9000,
    "number": struct.pack("<Q", 8) + b'{"a": 1}',
}


def header(entry: Any) -> bytes:
    text = json.dumps({"a": entry}).encode()
    return struct.pack("<Q", len(text)) + text


HEADERS |= {
    "huge shape": header({"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}),
    "no bytes": header({"dtype": "F32", "shape": [1 << 30], "data_offsets": [0, 1 << 32]}),
    "negative": header({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}),
    "overlap": header({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}),
    "dtype": header({"dtype": "F1024", "shape": [1], "data_offsets": [0, 4]}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_claims_more_than_is_there_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(HEADERS[name])
    with pytest.raises(FormatError, match=r"model\.safetensors"):
        load_tensors(path)


def test_weights_are_regular_files(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/dev/zero")
    with pytest.raises(FormatError, match="not a regular file"):
        shapes_in(tmp_path / "a")
    with pytest.raises(FormatError, match="No such file"):
        shapes_in(tmp_path / "b")


class Grows:
    """What a hostile pickle holds: an empty byte array of any size, which needs no code to be run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (1 << 33,)


def packed(data: bytes, name: str = "archive/data.pkl", kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        archive.writestr(name, data)
        archive.writestr("archive/version", "3")
    return out.getvalue()


def saved(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


CHECKPOINTS = {
    "packed": packed(bytes(64 << 20)),
    "byte array": packed(pickle.dumps({"a": Grows()}, 2), kind=zipfile.ZIP_STORED),
    "byte array, old form": pickle.dumps({"a": Grows()}, 2),
    "stretched": saved({"head.weight": torch.zeros(1).expand(1 << 40)}),
    "no zip": b"PK\x03\x04" + bytes(100),
    "empty": b"",
    "text": b"hello",
}


def test_a_checkpoint_takes_no_more_than_its_bytes(tmp_path: Path) -> None:
    for name, data in CHECKPOINTS.items():
        (tmp_path / f"{name}.pth").write_bytes(data)
    refused_within_bounds([tmp_path / f"{name}.pth" for name in CHECKPOINTS])


def test_what_torch_saves_passes(tmp_path: Path) -> None:
    network = create_model("mvitv2_xxs", num_classes=7)
    for number, old_form in enumerate((False, True)):
        path = tmp_path / f"{number}.pth"
        torch.save(network.backbone.state_dict(), path, _use_new_zipfile_serialization=not old_form)
        assert load_backbone_checkpoint(network, path).fresh == ["head.weight", "head.bias"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TOUCHED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@TOUCHED
@given(data=st.data())
def test_any_configuration_gives_values_or_our_own_error(data: st.DataObject, run_folder: Path, tmp_path: Path) -> None:
    for name, read in (("config.json", read_config), ("inference.json", Inference.load)):
        values = json.loads((run_folder / "model" / name).read_text())
        key = data.draw(st.sampled_from(sorted(values)))
        values[key] = data.draw(JSON)
        (tmp_path / name).write_text(json.dumps(values))
        try:
            read(tmp_path)
        except PvitError as error:
            assert "\n" not in str(error)  # noqa: PT017


@TOUCHED
@given(data=st.data())
def test_any_configuration_of_a_network_is_refused_or_fits(
    data: st.DataObject, run_folder: Path, tmp_path: Path
) -> None:
    for path in (run_folder / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    values = json.loads((tmp_path / "config.json").read_text())
    options = values["backbone_options"] | data.draw(
        st.dictionaries(st.sampled_from(["depth", "embed_dim", "heads", "stages", "clip"]), JSON, max_size=2)
    )
    (tmp_path / "config.json").write_text(json.dumps(values | {"backbone_options": options}))
    try:
        load_model(str(tmp_path))
    except PvitError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(st.binary(max_size=200))
def test_any_bytes_are_tensors_or_our_own_error(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(struct.pack("<Q", len(data)) + data)
        try:
            load_tensors(path)
        except PvitError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "report",
    ["[", "[]", '{"reports": 3}', '{"reports": [{"source": 1}]}', "[" * 5000, f'{{"reports": {2**70}}}', "\udcff"],
)
def test_reports_of_runs_are_checked(report: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(report.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=r"report\.json"):
        run_facts(str(tmp_path))


def test_a_deep_configuration_is_refused(model: Path) -> None:
    (model / "config.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="nested too deep"):
        load_model(str(model))
