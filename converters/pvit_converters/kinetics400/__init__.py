"""Kinetics-400: ten seconds of YouTube videos, each with one of 400 actions; for pre-training and evaluation."""

from pvit_converters.kinetics400.converter import Kinetics400Converter
from pvit_converters.kinetics400.options import Kinetics400Options

__all__ = ["Kinetics400Converter", "Kinetics400Options"]
