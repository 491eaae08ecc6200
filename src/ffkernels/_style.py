"""How all pictures look."""

from __future__ import annotations

from typing import Any

BLUE, ORANGE, GREY = "#1f6fb4", "#e8710a", "#9aa0a6"
GREEN, PURPLE = "#2a9d5c", "#8a56ac"
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.titlesize": "large",
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 144,
}
