"""Differential equations and networks that solve them: derivatives, residuals, points, the recipe they make."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["series"],
    submod_attrs={
        "chebyshev": ["chebyshev"],
        "equation": ["PRESETS", "Equation"],
        "judged": ["judged", "residuals"],
        "points": ["Points"],
        "residual": ["Residual", "SumOfSquares"],
        "series": ["Series", "cos", "exp", "sigmoid", "silu", "sin", "tanh"],
        "through": ["through"],
    },
)
