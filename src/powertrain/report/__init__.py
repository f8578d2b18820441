"""Reports: tables, plots and one self-contained HTML page, each a function of a frozen record.

Only drawing needs matplotlib (`pip install 'powertrain[report]'`); tables and pages do not.
"""

from __future__ import annotations

from powertrain.report._fitting import FittedTable, fit_table, wrap_words
from powertrain.report._front_view import FrontView, Goal, Marks, apply_words, front_json, front_view
from powertrain.report._html import Fact, Illustration, ReportPage, Section, page_asset, render_html
from powertrain.report._plot_data import (
    AgreementPanel,
    AgreementPlot,
    Curve,
    FrontPlot,
    LearningPlot,
    Line,
    LinePanel,
    LinePlot,
    Points,
    agreement_plot,
    front_plot,
    learning_plot,
)
from powertrain.report._plots import draw_agreement, draw_front, draw_learning, draw_lines, log_ticks
from powertrain.report._run_plot import RunPlot, Stretch, draw_run
from powertrain.report._style import BLUE, INK, MUTED, ORANGE, figure_svg, save_figure, styled
from powertrain.report._tables import (
    Cell,
    Column,
    Table,
    format_number,
    to_html,
    to_markdown,
    to_text,
)

__all__ = [
    "BLUE",
    "INK",
    "MUTED",
    "ORANGE",
    "AgreementPanel",
    "AgreementPlot",
    "Cell",
    "Column",
    "Curve",
    "Fact",
    "FittedTable",
    "FrontPlot",
    "FrontView",
    "Goal",
    "Illustration",
    "LearningPlot",
    "Line",
    "LinePanel",
    "LinePlot",
    "Marks",
    "Points",
    "ReportPage",
    "RunPlot",
    "Section",
    "Stretch",
    "Table",
    "agreement_plot",
    "apply_words",
    "draw_agreement",
    "draw_front",
    "draw_learning",
    "draw_lines",
    "draw_run",
    "figure_svg",
    "fit_table",
    "format_number",
    "front_json",
    "front_plot",
    "front_view",
    "learning_plot",
    "log_ticks",
    "page_asset",
    "render_html",
    "save_figure",
    "styled",
    "to_html",
    "to_markdown",
    "to_text",
    "wrap_words",
]
