"""The served page in a real browser: Debian's Chromium, at two widths, light and dark."""

# ruff: noqa: E402  what follows needs Starlette

from __future__ import annotations

import re
import shutil
from collections.abc import Generator

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the group 'integrations'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the group 'integrations'")
pytest.importorskip("starlette", reason="needs the group 'integrations'")

import powertrain as pt
from powertrain.dataset import open_store
from powertrain.fleet import job_view, saving
from powertrain.integrations.serve import serve

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

TOKEN = "a-secret-of-the-test-of-32-letters"
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
STAND_STILL = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PATIENCE_MS = 60_000


@pytest.fixture
def fleet(tmp_path):
    """A file with the profiles of two boards, one of which has two jobs."""
    file = tmp_path / "fleet.db"
    with open_store(file) as store:
        for spec, workloads in (("sim:orin-nano", ("lstm", "resnet18")), ("sim:orin-agx", ("lstm",))):
            board = pt.open_device(spec)
            for workload in workloads:
                store.add(board.measure(workload, pt.plan(board, 12)))
    return file


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser) -> Generator:
    """Open a page on a screen; afterwards nothing may have gone wrong, nor been asked of anybody else."""
    contexts, wrong, expected = [], [], []

    def opened(url, screen="desktop", scheme="light", *, front=True, **more):
        width, height = SCREENS[screen]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        own = url.partition("#")[0]
        page.on("request", lambda one: None if one.url.startswith(own) else wrong.append(one.url))
        page.goto(url)
        if front:
            page.locator("#saves").wait_for(timeout=PATIENCE_MS)
        return page

    opened.expected = expected
    yield opened
    for context in contexts:
        context.close()
    expected += ["ERR_CONNECTION_", "ERR_EMPTY_RESPONSE"]  # of pages that outlive their server
    assert [text for text in wrong if not any(one in text for one in expected)] == []


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_and_everything_fits_on_the_screen(opened, fleet, screen, scheme):
    with serve(fleet, port=0) as url:
        page = opened(url, screen, scheme)
        found = axe.Axe().run(page).response["violations"]
        width = page.evaluate("document.documentElement.scrollWidth")
        shown = page.locator("td, .front-results dd, .front-legend li, .banner, h1, h2, footer").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect()).filter(({ width }) => width > 1)"
            ".map(({ left, right }) => [left, right])"
        )

    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []
    assert width <= SCREENS[screen][0]
    assert len(shown) > 40
    assert all(0 <= left <= right <= SCREENS[screen][0] for left, right in shown)


