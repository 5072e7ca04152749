"""Task prompts: learned extra tokens, and how a task's head reads what became of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_model.config import PViTConfig


def fresh_prompts(number: int, width: int) -> nn.Parameter:
    """(number, width), truncated normal of standard deviation .02; weight decay does not belong on them.

    None at all asks for no gradient: a rank would wait for one that never comes.
    """
    return nn.Parameter(
        nn.init.trunc_normal_(torch.empty(number, width), std=0.02), requires_grad=number > 0
    )


class PromptReader(nn.Module):
    """The vector that each task's head reads: its prompt's final state, or the class token where it has none.

    Args:
        width: of the final tokens.
    """

    def __init__(self, config: PViTConfig, width: int) -> None:
        super().__init__()
        self.mode, self.per_task = config.prompts, config.prompts_per_task
        self.names = list(config.tasks)
        if self.mode == "shared" and self.names and config.heads:
            self.project = nn.Linear(width, len(self.names) * width)

    def forward(
        self, cls: Float[Tensor, "b c"], extra: Float[Tensor, "b e c"]
    ) -> dict[str, Tensor]:
        """(B, C) by task."""
        if self.mode == "none" or not self.names:
            return dict.fromkeys(self.names, cls)
        if self.mode == "shared":
            read: tuple[Tensor, ...] = self.project(extra[:, 0]).chunk(len(self.names), dim=-1)
        else:
            read = torch.unflatten(extra, 1, (len(self.names), self.per_task)).mean(2).unbind(1)
        return dict(zip(self.names, read, strict=True))
