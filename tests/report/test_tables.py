"""Tables as values, and their three written forms."""

from __future__ import annotations

import html
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.report import Column, Table, format_number, to_html, to_markdown, to_text


def example() -> Table:
    return Table.of(
        "Modes compared",
        ("mode", Column(name="time", unit="ms"), Column(name="power", unit="W"), "keeps 30 W"),
        [("MAXN", 66.27, 47.93, "no"), ("MODE_15W", 238.1, None, "yes"), ("odd", float("nan"), 9, "")],
        note="True values.",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (47.913, "47.9"),
        (9.996, "10.0"),
        (0.99996, "1.00"),
        (0.01234, "0.0123"),
        (12345.6, "12,346"),
        (18096, "18,096"),
        (0.0, "0"),
        (0, "0"),
        (-2.5, "-2.50"),
        (3e-7, "3e-07"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "–"),  # noqa: RUF001
    ],
)
def test_numbers_are_written_with_three_significant_digits(value, text):
    assert format_number(value) == text


@settings(deadline=None)
@given(st.floats(min_value=1e-4, max_value=1e12), st.integers(1, 9))
def test_a_written_number_is_the_number_to_its_digits(value, digits):
    read = float(format_number(value, digits=digits).replace(",", ""))
    assert read == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


def test_headings_carry_the_unit():
    assert example().headings == ("mode", "time [ms]", "power [W]", "keeps 30 W")


def test_a_column_with_numbers_and_no_text_is_numeric():
    assert example().numeric == (False, True, True, False)
    assert Table.of("empty", ("a",), []).numeric == (False,)
    assert Table.of("nothing known", ("a",), [(None,)]).numeric == (False,)


def test_what_is_not_known_is_a_dash():
    assert example().cells()[1][2] == "–"  # noqa: RUF001
    assert example().cells()[2][1] == "–"  # noqa: RUF001


def test_plain_text_sets_numbers_to_the_right():
    assert to_text(example()).splitlines() == [
        "Modes compared",
        "",
        "mode      time [ms]  power [W]  keeps 30 W",
        "--------  ---------  ---------  ----------",
        "MAXN           66.3       47.9  no",
        "MODE_15W        238          –  yes",  # noqa: RUF001
        "odd               –          9",  # noqa: RUF001
        "",
        "True values.",
    ]


def test_markdown_sets_numbers_to_the_right():
    assert to_markdown(example()).splitlines()[2:5] == [
        "| mode | time [ms] | power [W] | keeps 30 W |".replace("[", "\\["),
        "| --- | --: | --: | --- |",
        "| MAXN | 66.3 | 47.9 | no |",
    ]


def test_a_name_cannot_end_a_markdown_cell_or_line():
    table = Table.of("t", ("name",), [("a|b\nc <i>`x`",)])
    lines = to_markdown(table).splitlines()
    assert lines[-1] == "| a\\|b c \\<i>\\`x\\` |"


class Cells(HTMLParser):
    """Collects the text of every cell and every tag that is met."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.inside = False

    def handle_starttag(self, tag, attrs):
        del attrs
        self.tags.append(tag)
        self.inside = tag in ("td", "th")
        if self.inside:
            self.texts.append("")

    def handle_endtag(self, tag):
        del tag
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] += data


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), max_size=4))
def test_html_shows_every_text_as_it_is_and_nothing_of_it_as_markup(texts):
    table = Table.of("<b>title</b>", ("name",), [(text,) for text in texts], note="a & b")
    parser = Cells()
    parser.feed(to_html(table))
    assert parser.texts == ["name", *texts]
    allowed = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert set(parser.tags) <= allowed


def test_what_html_forbids_becomes_blank():
    text = to_html(Table.of("t", ("name",), [("a\x00b\ud800c\x7f",)]))
    assert ">a b c </td>" in text
    assert text.encode()


def test_html_marks_numbers_and_escapes_titles():
    text = to_html(Table.of("<b>", ("name", Column(name="x", unit="W")), [("a", 1.5)], note="<i>"))
    assert '<td class="number" data-label="x [W]">1.50</td>' in text
    assert ">a</td>" in text
    assert html.escape("<b>") in text
    assert "<i>" not in text


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="2 columns and a row of 1"):
        Table.of("t", ("a", "b"), [(1,)])


def test_a_table_without_columns_or_a_column_without_digits_is_refused():
    with pytest.raises(ValueError, match="no columns"):
        Table.of("t", (), [])
    with pytest.raises(ValueError, match="at least 1"):
        Column(name="a", digits=0)