def test_the_limit_is_dragged_and_what_is_saved_follows(opened, fleet):
    with serve(fleet, port=0) as url:
        page = opened(url)
        device, workload = page.evaluate(
            "() => JSON.parse(document.querySelector('[aria-current=true]').closest('tr').dataset.key)"
        )
        before = page.locator("#saves").inner_text()
        page.locator(".front-plot").scroll_into_view_if_needed()
        grip, plot = page.locator(".front-grip").bounding_box(), page.locator(".front-plot").bounding_box()
        x, y = grip["x"] + 10, grip["y"] + grip["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y + 0.1 * plot["height"], steps=4)
        page.mouse.up()
        page.evaluate(STAND_STILL)
        limit = page.locator(".front-grip").inner_text()
        saves = page.locator("#saves")
        rows = saves.locator("tbody tr").evaluate_all(
            "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        with open_store(fleet) as store:
            view = job_view(store, device=device, workload=workload)

        assert saves.inner_text() != before
        assert limit in saves.locator("caption").inner_text()
    chosen = view.chosen(float(limit.split()[0]))
    assert [name for name, *_ in rows] == [one.name for one in view.baselines]
    for (_, time, power, energy), baseline in zip(rows, view.baselines, strict=True):
        saved = saving(chosen, baseline)
        for text, value in ((time, saved.time_pct), (power, saved.power_w), (energy, saved.energy_pct)):
            number, _, word = text.split()
            # The page computes with numbers of 32 bits.
            assert float(number.replace(",", "")) == pytest.approx(abs(value), rel=0.01, abs=0.02)
            assert abs(value) < 0.01 or word == ("less" if value > 0 else "more")


def test_new_profiles_and_new_boards_appear_without_a_reload(opened, fleet):
    with serve(fleet, port=0) as url:
        page = opened(url)
        page.get_by_role("button", name="resnet18").click()
        sync_api.expect(page.locator("#job-basis")).to_contain_text("from 12 profiles", timeout=PATIENCE_MS)
        page.evaluate("() => { window.stays = true; }")
        page.get_by_label("Power limit", exact=True).first.fill("9")
        nano, xavier = pt.open_device("sim:orin-nano"), pt.open_device("sim:xavier-agx")
        with open_store(fleet) as store:
            store.add(nano.measure("resnet18", pt.plan(nano, 15, seed=7), seed=7))
            store.add(xavier.measure("lstm", pt.plan(xavier, 5)))
        sync_api.expect(page.locator("#boards")).to_contain_text(xavier.name, timeout=PATIENCE_MS)
        sync_api.expect(page.locator("#runs")).to_contain_text(xavier.name)
        sync_api.expect(page.locator("#lead")).to_contain_text("56 profiles")
        # The front is worked out anew, and the limit stays where it was.
        sync_api.expect(page.locator("#job-basis")).not_to_contain_text(
            "from 12 profiles", timeout=PATIENCE_MS
        )
        assert page.locator(".front-grip").inner_text().startswith("9.0")
        assert page.evaluate("window.stays")


def test_a_job_is_found_by_its_name_and_kept_in_the_address(opened, fleet):
    with serve(fleet, port=0) as url:
        page = opened(url)
        page.get_by_label("Find").fill("nano LSTM")
        rows = page.locator("#jobs tbody tr")
        sync_api.expect(rows).to_have_count(1)
        rows.locator("button").click()
        title = page.locator("#job-title")
        sync_api.expect(title).to_have_text("lstm on Jetson Orin Nano 8GB (simulated)")
        sync_api.expect(title).to_be_focused()
        address = page.url
        again = opened(address, front=False)
        sync_api.expect(again.locator("#job-title")).to_have_text(
            "lstm on Jetson Orin Nano 8GB (simulated)", timeout=PATIENCE_MS
        )
        again.locator("#saves").wait_for(timeout=PATIENCE_MS)


def test_names_that_look_like_markup_are_text(opened, tmp_path):
    name, file = "<img src=x onerror=alert(1)>&quot;", tmp_path / "odd.db"
    board = pt.open_device("sim:orin-nano")
    with open_store(file) as store:
        store.add(
            pt.Profile(device=name, workload=name, mode=p.mode, time_ms=p.time_ms, power_w=p.power_w)
            for p in board.measure("lstm", pt.plan(board, 8))
        )
    with serve(file, port=0) as url:
        page = opened(url, front=False)
        page.locator("#front").wait_for(timeout=PATIENCE_MS)
        assert page.locator("#job-title").inner_text() == f"{name} on {name}"
        assert page.locator("img").count() == 0


def test_a_store_without_profiles_and_a_store_that_goes_away_are_told(opened, tmp_path):
    file = tmp_path / "empty.db"
    open_store(file).close()
    with serve(file, port=0) as url:
        page = opened(url, "phone", front=False)
        sync_api.expect(page.locator("#lead")).to_contain_text("There are no profiles yet")
        sync_api.expect(page.locator("caption:visible")).to_have_count(0)
        assert axe.Axe().run(page).response["violations"] == []
        file.rename(tmp_path / "away.db")
        problem = page.locator("#problem")
        sync_api.expect(problem).to_contain_text("there is no database", timeout=PATIENCE_MS)
        (tmp_path / "away.db").rename(file)
        sync_api.expect(problem).to_be_hidden(timeout=PATIENCE_MS)
    sync_api.expect(problem).to_contain_text("The server does not answer", timeout=PATIENCE_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_token_is_asked_for_once(opened, fleet, scheme):
    opened.expected += ["401"]
    with serve(fleet, port=0, token=TOKEN) as url:
        page = opened(url, "phone", scheme, front=False)
        assert axe.Axe().run(page).response["violations"] == []
        page.get_by_label("Token").fill("not the token at all")
        page.get_by_role("button").click()
        sync_api.expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_label("Token").press("Enter")
        page.locator("#saves").wait_for(timeout=PATIENCE_MS)
        (cookie,) = page.context.cookies()

    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in page.url
    assert re.fullmatch("[0-9a-f]{64}", cookie["value"])
