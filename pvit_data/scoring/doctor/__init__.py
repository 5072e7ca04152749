"""What usually is wrong where a score is low: one file per finding, each a statistic, a threshold and a remedy."""
