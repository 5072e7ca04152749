"""Boxes, frames, joints and bodies, as several sources have them."""
