"""Which samples make up each batch."""
