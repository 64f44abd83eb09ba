"""What a subclass of `Descent`, `Clipper` or `Schedule` declares wrongly is told in one line when the class is made."""

import functools
import inspect
import types

import keras
import pytest
from keras import ops

from custom_optimizers import BatchGD, Descent, Muon
from custom_optimizers.clipping import AGC, ByFactor, ByNorm, Clipper
from custom_optimizers.descent import ATTRIBUTES
from custom_optimizers.schedules import OneCycle
from custom_optimizers.schedules.schedule import Schedule


def made(base, taking=None, **body):
    """A subclass `Own` with something in its body, whose `__init__` may take arguments: a text such as `"beta=0.9"`."""
    if taking is not None:
        space = {"base": base}
        exec(f"def __init__(self, *args, {taking}, **kwargs): base.__init__(self, *args, **kwargs)", space)
        body["__init__"] = space["__init__"]
    return types.new_class("Own", (base,), exec_body=lambda space: space.update(body))


HIDDEN = [  # names that an argument cannot have, and whose they are
    (Descent, "decay", "Descent"),
    (Descent, "finish", "Descent"),
    (Descent, "share", "Descent"),
    (Descent, "rule", "Descent"),
    (Descent, "prepare", "Descent"),
    (Descent, "scope", "Descent"),
    (Descent, "micro_batch", "Descent"),
    (Descent, "patterns", "Descent"),
    (Descent, "iterations", "Descent"),
    (Descent, "variables", "Descent"),
    (Descent, "slots", "Descent"),
    (Descent, "multipliers", "Descent"),
    (Descent, "arithmetic", "Descent"),
    (Descent, "slot_names", "Descent"),
    (Descent, "assign", "Descent"),
    (BatchGD, "from_preset", "BatchGD"),
    (Clipper, "clip", "Clipper"),
    (Clipper, "patterns", "Clipper"),
    (Clipper, "initial_state", "Clipper"),
    (ByFactor, "factor", "ByFactor"),
    (ByNorm, "clip", "Clipper"),
    (Schedule, "factor", "Schedule"),
]


@pytest.mark.parametrize(("base", "name", "owner"), HIDDEN)
def test_an_argument_cannot_hide_what_the_base_class_has(base, name, owner):
    with pytest.raises(TypeError) as caught:
        made(base, f"{name}=0.9", arguments=(*base.arguments, name))
    assert str(caught.value) == (
        f"Own: `__init__` cannot have an argument `{name}`, since its attribute would hide `{name}` of {owner}; "
        "call it something else."
    )


@pytest.mark.parametrize("base", [Descent, BatchGD])
def test_arguments_of_descent_may_be_taken_again(base):
    names = [name for name in inspect.signature(Descent.__init__).parameters if name not in ("self", "kwargs")]
    for name in names:
        assert issubclass(made(base, f"{name}=None"), base)


def test_attributes_of_an_optimizer_are_methods_arguments_or_listed():
    optimizer = Descent(0.1, gradient_accumulation_steps=2, diagnostics=True, use_ema=True)
    optimizer.build([keras.Variable([1.0])])
    known = {*ATTRIBUTES, *dir(Descent), *inspect.signature(Descent.__init__).parameters}
    assert {name for name in vars(optimizer) if not name.startswith("_")} <= known


WRONG = [
    (Descent, {"slot_names": "velocity"}, "`slot_names` must be a tuple of names, written like ('velocity',)"),
    (
        Descent,
        {"slot_names": None},
        "`slot_names` must be a tuple of names, written like ('momentum',). Received: None",
    ),
    (Descent, {"slot_names": (1,)}, "`slot_names` must be a tuple of names"),
    (Descent, {"arguments": "momentum"}, "`arguments` must be a tuple of names, written like ('momentum',)"),
    (Clipper, {"arguments": "limit"}, "`arguments` must be a tuple of names, written like ('limit',)"),
    (Schedule, {"arguments": "horizon"}, "`arguments` must be a tuple of names, written like ('horizon',)"),
    (Descent, {"arithmetic": "no"}, "`arithmetic` must be True or False, or a property. Received: 'no'"),
    (Descent, {"rate_times_gradient": None}, "`rate_times_gradient` must be True or False"),
    (Descent, {"decay": 0.9}, "`decay` is 0.9 and hides the method `decay` of Descent; call it something else."),
    (ByNorm, {"clip": 1.0}, "`clip` is 1.0 and hides the method `clip` of Clipper"),
    (Descent, {"arguments": ("momentum",)}, "`arguments` has 'momentum', which `__init__` does not take"),
    (ByNorm, {"arguments": ("limit", "eps")}, "`arguments` has 'eps', which `__init__` does not take"),
]


@pytest.mark.parametrize(("base", "body", "said"), WRONG, ids=lambda value: getattr(value, "__name__", None))
def test_a_declaration_that_cannot_be(base, body, said):
    with pytest.raises(TypeError) as caught:
        made(base, **body)
    assert str(caught.value).startswith(f"Own: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "declared", "missing"),
    [
        (Descent, (), "beta"),
        (BatchGD, ("beta",), "momentum, nesterov, velocity, line_search"),
        (AGC, ("limit", "eps", "exclude"), "beta"),
    ],
)
def test_an_argument_that_a_saved_model_would_forget(base, declared, missing):
    with pytest.raises(TypeError, match=f"Own: `__init__` takes {missing}, which `arguments` lacks"):
        made(base, "beta=0.9", arguments=declared)
    of_its_own = functools.partialmethod(base.get_config)
    assert made(base, "beta=0.9", arguments=declared, get_config=of_its_own).arguments == declared


def test_slot_names_of_a_property_are_checked_when_the_optimizer_is_built():
    own = made(Descent, slot_names=property(lambda self: "velocity"))
    with pytest.raises(TypeError, match=r"Own: `slot_names` must be a tuple of names, written like \('velocity',\)"):
        own(0.1).apply([ops.array([1.0])], [keras.Variable([1.0])])


def test_what_a_subclass_may_declare():
    assert made(Muon, "beta=0.9", arguments=(*Muon.arguments, "beta"), arithmetic=property(lambda self: False))
    assert made(BatchGD, slot_names=["momentum"], rate_times_gradient=False, needs_dense_gradients=True)
    assert made(OneCycle, rule=0.3)  # is no method of schedules
    fixed = made(BatchGD, __init__=lambda self: BatchGD.__init__(self, 0.1, 0.9))
    assert fixed().momentum == 0.9
