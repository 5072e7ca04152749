"""The PViT shard format: samples, shards, index, mixing, loading."""
