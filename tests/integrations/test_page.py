"""The interactive page in a real browser: Debian's Chromium, at two widths, light and dark."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

import powertrain as pt
from powertrain.errors import NoFeasibleModeError
from powertrain.records import Limits
from powertrain.report import Goal, Marks, Points, format_number, front_view, render_html
from powertrain.workflow import StoreSummary, front_page, store_page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the group 'integrations'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the group 'integrations'")
image = pytest.importorskip("PIL.Image", reason="needs the group 'test'")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NO_CHROMIUM = "no Chromium here: apt-get install chromium"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

DEVICE = "sim:orin-nano"
LIMIT_W = 9.0
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
STAND_STILL = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def predicted():
    """A predictor of 15 profiles, its profiles, and all modes of the board."""
    board = pt.open_device(DEVICE)
    profiles = board.measure("lstm", pt.plan(board, 15))
    return pt.fit(profiles), profiles, board.modes()


@pytest.fixture(scope="module")
def page_file(predicted, tmp_path_factory) -> Path:
    """The page of a prediction with all that it can show."""
    predictor, profiles, modes = predicted
    truth = pt.open_device(DEVICE).truth("lstm", modes)
    # Modes that lie close together, whose labels would stand on each other.
    rows = truth.time_ms.argsort()[:4]
    named = {
        f"MODE_{k}": Points(time_ms=truth.time_ms[[row]], power_w=truth.power_w[[row]])
        for k, row in enumerate(rows)
    }
    view = front_view(
        predictor.predict(modes),
        modes,
        title=f"lstm on {predictor.device}",
        goal=Goal(limits=Limits(max_power_w=LIMIT_W)),
        marks=Marks(measured=profiles, truth=truth, named=named),
        device=DEVICE,
    )
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_html(front_page(view, simulated=True)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


FIRST = "[...document.querySelectorAll('.front-view')].slice(0, 1)"
DRAWN = f"() => {FIRST}.every((view) => view.powertrainFront)"
"""The first drawing, which is on the screen or near it, is there a moment after the page is loaded."""


@pytest.fixture
def opened(browser, page_file) -> Generator:
    """Open the page on a screen; afterwards nothing may have gone wrong in it, and nothing was fetched."""
    contexts, wrong = [], []

    def opened(screen="desktop", scheme="light", file=page_file, **more):
        width, height = SCREENS[screen]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on(
            "request", lambda request: wrong.append(request.url) if request.url != file.as_uri() else None
        )
        page.goto(file.as_uri())
        if more.get("java_script_enabled", True):
            page.wait_for_function(DRAWN)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def command(page) -> str:
    page.evaluate(STAND_STILL)
    return page.locator(".front-apply code").inner_text()


def edges(page, selector: str) -> list[tuple[float, float]]:
    """Return where what is visible of a selector begins and ends, from left to right."""
    return page.locator(selector).evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).filter(({ width }) => width > 1)"
        ".map(({ left, right }) => [left, right])"
    )


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_and_everything_fits_on_the_screen(opened, screen, scheme):
    page = opened(screen, scheme)
    page.locator("summary").click()  # the tables are looked at as well
    page.locator(".front-walk").focus()

    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen][0]
    shown = edges(page, ".front-results dd, .front-knobs dd, td, .front-legend li, .front-apply")
    assert len(shown) > 100
    for left, right in shown:
        assert 0 <= left <= right <= SCREENS[screen][0]


def test_the_page_chooses_what_choose_chooses_at_every_limit(opened, predicted):
    predictor, _, modes = predicted
    page = opened()
    limit = page.get_by_label("Power limit", exact=True).first
    for limit_w in (2.5, 4.6, 5.5, 7.0, 8.4, 9.0, 10.3, 12.0):
        limit.fill(str(limit_w))
        try:
            choice = pt.choose(predictor, modes, max_power_w=limit_w)
        except NoFeasibleModeError:
            assert command(page) == ""
            assert "No mode keeps" in page.locator(".front-choice").inner_text()
            continue
        assert command(page) == f'powertrain apply "{choice.mode}" --device {DEVICE} -- COMMAND'
        text = page.locator(".front-choice").inner_text()
        assert f"{format_number(choice.time_ms.value)} ms" in text
        assert f"{format_number(choice.power_w.value)} W" in text


def test_the_line_is_dragged_and_the_choice_follows(opened):
    page = opened()
    before = command(page)
    grip, plot = page.locator(".front-grip").bounding_box(), page.locator(".front-plot").bounding_box()
    x, y = grip["x"] + 10, grip["y"] + grip["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 0.2 * plot["height"], steps=4)
    page.evaluate(STAND_STILL)
    moved = page.locator(".front-grip").bounding_box()
    page.mouse.up()
    page.mouse.move(x, y)  # it was let go

    assert command(page) != before
    assert moved["y"] - grip["y"] == pytest.approx(0.2 * plot["height"], abs=4)
    shown_w = float(page.locator(".front-grip").inner_text().split()[0])
    assert shown_w < LIMIT_W
    assert page.get_by_role("slider", name="Power limit").evaluate("one => one.valueAsNumber") == shown_w


def test_a_finger_drags_the_grip(opened):
    page = opened("phone", has_touch=True)
    page.locator(".front-plot").scroll_into_view_if_needed()
    grip = page.locator(".front-grip").bounding_box()
    x, y = grip["x"] + 10, grip["y"] + grip["height"] / 2
    send = page.context.new_cdp_session(page).send
    send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y + 50}]})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.evaluate(STAND_STILL)

    assert float(page.locator(".front-grip").inner_text().split()[0]) < LIMIT_W


def test_a_mode_under_the_pointer_shows_its_knobs(opened, predicted):
    _, profiles, _ = predicted
    page = opened()
    at = page.evaluate(
        "() => { const view = document.querySelector('.front-view').powertrainFront;"
        " return [view.xs[view.modes.n + 3], view.ys[view.modes.n + 3]]; }"
    )
    plot = page.locator(".front-plot").bounding_box()
    page.mouse.move(plot["x"] + at[0], plot["y"] + at[1])
    page.evaluate(STAND_STILL)
    tip = page.locator(".front-tip").inner_text()
    box = page.locator(".front-tip").bounding_box()

    assert "measured" in tip
    for knob, value in profiles.modes[3].items():
        assert re.search(rf"{knob}\s+{value:.10g}\b", tip)
    assert plot["x"] <= box["x"] <= box["x"] + box["width"] <= plot["x"] + plot["width"]
    page.mouse.move(plot["x"] + plot["width"] + 50, plot["y"])
    assert not page.locator(".front-tip").is_visible()


def test_the_arrow_keys_walk_along_the_front_and_say_where_they_are(opened):
    page = opened()
    walk = page.get_by_role("slider", name="Modes in the drawing")
    walk.focus()
    walk.press("Home")
    first = walk.get_attribute("aria-valuetext")
    walk.press("ArrowRight")
    second = walk.get_attribute("aria-valuetext")

    assert re.fullmatch(r"predicted: [\d.,]+ ms, [\d.]+ W, [\d.]+ J, cpu_cores=.*mem_mhz=\S+", first)
    assert second != first
    assert page.locator(".front-tip").is_visible()
    walk.press("Escape")
    assert not page.locator(".front-tip").is_visible()
    page.get_by_label("Arrow keys").select_option("the measured profiles")
    assert walk.get_attribute("aria-valuemax") == "15"
    walk.press("End")
    assert walk.get_attribute("aria-valuetext").startswith("measured: ")


def test_the_limit_is_moved_with_the_keyboard_and_the_choice_is_read_out_once_it_stays(opened):
    page = opened()
    limit = page.get_by_role("slider", name="Power limit")
    limit.focus()
    for _ in range(20):
        limit.press("ArrowLeft")
    said = page.get_by_role("status")
    sync_api.expect(said).to_contain_text("Under ")

    mode = re.search(r'"(.+)"', command(page))[1]
    assert mode in said.inner_text()
    assert "than the fastest" in said.inner_text()
    assert limit.get_attribute("aria-valuetext") == page.locator(".front-grip").inner_text()


def test_the_command_is_copied(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    sync_api.expect(page.get_by_role("status")).to_have_text("The command was copied.")
    assert page.evaluate("navigator.clipboard.readText()") == command(page)


def test_the_drawing_changes_its_colours_with_the_scheme(opened):
    page = opened("desktop", "light")

    def brightness() -> float:
        page.evaluate(STAND_STILL)
        picture = image.open(io.BytesIO(page.locator(".front-plot").screenshot())).convert("L")
        return sum(picture.tobytes()) / (picture.width * picture.height)

    light = brightness()
    page.emulate_media(color_scheme="dark")
    assert brightness() < 60 < 200 < light


@pytest.mark.parametrize("screen", SCREENS)
def test_labels_stand_beside_each_other_and_inside_the_drawing(opened, screen):
    page = opened(screen)
    width, height, labels = page.evaluate(
        "() => { const view = document.querySelector('.front-view').powertrainFront;"
        " return [view.width, view.height, view.labels.map(({ x, y, w, h }) => [x, y, w, h])]; }"
    )
    assert len(labels) == 4
    for i, (x, y, w, h) in enumerate(labels):
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
        for left, top, wide, high in labels[:i]:
            assert x >= left + wide or left >= x + w or y >= top + high or top >= y + h


def test_without_javascript_the_tables_are_there(opened):
    page = opened(java_script_enabled=False)
    assert "needs JavaScript" in page.locator(".front-view").inner_text()
    page.locator("summary").click()
    assert "powertrain" not in page.locator("details").inner_text()
    assert page.locator("details tbody tr").count() > 20


def test_other_data_can_be_shown_and_the_page_tells_of_its_limit(opened):
    page = opened()
    told = page.evaluate(
        """async () => {
          const host = document.querySelector(".front-view");
          const told = [];
          document.addEventListener("powertrain-limit", (event) => told.push(event.detail));
          const data = JSON.parse(document.getElementById("front-1").textContent);
          host.powertrainFront.update({ ...data, measured: [], goal: "newer mode" });
          host.powertrainFront.setLimit(6);
          await new Promise((done) => setTimeout(done, 100));
          return told;
        }"""
    )
    assert told[-1]["limit_w"] == 6
    assert told[-1]["mode"] in command(page)
    assert "Newer mode under 6" in page.locator(".front-choice").inner_text()


def test_a_page_of_many_workloads_draws_those_that_are_looked_at(opened, tmp_path):
    board = pt.open_device(DEVICE)
    tables = tuple(board.measure(name, pt.plan(board, 40)) for name in board.workloads()[:6])
    summary = StoreSummary(name="many.db", tables=tables, profiles=240, flagged=0)
    file = tmp_path / "many.html"
    file.write_text(render_html(store_page(summary)), encoding="utf-8")
    page = opened(file=file)
    drawn = page.locator(".front-plot")
    page.evaluate(STAND_STILL)
    first = drawn.count()
    page.locator("[data-front]").last.scroll_into_view_if_needed()
    sync_api.expect(page.locator("[data-front]").last.locator(".front-plot")).to_be_visible()

    assert 1 <= first < 6
    assert axe.Axe().run(page).response["violations"] == []
