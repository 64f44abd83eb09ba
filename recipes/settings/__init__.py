"""What is typed on a command line: fields of recipes, the names there are, and the grammar of what goes behind them."""

from recipes.settings.clippers import clipping
from recipes.settings.fields import choice, expression, number, several, switch, text, whole
from recipes.settings.images import images, skip_broken
from recipes.settings.line_searches import line_search
from recipes.settings.optimizers import accumulation, multipliers, optimizer, passes_per_epoch
from recipes.settings.schedules import schedule
from recipes.settings.weights import weights

__all__ = [
    "accumulation",
    "choice",
    "clipping",
    "expression",
    "images",
    "line_search",
    "multipliers",
    "number",
    "optimizer",
    "passes_per_epoch",
    "schedule",
    "several",
    "skip_broken",
    "switch",
    "text",
    "weights",
    "whole",
]
