"""The SVG kit makes well-formed elements out of any text."""

from xml.etree import ElementTree

from pvit_data.looking import svg

ATTACK = "</text><script>alert('x')</script>&\""


def test_texts_and_attributes_come_back_as_they_were() -> None:
    drawn = svg.picture(
        100, 50.25, svg.explained(ATTACK, svg.words(ATTACK, 1, 2, class_="name", text_anchor="end")), aria_label=ATTACK
    )
    root = ElementTree.fromstring(drawn)
    assert root.attrib == {"aria-label": ATTACK, "viewBox": "0 0 100 50.2"}
    assert [e.tag for e in root.iter()] == ["svg", "g", "title", "text"]
    title, text = root[0]
    assert title.text == text.text == ATTACK
    assert text.attrib == {"class": "name", "text-anchor": "end", "x": "1", "y": "2"}


def test_numbers_are_short_and_never_in_powers() -> None:
    assert svg.box(1234567.04, -0.5, 0.26, 3) == '<rect x="1234567" y="-0.5" width="0.3" height="3"/>'


def test_colours_repeat() -> None:
    assert svg.colour_of(len(svg.COLOURS)) == svg.colour_of(0)
    assert len(set(svg.COLOURS)) == len(svg.COLOURS)
