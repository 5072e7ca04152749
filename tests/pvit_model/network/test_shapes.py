"""The shapes in signatures are true: the model, its losses and its parts run with every annotation checked."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SCRIPT = """
from jaxtyping import install_import_hook

PACKAGES = [
    "pvit_model.backbones",
    "pvit_model.tasks",
    "pvit_model.tasks.heads",
    "pvit_model.network.prompts",
    "pvit_model.network.pvit",
    "pvit_model.network.total_loss",
    "pvit_model.using.export",
    "pvit_model.network.published",
    "pvit_model.network.create",
]
with install_import_hook(PACKAGES, "beartype.beartype"):
    import torch
    from pvit_data.loading.batch import Targets
    from pvit_model import LossOptions, create_model, task_losses
    from pvit_model.backbones.attention import attend
    from pvit_model.using.export import Classifier

TASKS = ["depth", "normal", "segm", "pose3d", "boxes"]
CLIP = (4, 32, 48)
model = create_model("mvitv2_xxs", TASKS, 7, {"a": 5}, clip=CLIP, drop_path=0.1)
video = torch.randn(2, 3, *CLIP)
for tasks in (None, "all", "depth", ("boxes", "segm")):
    model(video, tasks=tasks)
t, h, w = model.map_size(*CLIP)
rows = torch.tensor([0, 1])
shapes = {"depth": (t, h, w), "normal": (t, h, w, 3), "segm/a": (t, h, w), "pose3d": (t, 25, 3), "boxes": (t, 4, 4)}
targets = {"action": Targets(rows, torch.tensor([0, 3]), torch.tensor([True, False]))}
for name, shape in shapes.items():
    value = torch.zeros(2, *shape, dtype=torch.long) if name == "segm/a" else torch.rand(2, *shape)
    vector = name in ("normal", "pose3d", "boxes")
    targets[name] = Targets(rows, value, torch.ones(2, *shape[: -1 if vector else None], dtype=torch.bool))
for options in (None, LossOptions(depth="scale-invariant", normal="cosine", pose3d="huber", boxes="hungarian")):
    out = model(video, rows={name: target.rows for name, target in targets.items()})
    losses = task_losses(out, targets, options)
    torch.stack([loss.mean for loss in losses.values()]).sum().backward()
for variant in ("mt", "op", "vpt"):
    create_model("mvitv2_xxs", TASKS, 7, variant=variant, clip=CLIP)(video)
for name in ("mvitv2_s", "mvitv1_b"):
    small = create_model(name, ["depth"], 7, clip=CLIP, depth=2, stages=(1,), dense_layers=(0, 1, 1), extra_pool="svit")
    Classifier(small)(video)
wrong = 0
for call in (
    lambda: model(video[0]),
    lambda: model.heads["depth"].finish(torch.zeros(2, 3), ""),
    lambda: attend(torch.zeros(1, 5, 1, 4), torch.zeros(1, 5, 2, 4), torch.zeros(1, 5, 1, 4), special=1,
                   grid=(1, 2, 2), tables=None, residual=None),
):
    try:
        call()
    except Exception as error:
        wrong += type(error).__name__ == "TypeCheckError"
print("checked", wrong)
"""


def test_annotated_shapes_hold_and_wrong_ones_are_caught() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "checked 3", done.stderr[-3000:]


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Of a module or a class, and of its public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef):
            yield node


def test_every_public_signature_states_shapes() -> None:
    """No public function of the model takes or returns an array without a word on its shape."""
    bare = []
    for path in sorted((Path(__file__).parents[3] / "pvit_model").rglob("*.py")):
        for node in public_functions(ast.parse(path.read_text()).body):
            given = [a.annotation for a in (*node.args.args, *node.args.kwonlyargs)]
            words = {ast.unparse(a).removesuffix(" | None") for a in (*given, node.returns) if a is not None}
            if words & {"Tensor", "torch.Tensor", "np.ndarray"}:
                bare.append(f"{path.name}: {node.name}")
    assert bare == []
