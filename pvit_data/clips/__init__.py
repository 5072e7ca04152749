"""Which frames and pixels of a sample become a clip."""
