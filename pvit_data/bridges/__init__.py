"""Data sets as objects of other libraries, for training loops that are written for these."""
