"""The PViT itself, in and out of files."""
