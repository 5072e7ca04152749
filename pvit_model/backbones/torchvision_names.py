"""torchvision's names of MViT parameters, under SlowFast's names (which our module uses)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RENAME = (
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^pos_encoding\.class_token$", "cls_token"),
    (r"^pos_encoding\.(spatial|temporal|class)_pos$", r"pos_embed_\1"),
    (r"\.attn\.project\.0\.", ".attn.proj."),
    (r"\.attn\.pool_(\w)\.pool\.", r".attn.pool_\1."),
    (r"\.attn\.pool_(\w)\.norm_act\.0\.", r".attn.norm_\1."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^(blocks\.\d+)\.project\.", r"\1.proj."),
    (r"^head\.1\.", "head."),
)


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename, and give class token and absolute positions the batch axis that torchvision leaves out."""
    out = {}
    for name, value in state.items():
        for pattern, replacement in _RENAME:
            name = re.sub(pattern, replacement, name)
        if name == "cls_token" or name.startswith("pos_embed_"):
            width = value.shape[-1]
            value = value.reshape(1, -1, width)
        out[name] = value
    return out
