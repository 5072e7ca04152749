"""Files by name, in a folder or behind a URL."""
