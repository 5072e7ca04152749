"""Batches, made in worker processes."""
