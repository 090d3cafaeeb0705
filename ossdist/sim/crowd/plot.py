"""A plot of who is done when. Needs matplotlib, which is in the extra ``sim``."""

# pyright: reportUnknownMemberType=false
# matplotlib's own types leave its keyword arguments open.

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.sim.crowd.run import Result


def plot_completion(results: Mapping[str, Result], path: Path) -> None:
    """Draws the share of those who came that is complete, by the time since each one's arrival.

    Args:
        results: By how the legend is to call them.
        path: Where to; a PNG.

    Raises:
        OSError: It cannot be written.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)  # no window is ever opened
    axes = figure.add_subplot()
    for name, result in results.items():
        took = sorted(found.completed_s - found.arrived_s for found in result.outcomes if found.completed_s is not None)
        shares = [(place + 1) / result.came for place in range(len(took))]
        axes.step([0.0, *took], [0.0, *shares], where="post", label=name)
    axes.set_xlabel("seconds since arrival")
    axes.set_ylabel("share of downloads that are complete")
    axes.set_ylim(0, 1.02)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", dpi=120)
