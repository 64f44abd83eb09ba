"""The optimizers and clippers that a command line can name: ours and Keras's.

Names are looked up without importing Keras, so that a wrong one is answered at once.
"""

import math
import re

from recipes.errors import CommandError
from recipes.nearest import unknown

OURS = ("BatchGD",)
KERAS = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
)
WITH_MOMENTUM = ("BatchGD", "Muon", "RMSprop", "SGD")
CLIPPERS = {  # name: (class here, what Keras's optimizers call it)
    "by_value": ("ByValue", "clipvalue"),
    "by_norm": ("ByNorm", "clipnorm"),
    "by_global_norm": ("ByGlobalNorm", "global_clipnorm"),
}


def snake_case(name):
    """`BatchGD` as `batch_gd`, `RMSprop` as `rmsprop`, `AdamW` as `adamw`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][A-Za-z])", "_", name).lower()


def class_name(name):
    """The class that `name` stands for, written in snake_case or as the class is.

    Raises:
        CommandError: there is none; the message has the nearest names.
    """
    for known in OURS + KERAS:
        if name in (known, snake_case(known), known.lower()):
            return known
    raise CommandError(unknown("optimizer", name, [snake_case(known) for known in OURS + KERAS]))


def parse_clipping(text):
    """`"by_global_norm:1.0"` as `("by_global_norm", 1.0)`, `"none"` as None.

    Raises:
        CommandError: the clipper is not known or its bound is no number > 0.
    """
    if text == "none":
        return None
    name, _, bound = text.partition(":")
    if name not in CLIPPERS:
        raise CommandError(unknown("clipper", name, [*CLIPPERS, "none"]))
    try:
        limit = float(bound)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise CommandError(f"--clipping {text}: write a bound > 0 behind the name, such as {name}:1.0")
    return name, limit


def check_momentum(name, momentum):
    """Raise a CommandError if an optimizer is given a momentum that it cannot have."""
    if momentum is None:
        return
    if class_name(name) not in WITH_MOMENTUM:
        raise CommandError(f"--momentum: {snake_case(class_name(name))} has no momentum")
    if not 0 <= momentum <= 1:
        raise CommandError(f"--momentum must lie in 0 to 1; it is {momentum}")


def makes_full_batches(name):
    """Whether the optimizer is one of ours, which trains on the whole training set behind every update."""
    return class_name(name) in OURS


def make(name, *, learning_rate, momentum, clipping):
    """Build an optimizer; under the policy mixed_float16, within a `LossScaleOptimizer`.

    Args:
        name: str, as `class_name` takes it.
        learning_rate: float.
        momentum: float, or None for the optimizer's own default.
        clipping: str, as `parse_clipping` takes it.
    """
    import keras

    import custom_optimizers
    import custom_optimizers.clipping as clippers

    named = class_name(name)
    ours = named in OURS
    cls = getattr(custom_optimizers if ours else keras.optimizers, named)
    given = {"learning_rate": learning_rate} | ({} if momentum is None else {"momentum": momentum})
    bound = parse_clipping(clipping)
    if bound:
        ours_name, keras_name = CLIPPERS[bound[0]]
        given |= {"clipping": getattr(clippers, ours_name)(bound[1])} if ours else {keras_name: bound[1]}
    made = cls(**given)
    if keras.config.dtype_policy().name == "mixed_float16":
        # Keras would do it in `compile`, and forget it in the saved model.
        return keras.optimizers.LossScaleOptimizer(made)
    return made
