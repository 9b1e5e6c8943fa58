"""Letter tiles, and drawings that are refused."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tokenkeep.adapters.icon import COLOURS, LARGEST, letter_tile, problem


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", COLOURS)
def test_white_letters_can_be_read_on_every_ground(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_a_tile_is_the_same_every_time_and_well_formed() -> None:
    tile = letter_tile("example", 'A "quoted" <label> & more')
    assert tile == letter_tile("example", 'A "quoted" <label> & more')
    assert ET.fromstring(tile).find("{*}text").text == "A"  # type: ignore[union-attr]
    assert problem(tile.decode()) == ""


@pytest.mark.parametrize(
    ("label", "letter", "shown"), [("openAI", "", "O"), ("(x)", "", "X"), ("…", "", "?"), ("a", "Ä", "Ä")]
)
def test_the_letter_is_the_given_one_or_the_first_of_the_label(label: str, letter: str, shown: str) -> None:
    assert f">{shown}</text>" in letter_tile("id", label, letter=letter).decode()


@pytest.mark.parametrize(
    "drawing",
    [
        "<html></html>",
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="x()"></svg>',
        '<svg><path onclick = "x"/></svg>',
        '<svg><image href="https://evil.example/x.png"/></svg>',
        '<svg><use xlink:href="#a"/></svg>',
        "<svg><style>@import 'x'</style></svg>",
        '<svg><rect fill="url(https://evil.example)"/></svg>',
        "<svg><foreignObject/></svg>",
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg/>',
        "<svg><!-- x --></svg>",
        "<svg>" + " " * LARGEST + "</svg>",
    ],
)
def test_drawings_that_could_act_are_refused(drawing: str) -> None:
    assert problem(drawing)
