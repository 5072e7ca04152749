"""Whether this machine can do the work: what is installed, and what the system grants."""
