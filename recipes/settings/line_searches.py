"""The line searches and rules for steps that `--line-search` takes.

`custom_optimizers.line_search` has them; names are looked up here, without importing Keras.
"""

import dataclasses

from recipes.settings import fields
from recipes.settings.nearest import spelled

LINE_SEARCHES = {
    "strong_wolfe": "enough decrease and a small slope, as L-BFGS-B looks for; that of lbfgs unless another is given",
    "hager_zhang": "the same by slopes, where losses differ by rounding only: near a minimum in float32",
    "armijo": "enough decrease, going back from the first step",
    "nonmonotone_armijo": "the same below the highest loss of the last ten updates, not below the last one",
    "barzilai_borwein": "of batch_gd: by the curvature along the last step, with the test of nonmonotone_armijo",
    "ad_gd": "of batch_gd: by how much the gradient has changed along the last step, without a test",
    "polyak": "of batch_gd: the loss, whose lowest value is taken to be 0, by the squared norm of the gradient",
    "cdat": "of batch_gd: twice the best step along the gradient by its curvature, for which there is a second pass",
}
OF_DESCENT = ("barzilai_borwein", "ad_gd", "polyak", "cdat")  # rules for steps along the gradient alone
WITHOUT_FIRST_STEP = ("polyak", "cdat")  # whose first step is found too, and not given by the learning rate


def named(default):
    """A parameter or setting: one of `LINE_SEARCHES`, however it is written."""

    def read(value):
        return spelled(value, LINE_SEARCHES) if isinstance(value, str) else None

    return dataclasses.replace(fields.choice(default, names=LINE_SEARCHES), read=read)


def line_search(default=None, help="how batch_gd, lbfgs and others find each step: see list --line-searches"):
    """A field of a recipe that has the field `optimizer`: what finds the length of its steps."""
    return dataclasses.replace(named(default), help=help, is_optional=True, of_optimizer=True, before=None)


def line_search_entries():
    """Every line search: `(its name, what it does)`."""
    width = max(map(len, LINE_SEARCHES))
    for name, text in LINE_SEARCHES.items():
        yield name.ljust(width), text
