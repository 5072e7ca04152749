"""What of a sample a task is trained on."""
