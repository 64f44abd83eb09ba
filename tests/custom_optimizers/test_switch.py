"""What a Switch is made of, and what it refuses."""

import json

import keras
import numpy as np
import pytest

from callbacks import FullBatch
from custom_optimizers import BFGS, LBFGS, Accumulate, BatchGD, Muon, NonlinearCG, SelfScaledBroyden, Switch
from custom_optimizers.clipping import ByGlobalNorm
from custom_optimizers.line_search import CDAT, StrongWolfe
from tests.small import flat

adam = keras.optimizers.Adam


def built(optimizer):
    optimizer.build([keras.Variable(np.ones(3, "float32"))])
    return optimizer


REFUSED = {  # each message is one line
    "no moment": (lambda: Switch(adam(), LBFGS()), "Switch: give `after` or `patience`"),
    "no updates": (lambda: Switch(adam(), LBFGS(), after=0), "Switch: `after` must be an int >= 1"),
    "half an update": (lambda: Switch(adam(), LBFGS(), after=1.5), "Switch: `after` must be an int >= 1"),
    "no patience": (lambda: Switch(adam(), LBFGS(), patience=0), "Switch: `patience` must be an int >= 1"),
    "a negative difference": (
        lambda: Switch(adam(), LBFGS(), patience=3, min_delta=-1),
        "Switch: `min_delta` must be a finite number >= 0",
    ),
    "then no search": (
        lambda: Switch(adam(), BatchGD(0.1), after=3),
        "Switch: `then` must be an optimizer with a search: LBFGS, BFGS, SelfScaledBroyden, NonlinearCG, or BatchGD",
    ),
    "then of Keras": (lambda: Switch(adam(), adam(), after=3), "Switch: `then` must be an optimizer with a search"),
    "then a name": (lambda: Switch(adam(), "lbfgs", after=3), "Switch: `then` must be .* Received: 'lbfgs'"),
    "then a switch": (
        lambda: Switch(adam(), Switch(adam(), LBFGS(), after=2), after=3),
        "Switch: `then` must be an optimizer with a search",
    ),
    "then that is built": (
        lambda: Switch(adam(), built(BFGS()), after=3),
        "Switch: `then` must not be built yet; give it a new BFGS",
    ),
    "then with diagnostics": (
        lambda: Switch(adam(), LBFGS(diagnostics=True), after=3),
        "Switch: give `diagnostics` to Switch, not to the second LBFGS",
    ),
    "inner that is built": (
        lambda: Switch(built(adam()), LBFGS(), after=3),
        "Switch: `inner` must not be built yet; give it a new Adam",
    ),
    "inner with a search": (
        lambda: Switch(LBFGS(), BFGS(), after=3),
        "Switch: `inner` cannot be a LBFGS with a search",
    ),
    "inner that wraps": (lambda: Switch(Accumulate(adam()), BFGS(), after=3), "`inner` cannot be a Accumulate"),
    "inner with an average": (
        lambda: Switch(adam(use_ema=True), BFGS(), after=3),
        "Switch: give `use_ema` to Switch, not to the inner Adam",
    ),
    "an average": (
        lambda: Switch(adam(), BFGS(), after=3, use_ema=True),
        "Switch has no `use_ema`: the loss is lowest at the weights themselves",
    ),
    "loss scaling": (
        lambda: Switch(adam(), BFGS(), after=3, loss_scale_factor=8.0),
        "Switch has no `loss_scale_factor`: it goes by the loss as it is",
    ),
    "steps of its own": (
        lambda: Switch(adam(), BFGS(), after=3, gradient_accumulation_steps=4),
        "Switch has no `gradient_accumulation_steps`: `callbacks.FullBatch",
    ),
    "a rate": (lambda: Switch(adam(), BFGS(), after=3, learning_rate=0.1), "give `learning_rate` to the inner"),
    "within another": (lambda: Accumulate(Switch(adam(), BFGS(), after=3)), "cannot be a Switch with a search"),
    "a rule for descent": (
        lambda: Switch(adam(), NonlinearCG(line_search=CDAT()), after=3),
        "NonlinearCG: CDAT is a rule for steps along the gradient alone",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


MADE = {
    "by updates": lambda: Switch(adam(0.02, weight_decay=0.1), SelfScaledBroyden(max_parameters=99), after=500),
    "on a plateau": lambda: Switch(Muon(0.02), LBFGS(7, StrongWolfe(1e-4, 0.5)), patience=20, min_delta=1e-3),
    "both": lambda: Switch(
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 50)), BFGS(), 30, 5, clipping=ByGlobalNorm(1.0)
    ),
    "a rule": lambda: Switch(adam(), BatchGD(0.3, line_search="cdat"), after=2, diagnostics=True),
}


@pytest.mark.parametrize("name", MADE)
def test_its_config_makes_it_again(name):
    one = MADE[name]()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(one)))
    other = keras.saving.deserialize_keras_object(config)
    assert other.get_config() == one.get_config()
    assert (other.after, other.patience, other.min_delta) == (one.after, one.patience, one.min_delta)
    assert type(other.then) is type(one.then)
    assert other.search.line_search == one.then.line_search
    assert other.search.first_step == pytest.approx(one.search.first_step)
    assert other.clipping == one.clipping
    assert float(other.learning_rate) == pytest.approx(float(one.learning_rate))


def test_too_many_parameters_are_refused_by_each_fit():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.ones((8, 4), "float32")
    for optimizer in (BFGS(max_parameters=14), Switch(adam(), SelfScaledBroyden(max_parameters=14), after=2)):
        model.compile(optimizer, "mse")
        for _ in range(2):
            with pytest.raises(ValueError, match=r"of the 15 trained parameters, .* `max_parameters` is 14: raise it"):
                model.fit(x, x[:, :3], verbose=0, callbacks=[FullBatch()])
    before = flat(model)
    model.compile(BFGS(max_parameters=15), "mse")
    model.fit(x, x[:, :3], epochs=3, verbose=0, callbacks=[FullBatch()])
    assert np.abs(flat(model) - before).max() > 0
