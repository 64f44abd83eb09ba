import keras

from custom_optimizers.line_search.armijo import Armijo
from custom_optimizers.line_search.hager_zhang import HagerZhang
from custom_optimizers.line_search.line_search import LineSearch
from custom_optimizers.line_search.nonmonotone_armijo import NonmonotoneArmijo
from custom_optimizers.line_search.strong_wolfe import StrongWolfe

BY_NAME = {
    "strong_wolfe": StrongWolfe,
    "hager_zhang": HagerZhang,
    "armijo": Armijo,
    "nonmonotone_armijo": NonmonotoneArmijo,
}


def as_line_search(owner, given):
    """The argument `line_search` of an optimizer, a name, a config or an object, as a `LineSearch`."""
    if isinstance(given, dict):
        given = keras.saving.deserialize_keras_object(given)
    if isinstance(given, str) and given in BY_NAME:
        given = BY_NAME[given]()
    if not isinstance(given, LineSearch):
        raise ValueError(
            f"{owner}: `line_search` must be one of {', '.join(map(repr, BY_NAME))}, or an object of "
            f"custom_optimizers.line_search. Received: line_search={given!r}"
        )
    return given
