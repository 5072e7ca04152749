"""Which classes a mirror exchanges, by their names."""

import pytest

from pvit_data.sample.labels import mirrored_pairs


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Pushing it from left to right", "Pushing it from right to left"),
        ("swipe_left", "swipe_right"),
        ("left-hand-2", "right-hand-2"),
        ("SwipeLeft", "SwipeRight"),
        ("turnLeftTwice", "turnRightTwice"),
        ("leftArm", "rightArm"),
        ("Swipe LEFT", "Swipe RIGHT"),
        ("SWIPE_LEFT2", "SWIPE_RIGHT2"),
        ("going leftwards", "going rightwards"),
        ("Leftward", "Rightward"),
        ("(left)", "(right)"),
    ],
)
def test_names_that_differ_by_their_sides(left: str, right: str) -> None:
    assert mirrored_pairs({right: 1, "other": 0, left: 4}) == ((1, 4),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("leftover", "rightover"),
        ("bleft", "bright"),
        ("cleft", "cright"),
        ("uprightly", "upleftly"),
        ("LEFTOVER", "RIGHTOVER"),
        ("left", "Right"),
        ("Leftist", "Rightist"),
        ("pull left", "push right"),
    ],
)
def test_other_words_are_no_sides(one: str, other: str) -> None:
    assert mirrored_pairs({one: 0, other: 1}) == ()
