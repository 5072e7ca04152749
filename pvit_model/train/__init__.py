"""Training: configuration and recipes, the loop, checkpoints, logs and the final report."""
