"""Weights of other people: wrapped, beside other objects, damaged, with heads of other classes."""

import argparse
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pvit_data import LabelSpace
from pvit_data.errors import SourceError
from pvit_model import create_model, load_backbone_checkpoint
from pvit_model.network.class_rows import kinetics400, published_classes, ssv2
from pvit_model.network.pvit import PViT
from pvit_model.network.state_file import open_state
from pvit_model.network.tensor_file import save_tensors

SMALL: dict[str, Any] = {"depth": 1, "stages": (), "dense_layers": (0,), "embed_dim": 8, "clip": (4, 32, 32)}


def small(num_classes: int, **options: Any) -> PViT:
    return create_model("mvitv2_xxs", num_classes=num_classes, **(SMALL | options))


@pytest.fixture
def given() -> dict[str, torch.Tensor]:
    """Backbone and head under their published names."""
    torch.manual_seed(3)
    state = small(174).state_dict()
    names = [n for n in state if n.startswith(("backbone.", "head."))]
    return {n.removeprefix("backbone."): torch.randn_like(state[n]) for n in names}


WRAPPED = {
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "compiled, in parallel": lambda s: {"model_state": {f"module._orig_mod.{k}": v for k, v in s.items()}},
    "sharded": lambda s: {f"_fsdp_wrapped_module.{k}": v for k, v in s.items()},
    "sharded by block": lambda s: {k.replace("blocks.0.", "blocks.0._fsdp_wrapped_module."): v for k, v in s.items()},
    "model_state_dict": lambda s: {"model_state_dict": s, "epoch": 3},
    "module": lambda s: {"module": s},
    "twice": lambda s: {"model": {"state_dict": s}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped(given: dict[str, torch.Tensor], kind: str, tmp_path: Path) -> None:
    torch.save(WRAPPED[kind](given), tmp_path / "a.pth")
    model = small(174)
    report = load_backbone_checkpoint(model, tmp_path / "a.pth")
    assert (report.resized, report.fresh, report.unused) == ([], [], [])
    own = model.state_dict()
    assert all(torch.equal(own[n if n.startswith("head.") else f"backbone.{n}"], v) for n, v in given.items())


@pytest.mark.parametrize("kind", [*WRAPPED, "the network itself"])
def test_other_objects_are_named_and_never_run(given: dict[str, torch.Tensor], kind: str, tmp_path: Path) -> None:
    """And the command that the message gives saves what is wanted, wherever in the file it lies."""
    path = tmp_path / "a.pth"
    content = {"model": small(174)} if kind not in WRAPPED else WRAPPED[kind](given)
    content |= {"args": argparse.Namespace(lr=1), "best": np.float64(0.5)}
    torch.save(content, path)
    with pytest.raises(SourceError, match=r"other objects beside its tensors .argparse\.Namespace") as caught:
        load_backbone_checkpoint(small(174), path)
    assert "\x1b" not in str(caught.value)
    command = re.search(r'python -c "(.*)"', str(caught.value))
    assert command is not None
    exec(command[1].replace("plain.pth", str(tmp_path / "plain.pth")), {})
    assert load_backbone_checkpoint(small(174), tmp_path / "plain.pth").fresh == []


def test_damaged_tensors_are_named(given: dict[str, torch.Tensor]) -> None:
    name = next(n for n in given if n.endswith("mlp.fc1.weight"))
    model = small(174)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(SourceError, match=f"tensor '{name}' is a single number"):
        load_backbone_checkpoint(model, given | {name: torch.tensor(1.0)})
    bad = given[name].clone()
    bad[0, :3] = torch.nan
    with pytest.raises(SourceError, match=f"tensor '{name}' holds 3 values that are not finite"):
        load_backbone_checkpoint(model, given | {name: bad})
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert load_backbone_checkpoint(model, given | {"logit_scale": torch.tensor(1.0)}).unused == ["logit_scale"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.to(torch.int8), "holds int8, expected weights of 16, 32 or 64 bits"),
        (lambda w: w.to(torch.complex64), "holds complex64, expected weights"),
        (lambda w: w.to(torch.float8_e4m3fn), "holds float8_e4m3fn, expected weights"),
        (lambda w: w.to("meta"), "is without values"),
        (lambda w: w.to_sparse(), "is sparse or quantised; expected plain weights"),
    ],
)
def test_tensors_that_are_no_weights_are_named(
    change: Callable[[torch.Tensor], torch.Tensor], said: str, given: dict[str, torch.Tensor]
) -> None:
    name = next(n for n in given if n.endswith("mlp.fc1.weight"))
    with pytest.raises(SourceError, match=rf"tensor '{name}' {said}"):
        load_backbone_checkpoint(small(174), given | {name: change(given[name])})


