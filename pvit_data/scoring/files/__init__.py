"""Predictions and annotations in the forms in which programs and data sets write them."""
