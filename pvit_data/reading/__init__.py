"""Shards to samples: ours, without an index, foreign."""
