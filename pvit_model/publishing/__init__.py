"""A trained network to the Hugging Face Hub: what may be published, its card, its files."""
