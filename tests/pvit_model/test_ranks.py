"""A task that only one rank has rows for: no rank waits, and the step is that of one process with all rows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = '''
import os
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from dataclasses import replace
from pvit_data.clips.config import ClipConfig
from pvit_data.loading.batch import Batch, Targets
from pvit_model.network.inference import Inference
from pvit_model.using.constant import ConstantPredictor
from pvit_model import create_model, task_losses

CLIP = (4, 32, 32)

def fresh():
    torch.manual_seed(0)
    return create_model("mvitv2_xxs", ["depth", "normal", "boxes"], 3, clip=CLIP, dropout=0.0, dense_dropout=0.0)

def total(losses, scale):
    """Means over the items of all ranks."""
    terms = []
    for name in sorted(losses):
        count = losses[name].count.clone()
        if dist.is_initialized():
            dist.all_reduce(count)
        terms.append(losses[name].sum * scale / count.clamp(min=1))
    return torch.stack(terms).sum()

g = torch.Generator().manual_seed(1)
video, depth = torch.randn(4, 3, *CLIP, generator=g), torch.rand(2, 2, 8, 8, generator=g)
valid = torch.rand(2, 2, 8, 8, generator=g) > 0.3
labels = torch.tensor([0, 1, 2, 1])

def targets(rows, depth_rows):
    """All rows have a label; rows 0 and 1 of the global batch have depth, no row has normals or boxes."""
    return {
        "action": Targets(torch.arange(len(rows)), labels[rows], torch.ones(len(rows), dtype=torch.bool)),
        "depth": Targets(torch.arange(len(depth_rows)), depth[depth_rows], valid[depth_rows]),
    }

def grads(model, module, rows, depth_rows, scale):
    found = targets(rows, depth_rows)
    losses = task_losses(model(video[rows], rows={n: t.rows for n, t in found.items()}), found)
    total(losses, scale).backward()
    return {n: p.grad.clone() for n, p in module.named_parameters()}

def fresh_without_prompts():
    torch.manual_seed(0)
    return create_model("mvitv2_xxs", ["depth"], 3, clip=CLIP, dropout=0.0, dense_dropout=0.0, variant="mt")

reference = grads(*(2 * [fresh()]), [0, 1, 2, 3], [0, 1], 1.0)
dist.init_process_group("gloo")
rank = dist.get_rank()
module = fresh()
model = DistributedDataParallel(module)
mine = grads(model, module, [2 * rank, 2 * rank + 1], [0, 1] if rank == 0 else [], 2.0)
for name, expected in reference.items():
    torch.testing.assert_close(mine[name], expected, atol=2e-6, rtol=1e-3, msg=name)
module.zero_grad()
total(task_losses(model(video[:2], rows={}), {}), 2.0).backward()  # no label at all, on any rank
assert all(not p.grad.any() for p in module.parameters())
bare = fresh_without_prompts()
model = DistributedDataParallel(bare)
for _ in range(2):  # a parameter left out would be missed in the second round
    found = targets([rank], [])
    total(task_losses(model(video[[rank]], rows={n: t.rows for n, t in found.items()}), found), 2.0).backward()
def fitted(depth_rows):
    batch = Batch(0, [str(r) for r in depth_rows], [""] * len(depth_rows), video[depth_rows], {})
    constant = ConstantPredictor(Inference(clip=ClipConfig()), ["depth", "normal"])
    return constant.fit([replace(batch, targets=targets([], depth_rows))])

everything = targets([], [0, 1])["depth"]
for parts in ([[0], [1]], [[0, 1], []]):  # each rank fits a part, or only one has rows
    constant = fitted(parts[rank])
    constant.add_up()
    assert (constant.clips, "depth" in constant, "normal" in constant) == (2, True, False)
    for loss in (False, True):
        expected = fitted([0, 1]).predict("depth", everything, loss)
        torch.testing.assert_close(constant.predict("depth", everything, loss), expected)
print("agrees", rank, flush=True)
dist.barrier()
os._exit(0)  # DDP holds the group, whose threads are not to live through Python's end
'''


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "two_ranks.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("agrees") == 2, done.stdout  # on one pipe their lines may run into each other
