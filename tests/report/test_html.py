"""The page."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.report import Fact, Illustration, ReportPage, Section, Table, render_html

HOSTILE = "</title></style><script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp;\x00"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><path d="M0 0"/></svg>'


def page(name: str = "resnet18", *, simulated: str = "") -> ReportPage:
    return ReportPage(
        title=f"{name} within 30 W",
        lead=f"Run {name} at gpu_mhz=828.75.",
        simulated=simulated,
        facts=(Fact(label=f"power of {name}", value="28.9 W", remark=f"limit for {name}"),),
        sections=(
            Section(
                title=f"About {name}",
                paragraphs=(f"{name} was profiled in 15 modes.",),
                tables=(Table.of(f"Modes of {name}", (name, "power"), [(name, 28.9)], note=name),),
                illustrations=(Illustration(svg=SVG, caption=f"The front of {name}", alt=f"alt {name}"),),
            ),
        ),
        footer=f"made for {name}",
    )


class Elements(HTMLParser):
    """Collects elements, their attributes, and the text outside the style sheet."""

    VOID = ("meta", "path", "img", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.opened.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.opened.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.text += data


def test_the_page_says_everything_in_its_record():
    text = Elements(render_html(page())).text
    for part in (
        "resnet18 within 30 W",
        "28.9 W",
        "limit for",
        "About",
        "15 modes",
        "The front of",
        "made for",
    ):
        assert part in text


def test_elements_are_closed_in_order():
    assert Elements(render_html(page())).stack == []


def test_a_hostile_name_is_shown_and_never_becomes_markup():
    plain, hostile = Elements(render_html(page())), Elements(render_html(page(HOSTILE)))
    assert hostile.opened == plain.opened
    assert "<script>alert('x')</script>" in hostile.text
    assert not {name for name, _ in hostile.attributes if name.startswith("on")}


@settings(deadline=None)
@given(st.text(min_size=1))
def test_no_name_changes_the_elements_of_the_page(name):
    assert Elements(render_html(page(name))).opened == Elements(render_html(page())).opened


def test_nothing_is_loaded_from_anywhere_and_no_script_runs():
    found = Elements(render_html(page(simulated="No board was measured.")))
    assert "script" not in found.opened
    assert "link" not in found.opened
    assert not [name for name, _ in found.attributes if name in ("src", "href")]
    assert any("default-src 'none'" in (value or "") for _, value in found.attributes)


def test_a_simulated_page_opens_with_a_banner_and_a_measured_one_has_none():
    with_banner = render_html(page(simulated="No board was measured."))
    assert with_banner.index("No board was measured.") < with_banner.index("<h1>")
    assert "<strong>Simulated.</strong>" in with_banner
    assert 'class="banner"' not in render_html(page())


def test_drawings_stand_inside_the_page_and_have_a_text():
    text = render_html(page())
    assert SVG in text
    assert 'role="img" aria-label="alt resnet18"' in text


def test_the_same_record_gives_the_same_page():
    assert render_html(page()) == render_html(page())


def test_a_page_may_hold_nothing_but_its_title_and_lead():
    found = Elements(render_html(ReportPage(title="T", lead="L")))
    assert "section" not in found.opened
    assert "dl" not in found.opened


@pytest.mark.parametrize(
    "svg", ["<p>text</p>", "", "<svg><script>x</script></svg>", "<svg><foreignObject/></svg>"]
)
def test_an_illustration_that_is_no_drawing_is_refused(svg):
    with pytest.raises(ValueError, match="an illustration"):
        Illustration(svg=svg, caption="x")
