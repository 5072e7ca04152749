"""Raw files of every kind, read as if a stranger had written them."""
