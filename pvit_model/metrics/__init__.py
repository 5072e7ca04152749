"""Metrics: small functions and accumulators per task; none of them knows the network."""
