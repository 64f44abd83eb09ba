"""Pictures of runs."""

from recipes.report.curves import curves

__all__ = ["curves"]
