"""The page of one front, and what every page says of a device and of itself."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version

from powertrain.devices import AbstractDevice
from powertrain.report import FrontView, ReportPage, Section
from powertrain.wording import counted

__all__ = ["footer", "front_page", "spec_to_apply"]


def front_page(view: FrontView, *, simulated: bool) -> ReportPage:
    """Return the page of one front alone."""
    return ReportPage(
        title=view.title,
        lead=f"{counted(view.total, 'mode')}, {view.basis}. Drag the power limit to see the "
        f"{view.goal.sought} under it.",
        simulated="Every number comes from formulas, none from hardware." if simulated else "",
        sections=(Section(title="Time and power", fronts=(view,)),),
        footer=footer(),
    )


def spec_to_apply(device: AbstractDevice | None) -> str:
    """Return what opens a device for `powertrain apply`; nothing where its modes cannot be set."""
    return "" if device is None or device.recorded else device.spec


def footer() -> str:
    """Return how a page came about."""
    return f"Made by PowerTrain {version('powertrain')} on {date.today().isoformat()}."
