"""PromptonomyViT: backbones, task prompts, heads, losses, training, evaluation, prediction."""
