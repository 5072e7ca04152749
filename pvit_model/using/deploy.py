"""Models as programs of other runtimes: `torch.export` and ONNX. Prompts stay, auxiliary heads are left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.errors import UsageError

if TYPE_CHECKING:
    from pvit_model.network.pvit import PViT


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
    torch.onnx.export(
        program, (), str(path), input_names=["video"], output_names=["logits"], dynamo=True, verbose=False,
        external_data=False,
    )  # fmt: skip
