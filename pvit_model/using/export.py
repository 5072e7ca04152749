"""A trained network for others: a folder with what is needed to use it, a `torch.export` program, an ONNX file.

Prompts always stay. Programs and ONNX files classify; auxiliary heads are left behind.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.errors import UsageError
from pvit_data.storage.files import replacing, temporary
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViT
from pvit_model.using.loading import load_model

Format = Literal["safetensors", "torchexport", "onnx"]
FILES: dict[str, str] = {"torchexport": "model.pt2", "onnx": "model.onnx"}
"""What a format's folder holds beside inference.json, which says how clips are made and what classes are called."""


def export_model(
    where: str,
    out: Path,
    drop_heads: bool = False,
    kind: Format = "safetensors",
    batch: int = 1,
) -> int:
    """Writes a network's folder; returns its size in bytes.

    Args:
        where: see `pvit_model.using.loading.find_model`.
        out: an empty or new folder.
        drop_heads: leave out the auxiliary heads. Prompts stay, so actions are predicted exactly as before.
        kind: `"safetensors"`: config.json and weights, what `load_model` takes; `"torchexport"`: a program, and
            `"onnx"`: a file, that classify clips of the network's size and need nothing of ours.
        batch: number of clips that a program or an ONNX file takes.

    Raises:
        UsageError: if `out` is not empty, there is no such model, or it has no classes for a program to give.
        OSError: if it cannot be written; nothing is left behind.
    """
    out = Path(os.path.realpath(out)) if out.is_symlink() else out
    if out.exists() and any(out.iterdir()):
        raise UsageError(
            f"'{out}' is not empty; give OUT, the folder that is written, another name: pvit export OUT --model MODEL"
        )
    network, inference = load_model(where)
    if drop_heads:
        network = _without_heads(network)
        inference = inference.model_copy(update={"tasks": (), "spaces": {}})
    out.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(out)
    try:
        part.mkdir()
        if kind == "safetensors":
            network.save_pretrained(str(part))
        else:
            _write_program(network, inference, part / FILES[kind], kind, batch)
        inference.save(part)
        part.replace(out)
    except BaseException as error:  # a full disk, Ctrl-C: nothing is left that looks like a model
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.filename:  # people know the folder they gave
            error.filename = str(out / Path(error.filename).name)
        raise
    return sum(p.stat().st_size for p in out.iterdir())


def _write_program(
    network: PViT, inference: Inference, path: Path, kind: Format, batch: int
) -> None:
    if inference.action is None:
        raise UsageError(f"a model without action classes has nothing to classify in a {kind} file")
    clip = (inference.clip.num_frames, *inference.clip.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporters tell their own developers
        if kind == "onnx":
            export_onnx(network, path, clip, batch)
        else:
            torch.export.save(export_program(network, clip, batch), path)


def _without_heads(network: PViT) -> PViT:
    """The same network without auxiliary heads."""
    bare = PViT(network.config.model_copy(update={"heads": False}))
    state = network.state_dict()
    bare.load_state_dict({name: state[name] for name in bare.state_dict()})
    return bare.eval()


class Classifier(nn.Module):
    """A PViT that takes clips and returns the action's logits, nothing else."""

    def __init__(self, model: PViT) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k"]:
        """Logits of normalised clips, before softmax."""
        logits: Tensor = self.model(video, tasks=()).logits
        return logits


def export_program(
    model: PViT, clip: tuple[int, int, int], batch: int = 1
) -> torch.export.ExportedProgram:
    """The classifier as a `torch.export` program for clips (batch, 3, T, H, W) of exactly this size."""
    with torch.no_grad():
        return torch.export.export(Classifier(model), (torch.zeros(batch, 3, *clip),))


def export_onnx(model: PViT, path: Path, clip: tuple[int, int, int], batch: int = 1) -> None:
    """Write the classifier as an ONNX file with input `video` and output `logits`.

    Raises:
        UsageError: if the extra `export` is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "ONNX export needs further packages: pip install 'pvit-toolkit[export]'"
        ) from error
    program = export_program(model, clip, batch)
    with replacing(path) as part:
        torch.onnx.export(
            program, (), str(part), input_names=["video"], output_names=["logits"], dynamo=True, verbose=False,
            external_data=False,
        )  # fmt: skip
