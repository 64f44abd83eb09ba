import keras

from custom_optimizers.line_search.ad_gd import AdGD
from custom_optimizers.line_search.armijo import Armijo
from custom_optimizers.line_search.barzilai_borwein import BarzilaiBorwein
from custom_optimizers.line_search.cdat import CDAT
from custom_optimizers.line_search.hager_zhang import HagerZhang
from custom_optimizers.line_search.line_search import LineSearch
from custom_optimizers.line_search.nonmonotone_armijo import NonmonotoneArmijo
from custom_optimizers.line_search.polyak import Polyak
from custom_optimizers.line_search.strong_wolfe import StrongWolfe

BY_NAME = {
    "strong_wolfe": StrongWolfe,
    "hager_zhang": HagerZhang,
    "armijo": Armijo,
    "nonmonotone_armijo": NonmonotoneArmijo,
    "barzilai_borwein": BarzilaiBorwein,
    "ad_gd": AdGD,
    "polyak": Polyak,
    "cdat": CDAT,
}


def as_line_search(owner, given, is_descent=False):
    """The argument `line_search` of an optimizer, a name, a config or an object, as a `LineSearch`.

    Args:
        owner: str, the optimizer.
        given: the argument.
        is_descent: bool, whether the direction is that of gradient descent, which some are rules for.
    """
    if isinstance(given, dict):
        given = keras.saving.deserialize_keras_object(given)
    if isinstance(given, str) and given in BY_NAME:
        given = BY_NAME[given]()
    if not isinstance(given, LineSearch):
        names = (name for name, each in BY_NAME.items() if is_descent or not each.is_for_descent)
        raise ValueError(
            f"{owner}: `line_search` must be one of {', '.join(map(repr, names))}, or an object of "
            f"custom_optimizers.line_search. Received: line_search={given!r}"
        )
    if given.is_for_descent and not is_descent:
        raise ValueError(
            f"{owner}: {type(given).__name__} is a rule for steps along the gradient alone: give it to BatchGD."
        )
    return given
