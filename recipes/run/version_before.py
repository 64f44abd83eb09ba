"""What version 0.1 wrote in config.json, as this version has it: it is read, and not trained on."""

import contextlib

from recipes.errors import CommandError
from recipes.settings.optimizers import decays

VARIANTS = {  # of cifar10_cnn, which are recipes of their own since
    "fast": "cifar10_fast",
    "resnet9": "cifar10_fast",
    "full_batch": "cifar10_full_batch",
}
KINDS = {"tuner": "search", "contenders": "comparison", "seeds": "seeds", "judged_on": "trial"}  # by what each has
RECIPES = ("cifar10_cnn", "cifar10_gan", "linear_regression")
LEFT_OUT = {  # settings that these recipes have no longer; none of them had an effect
    "cifar10_cnn": ("activation", "width", "normalization"),
    "cifar10_fast": ("width", "normalization"),
    "cifar10_full_batch": ("variant",),
    "linear_regression": ("variant",),
}


def translated(config):
    """A config.json as this version has it: the same dict if this version wrote it."""
    if "kind" in config or config.get("recipe") not in RECIPES:
        return config
    kind = next((kind for name, kind in KINDS.items() if name in config), "run")
    recipe = config["recipe"]
    if recipe == "cifar10_cnn":
        recipe = VARIANTS.get(config.get("variant"), recipe)
    left = {name: value for name, value in config.items() if name not in (*LEFT_OUT.get(recipe, ()), "recipe")}
    return {"kind": kind, "recipe": recipe, **_with_effect(left)}


def _with_effect(config):
    """Without values that had no effect, and are refused since."""
    found = dict(config)
    if not found.get("gradient_regularizer") and "gradient_regularizer_method" in found:
        found["gradient_regularizer_method"] = "differences"
    if found.get("block_size") is None and "remainder" in found:
        found["remainder"] = "drop"
    if found.get("penalty") == "none":
        found["penalty_weight"] = None
    if found.get("weight_decay") is None and "weight_decay_mode" in found and not _decays(found):
        found |= {"weight_decay_mode": "decoupled", "exclude_from_weight_decay": None}
    return found


def _decays(config):
    """Whether an optimizer has a weight decay of its own; False for one that is none, which is told elsewhere."""
    with contextlib.suppress(CommandError):
        return decays(str(config.get("optimizer")))
    return False
