"""The interactive page in a real browser: its size, how fast it is seen, how smoothly the limit is dragged.

    python benchmarks/page.py [--chromium /usr/bin/chromium] [--loads 5] [--seconds 5] [--out page.md]
    python benchmarks/page.py --picture docs/images/page.png    draw the picture in the documentation

The page is that of `powertrain report --predictor`: all 18,096 modes of a simulated AGX Orin as predicted,
and the 15 profiles behind the prediction. It is opened from its file in headless Chromium, each time in a new
context. Then the mouse takes hold of its limit, which is moved in every frame. `frames` counts calls of
requestAnimationFrame; headless Chromium makes at most 60 a second. `main thread` is how long the page's
thread was busy, as Chromium says. `processor` is the processor time of all processes of the browser, which
draw on the screen as well. Another job on the machine changes the frames a second, and the processor time
hardly.

It needs the packages of the group `integrations`, and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _harness import machine, table, today, write_result
from playwright.sync_api import Browser, Page, sync_playwright

import powertrain as pt
from powertrain.report import render_html
from powertrain.workflow import StoreSummary, store_page

SCREENS = {"1280 x 900": (1280, 900), "390 x 844": (390, 844)}
DRAG = """({ x, middle, reach }) => {
  const seen = (window.seen = { times: [], limits: 0, last: "" });
  const plot = document.querySelector(".front-plot");
  const grip = document.querySelector(".front-grip");
  const move = (time) => {
    seen.times.push(time);
    if (grip.textContent !== seen.last) seen.limits += 1;
    seen.last = grip.textContent;
    const y = middle + reach * Math.sin(Math.PI * (time - seen.times[0]) / 1000);
    const where = { clientX: x, clientY: y, pointerType: "mouse", bubbles: true };
    plot.dispatchEvent(new PointerEvent("pointermove", where));
    seen.frame = requestAnimationFrame(move);
  };
  seen.frame = requestAnimationFrame(move);
}"""
DRAGGED = "() => { cancelAnimationFrame(seen.frame); return [seen.times, seen.limits]; }"
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
FRONT_DRAWN = "() => performance.getEntriesByName('powertrain-front')[0]?.startTime ?? null"


@dataclass
class Drag:
    """How a drag went."""

    intervals_ms: np.ndarray
    limits: int
    """How often the limit changed."""
    main_ms: float
    processor_ms: float


def page_of_a_prediction() -> str:
    """Return the page of a workload that was profiled in 15 modes and is predicted in all."""
    board = pt.open_device("sim:orin-agx")
    reference = pt.fit(board.measure("resnet18", pt.plan(board, 400)))
    profiles = board.measure("mobilenet_v3", pt.plan(board, 15))
    predictor = pt.transfer([reference], profiles)
    summary = StoreSummary(name="a benchmark", tables=(profiles,), profiles=len(profiles), flagged=0)
    return render_html(store_page(summary, [predictor]))


def loaded(browser: Browser, file: Path, size: tuple[int, int]) -> tuple[Page, float, float]:
    """Open the page in a new context; return it, its first paint and when the front was drawn [ms]."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_function(FIRST_PAINT)
    # Where the front lies below the screen, it is drawn as the page is scrolled near it.
    page.wait_for_function(FRONT_DRAWN)
    return page, page.evaluate(FIRST_PAINT), page.evaluate(FRONT_DRAWN)


def dragged(page: Page, seconds: float) -> Drag:
    """Drag the limit up and down for some seconds."""
    page.locator(".front-plot").scroll_into_view_if_needed()
    grip = page.locator(".front-grip").bounding_box()
    plot = page.locator(".front-plot").bounding_box()
    if grip is None or plot is None:
        raise SystemExit("the page has no front to drag")
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    middle, reach = plot["y"] + 0.5 * plot["height"], 0.35 * plot["height"]
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(DRAG, {"x": x, "middle": middle, "reach": reach})
    main_s, processor_s = main_thread_s(session), browser_s()
    page.wait_for_timeout(1e3 * seconds)
    main_s, processor_s = main_thread_s(session) - main_s, browser_s() - processor_s
    times, limits = page.evaluate(DRAGGED)
    page.mouse.up()
    intervals = np.diff(times)
    return Drag(intervals, limits, 1e3 * main_s / len(intervals), 1e3 * processor_s / len(intervals))


def main_thread_s(session: Any) -> float:
    """Return how long the page's thread has worked."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["TaskDuration"]


def browser_s() -> float:
    """Return the processor time of all processes of the browser that this process has started."""
    parents: dict[int, int] = {}
    used: dict[int, tuple[str, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue  # it has ended meanwhile
        name, _, fields = rest.rpartition(") ")
        values = fields.split()
        parents[int(pid)] = int(values[1])
        used[int(pid)] = name, (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return sum(cpu_s for pid, (name, cpu_s) in used.items() if name.startswith("chrom") and is_ours(pid))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="The browser.")
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="Of each drag.")
    parser.add_argument(
        "--picture", type=Path, help="Write a picture of the front to this file, and time nothing."
    )
    parser.add_argument("--out", default="page.md")
    options = parser.parse_args()
    if options.chromium is None:
        raise SystemExit("there is no chromium here: install it (apt-get install chromium) or name one")
    html = page_of_a_prediction()
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        version = browser.version
        if options.picture is not None:
            page, *_ = loaded(browser, file, SCREENS["1280 x 900"])
            page.locator("figure.front").screenshot(path=options.picture)
            return
        for name, size in SCREENS.items():
            loads = [loaded(browser, file, size) for _ in range(options.loads)]
            drag = dragged(loads[-1][0], options.seconds)
            for page, *_ in loads:
                page.context.close()
            rows.append(row(name, [load[1:] for load in loads], drag))
        browser.close()
    head = (
        "screen", "first paint [ms]", "front drawn [ms]", "frames/s", "95 % of frames [ms]",
        "late frames [%]", "new limits/s", "main thread [ms/frame]", "processor [ms/frame]",
    )  # fmt: skip
    lines = [
        f"{today()}, {machine()}, Chromium {version}. Load average: {os.getloadavg()[0]:.1f}.",
        "",
        f"The page is one file of {len(html.encode()) / 1e6:.2f} MB with 18,096 modes. First paint and front "
        f"drawn: the slowest of {options.loads} loads. Late: over 25 ms after the frame before.",
        "",
        *table(head, rows),
    ]
    write_result(options.out, "The interactive page in headless Chromium", "python benchmarks/page.py", lines)


def row(name: str, loads: list[tuple[float, float]], drag: Drag) -> list[str]:
    """Return a line of the table."""
    painted_ms, drawn_ms = np.max(loads, axis=0)
    intervals = drag.intervals_ms
    return [
        name,
        f"{painted_ms:.0f}",
        f"{drawn_ms:.0f}",
        f"{1e3 / intervals.mean():.1f}",
        f"{np.percentile(intervals, 95):.1f}",
        f"{100 * np.mean(intervals > 25):.1f}",
        f"{1e3 * drag.limits / intervals.sum():.1f}",
        f"{drag.main_ms:.1f}",
        f"{drag.processor_ms:.1f}",
    ]


if __name__ == "__main__":
    main()
