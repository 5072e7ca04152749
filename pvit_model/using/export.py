"""Exporting a trained network: the files that are needed to use it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pvit_data.errors import UsageError
from pvit_model.network.inference import load_model

if TYPE_CHECKING:
    from pvit_model.network.pvit import PViT


def export_model(where: str, out: Path, drop_heads: bool = False) -> int:
    """Writes a network's folder; returns its size in bytes.

    Args:
        where: see `pvit_model.network.inference.find_model`.
        out: an empty or new folder.
        drop_heads: leave out the auxiliary heads. Prompts stay, so actions are predicted exactly as before.

    Raises:
        UsageError: if `out` is not empty, or there is no such model.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"'{out}' is not empty; choose a new folder")
    network, inference = load_model(where)
    if drop_heads:
        network = _without_heads(network)
        inference = inference.model_copy(update={"tasks": (), "segm": {}})
    out.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(str(out))
    inference.save(out)
    return sum(p.stat().st_size for p in out.iterdir())


def _without_heads(network: PViT) -> PViT:
    """The same network without auxiliary heads."""
    from pvit_model.network.pvit import PViT

    bare = PViT(network.config.model_copy(update={"heads": False}))
    state = network.state_dict()
    bare.load_state_dict({name: state[name] for name in bare.state_dict()})
    return bare.eval()
