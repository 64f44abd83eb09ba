"""Optimizers compared: who, for how much, and what of a difference is noise."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "budget": ["Budget", "parse_budget"],
        "compare": ["compare"],
        "comparison": ["Comparison"],
        "contender": ["Contender"],
        "contenders": ["parse_contenders"],
        "seed_rows": ["rows_of"],
        "summary": ["summarised"],
        "verdict": ["verdicts"],
    },
)