def test_two_weights_of_one_name_and_unknown_containers_are_told(given: dict[str, torch.Tensor]) -> None:
    both = given | {f"module.{name}": value for name, value in given.items()}
    assert load_backbone_checkpoint(small(174), both).fresh == []
    name = next(n for n in given if n.endswith("mlp.fc1.weight"))
    with pytest.raises(SourceError, match=f"holds two weights '{name}': '{name}' and 'module.{name}'"):
        load_backbone_checkpoint(small(174), both | {f"module.{name}": given[name] + 1})
    with pytest.raises(SourceError, match=r"no tensors; .*; those under 'teacher', 'student' may be meant"):
        load_backbone_checkpoint(small(174), {"teacher": given, "student": given, "epoch": 3})


def test_tables_are_the_published_ones() -> None:
    """By published figures: sizes, alphabetical order, the pairs of SSv2 that a flip exchanges."""
    names = ssv2()
    assert (len(names), len(kinetics400()), list(names)) == (174, 400, sorted(names))
    for left, right in ((86, 87), (93, 94)):
        assert names[left].replace("left to right", "right to left") == names[right]
    assert (names[166], names[167]) == (names[167].replace("right", "left"), names[166].replace("left", "right"))
    assert names[173] == "Wiping something off of something"


def test_a_head_follows_the_names(given: dict[str, torch.Tensor]) -> None:
    """The file's head has SSv2's 174 classes in their order; the user has three of them in another."""
    mine = LabelSpace("mine", (ssv2()[173], ssv2()[0], ssv2()[86]))
    model = small(3)
    report = load_backbone_checkpoint(model, given, classes=mine)
    assert report.resized == ["head.weight", "head.bias"]
    assert torch.equal(model.head.weight, given["head.weight"][[173, 0, 86]])
    assert torch.equal(model.head.bias, given["head.bias"][[173, 0, 86]])


def test_a_head_of_unknown_classes_is_left_fresh(given: dict[str, torch.Tensor]) -> None:
    """As many classes as SSv2 are not SSv2's classes."""
    mine = LabelSpace("mine", tuple(f"class {i}" for i in range(174)))
    model = small(174)
    before = model.head.weight.detach().clone()
    report = load_backbone_checkpoint(model, given, classes=mine)
    assert report.fresh == [f"head.{name} (the file does not name its classes)" for name in ("weight", "bias")]
    assert torch.equal(model.head.weight, before)
    assert published_classes(174, mine.classes) is None


def test_a_container_is_told_by_its_bytes(given: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """Whatever its name; a header of 128 bytes begins as a pickle does."""
    save_tensors(tmp_path / "a.pth", given)
    torch.save(given, tmp_path / "b.safetensors")
    torch.save(given, tmp_path / "c.safetensors", _use_new_zipfile_serialization=False)
    for name in ("a.pth", "b.safetensors", "c.safetensors"):
        assert load_backbone_checkpoint(small(174), tmp_path / name).fresh == []
    header = b'{"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(0x80)
    (tmp_path / "d.pth").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert list(open_state(tmp_path / "d.pth").tensors) == ["a.weight"]
    (tmp_path / "e.safetensors").write_bytes(b"neither")
    with pytest.raises(SourceError, match="is no safetensors file"):
        open_state(tmp_path / "e.safetensors")


def test_names_in_the_file_count(given: dict[str, torch.Tensor]) -> None:
    theirs = [f"class {i}" for i in range(174)]
    mine = LabelSpace("mine", tuple(reversed(theirs)))
    model = small(174)
    load_backbone_checkpoint(model, {"state_dict": given, "classes": theirs}, classes=mine)
    assert torch.equal(model.head.weight, given["head.weight"].flip(0))


@pytest.mark.parametrize("old_form", [False, True])
def test_what_torch_saves_without_checksums_is_read(
    given: dict[str, torch.Tensor], old_form: bool, tmp_path: Path
) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(given, tmp_path / "a.pth", _use_new_zipfile_serialization=not old_form)
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_backbone_checkpoint(small(174), tmp_path / "a.pth").fresh == []


def test_a_flipped_bit_is_found(given: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(given, path)
    data = bytearray(path.read_bytes())
    place = data.find(given["head.weight"].numpy().tobytes()[:64])
    assert place > 0
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.pth' is damaged \(Bad CRC-32 .*download it again"):
        load_backbone_checkpoint(small(174), path)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_plain_pickle_of_arrays_is_converted_by_the_command_that_is_told(
    wrapped: bool, given: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    arrays = {name: tensor.numpy() for name, tensor in given.items()}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "author": "me"} if wrapped else arrays))
    with pytest.raises(SourceError, match="is a plain pickle") as refused:
        load_backbone_checkpoint(small(174), path)
    (code,) = re.findall(r'python -c "(.*)"$', str(refused.value))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    model = small(174)
    assert load_backbone_checkpoint(model, tmp_path / "plain.pth").fresh == []
    assert torch.equal(model.state_dict()["head.weight"], given["head.weight"])
