"""Scores of predictions by the official metrics, without a model: files in, numbers, findings and passports out."""
