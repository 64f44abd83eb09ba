"""Optimizers and clippers of the names that `recipes.settings` has."""

import inspect

import keras

import custom_optimizers
from custom_optimizers import clipping as clippers
from recipes.errors import CommandError
from recipes.settings.clippers import CLIPPERS, parse_clipping
from recipes.settings.optimizers import KERAS, OURS, parse_optimizer, with_line_search


def make_optimizer(text, *, learning_rate, momentum, clipping, weight_decay=None, line_search=None, **options):
    """Build an optimizer; under the policy mixed_float16, within a `LossScaleOptimizer`.

    Args:
        text: str, as `recipes.settings.optimizers.parse_optimizer` takes it; or what makes an optimizer of the
            arguments of `custom_optimizers.Descent`, and of `momentum` if that is given: a class of one's own.
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`. Beside a line search it is the
            step that is tried first; an optimizer that has no rate gets none.
        momentum: float, or None for the optimizer's own default.
        clipping: str, as `recipes.settings.clippers.parse_clipping` takes it.
        weight_decay: float, or None for the optimizer's own default.
        line_search: str, as `recipes.settings.line_searches` has it; None for what the optimizer has by itself.
        options: arguments of `custom_optimizers.Descent`, None for its default. An optimizer of Keras gets by
            `custom_optimizers.Accumulate` what it has not by itself.
    """
    chosen = text if callable(text) else parse_optimizer(with_line_search(text, line_search))
    is_ours = callable(chosen) or chosen.is_ours
    options = {name: value for name, value in options.items() if value is not None}
    of_keras = None if is_ours or options else _arguments_of_keras(clipping)
    clippers = make_clippers(clipping)
    given = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    given = {name: value for name, value in given.items() if value is not None}
    if not callable(chosen) and not chosen.has_rate:
        del given["learning_rate"]
    try:
        if is_ours:
            made = _make(chosen, given, clipping=clippers or None, **options)
        elif of_keras is not None:
            made = _make(chosen, given, **of_keras)
        else:
            made = custom_optimizers.Accumulate(_make(chosen, given), clipping=clippers or None, **options)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if keras.config.dtype_policy().name == "mixed_float16":
        if getattr(made, "search", None) is not None:
            raise CommandError(f"--dtype float16 scales the loss, by which {text} finds its steps: give another")
        # Keras would do it in `compile`, and forget it in the saved model.
        return keras.optimizers.LossScaleOptimizer(made)
    return made


def has_momentum(make):
    """Whether a class or function that makes an optimizer has an argument `momentum`."""
    return "momentum" in inspect.signature(make).parameters


def build_optimizer(model):
    """Build a compiled model's optimizer now: a CommandError if an expression matches none of its variables."""
    try:
        model.optimizer.build(model.trainable_variables)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _make(chosen, given, **options):
    """An optimizer with what it is given, or the optimizer that it wraps; the options are those of the outer one."""
    if callable(chosen):
        return chosen(**given, **options)
    if not chosen.is_ours:
        return getattr(keras.optimizers, KERAS[chosen.name])(**given, **chosen.values, **options)
    named, cls = OURS[chosen.name], _class_of(chosen.name)
    if chosen.inner is not None:
        alone = {"gradient_accumulation_steps": None} if chosen.inner.name == "accelerated_gd" else {}
        then = {"then": _class_of(chosen.values["then"])()} if chosen.has_search else {}
        return cls(_make(chosen.inner, given, **alone), **{**chosen.values, **then}, **options)
    if named.preset is not None:
        return cls.from_preset(named.preset, **given, **chosen.values, **options)
    return cls(**given, **chosen.values, **options)


def _class_of(name):
    """The class of an optimizer of this package."""
    return getattr(custom_optimizers, OURS[name].cls)


def make_clippers(text):
    """The clippers of `custom_optimizers.clipping` that `parse_clipping` reads, a list."""
    return [getattr(clippers, CLIPPERS[name].cls)(**values) for name, values in parse_clipping(text)]


def _arguments_of_keras(text):
    """The arguments of an optimizer of Keras that clip so, a dict; None if Keras has none that do."""
    found = parse_clipping(text)
    if len(found) > 1 or any(CLIPPERS[name].of_keras is None for name, _ in found):
        return None
    return {CLIPPERS[name].of_keras: values["limit"] for name, values in found}
