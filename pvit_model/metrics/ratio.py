"""Division where nothing over nothing is "not measured" (nan), never an error."""

import math


def ratio(numerator: float, denominator: float) -> float:
    """`numerator / denominator`, or nan where the denominator is 0."""
    return float(numerator) / float(denominator) if denominator else math.nan
