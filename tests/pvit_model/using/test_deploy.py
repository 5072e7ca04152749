"""torch.compile, torch.export and ONNX give what eager PyTorch gives, prompts included."""

from pathlib import Path

import pytest
import torch

from pvit_cli.model import main
from pvit_model import PViT, create_model, load_model
from pvit_model.using.export import export_onnx, export_program

CLIP = (4, 32, 32)


def small(depth: int = 2) -> PViT:
    """Its second block pools queries and doubles the width; positions are relative, prompts present."""
    torch.manual_seed(0)
    options = {
        "depth": depth,
        "stages": (1,)[: depth - 1],
        "dense_layers": (0, depth - 1),
        "dropout": 0.0,
        "dense_dropout": 0.0,
    }
    return create_model("mvitv2_xxs", ["depth", "pose3d"], 7, clip=CLIP, **options)


@pytest.fixture
def video() -> torch.Tensor:
    return torch.randn(2, 3, *CLIP, generator=torch.Generator().manual_seed(1))


def test_exported_programs_agree(video: torch.Tensor, tmp_path: Path) -> None:
    model = small().eval()
    expected = model(video).logits.detach()
    program = export_program(model, CLIP, batch=2)
    torch.testing.assert_close(program.module()(video), expected, atol=1e-4, rtol=0)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_onnx_agrees(video: torch.Tensor, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = small().eval()
    export_onnx(model, tmp_path / "model.onnx", CLIP, batch=2)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(None, {"video": video.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(video).logits.detach(), atol=1e-4, rtol=0)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_onnx_agrees_where_a_stage_is_one_window(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    options = {"clip": (8, 32, 32), "width": 16, "depths": (1, 1), "head_width": 8, "window": (4, 4, 4)}
    model = create_model("swin3d_t", ["depth"], 3, **options).eval()
    export_onnx(model, tmp_path / "model.onnx", (8, 32, 32))
    clip = torch.randn(1, 3, 8, 32, 32)
    (logits,) = runtime.InferenceSession(tmp_path / "model.onnx").run(None, {"video": clip.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(clip).logits.detach(), atol=1e-4, rtol=0)


def gradients(model: PViT, run: PViT, video: torch.Tensor) -> list[torch.Tensor]:
    out = run(video, tasks="all")
    loss = out.logits.square().sum() + out.tasks["depth"].mean() + out.tasks["pose3d"].square().sum()
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_the_whole_model_is_one_graph(video: torch.Tensor) -> None:
    """No part falls back to Python; values and gradients agree with the eager forms, which are others on CPUs."""
    model = small().train()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for a, b in zip(gradients(model, compiled, video), gradients(model, model, video), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_generated_code_agrees(video: torch.Tensor) -> None:
    model = small(depth=1).eval()
    compiled = torch.compile(model)
    with torch.no_grad():
        torch.testing.assert_close(compiled(video).logits, model(video).logits, atol=1e-4, rtol=0)


def test_the_command_writes_a_classifier(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What another program reads gives the network's own answer, and the folder says how to feed it."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, inference = load_model(str(run_folder))
    clip = torch.randn(
        1, 3, inference.clip.num_frames, *inference.clip.size, generator=torch.Generator().manual_seed(0)
    )
    assert main(["export", "--model", str(run_folder), str(tmp_path / "model"), "--format", "onnx"]) == 0
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.onnx", "inference.json"}
    session = runtime.InferenceSession(tmp_path / "model/model.onnx")
    (logits,) = session.run(["logits"], {"video": clip.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), network(clip).logits, atol=1e-4, rtol=0)
    assert "warning" not in capsys.readouterr().err
