"""Foreign tars: what their index says, and their samples as ours."""
