"""`BatchGD` as a drop-in for `keras.optimizers.SGD`, and its own arguments."""

import inspect
import itertools
import json

import keras
import numpy as np
import pytest
from keras import ops

from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm, ByValue
from tests.small import compiled, flat, relative, samples

SGD_ARGUMENTS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.01},
    {"clipnorm": 0.1},
    {"clipvalue": 0.01},
    {"global_clipnorm": 0.1},
    {"use_ema": True, "ema_momentum": 0.9},
    {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 128.0},
    {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)},
    {"learning_rate": 0.05, "name": "mine"},
]


def trained(optimizer):
    keras.utils.clear_session()  # names are counted from the start
    model = compiled(lambda: optimizer)
    x, y = samples(200)
    model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("arguments", SGD_ARGUMENTS, ids=lambda a: "-".join(a) or "plain")
def test_same_numbers_and_variables_as_sgd(arguments):
    ours, theirs = trained(BatchGD(**arguments)), trained(keras.optimizers.SGD(**arguments))
    assert relative(flat(ours), flat(theirs)) < 1e-7
    described = [[(v.name, v.shape, v.dtype) for v in m.optimizer.variables] for m in (ours, theirs)]
    assert described[0] == described[1]
    for mine, other in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-5, atol=1e-8)


def test_takes_every_argument_of_sgd():
    defaults = keras.optimizers.SGD().get_config()
    ours = BatchGD().get_config()
    assert {name: ours[name] for name in defaults if name != "name"} == {
        name: value for name, value in defaults.items() if name != "name"
    }


def test_positions_are_those_of_sgd():
    ours, theirs = (list(inspect.signature(cls).parameters) for cls in (BatchGD, keras.optimizers.SGD))
    assert ours[: len(theirs) - 1] == theirs[:-1]  # without kwargs


def test_trains_embeddings_with_sparse_gradients_like_sgd():
    results = []
    for optimizer in (BatchGD(0.01, 0.9), keras.optimizers.SGD(0.01, 0.9), BatchGD(0.01, 0.9, diagnostics=True)):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Embedding(20, 3), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(optimizer=optimizer, loss="mse")
        x = np.arange(40).reshape(20, 2) % 15
        model.fit(x, x.sum(axis=1), batch_size=5, epochs=3, shuffle=False, verbose=0)
        results.append(flat(model))
    assert relative(results[0], results[1]) < 1e-6
    assert relative(results[2], results[1]) < 1e-6


# The cases of Keras's own tests of SGD.


def test_one_step_by_hand():
    optimizer = BatchGD(learning_rate=0.5)
    assert len(optimizer.variables) == 2
    variable = keras.Variable([1.0, 2.0, 3.0, 4.0])
    optimizer.build([variable])
    optimizer.apply_gradients([(ops.array([1.0, 6.0, 7.0, 2.0]), variable)])
    np.testing.assert_allclose(variable, [0.5, -1.0, -0.5, 3.0], rtol=1e-6)
    assert len(optimizer.variables) == 2
    assert optimizer.variables[0].numpy() == 1
    assert optimizer.variables[1].numpy() == 0.5


@pytest.mark.parametrize("exclude", [None, "names", "variables"])
def test_weight_decay_by_hand(exclude):
    kept, decayed = keras.Variable(2.0, name="exclude"), keras.Variable(2.0)
    optimizer = BatchGD(learning_rate=1.0, weight_decay=0.004)
    if exclude == "names":
        optimizer.exclude_from_weight_decay(var_names=["exclude"])
    elif exclude == "variables":
        optimizer.exclude_from_weight_decay(var_list=[kept])
    optimizer.apply_gradients([(ops.zeros(()), kept), (ops.zeros(()), decayed)])
    assert decayed.numpy() == pytest.approx(1.992, abs=1e-6)
    assert kept.numpy() == pytest.approx(2.0 if exclude else 1.992, abs=1e-6)


def test_golden_table_of_nesterov_without_momentum():
    """Keras's golden values: after a gradient of 0.01, steps of 0.01 times 0.1, 0.2, … 1.0."""
    optimizer = BatchGD(nesterov=True)
    x = keras.Variable(np.ones(10))
    gradient = np.arange(0.1, 1.05, 0.1).astype("float32")
    optimizer.apply_gradients([(ops.full((10,), 0.01), x)])
    for step in range(5):
        np.testing.assert_allclose(x, 0.9999 - 0.01 * step * gradient, rtol=5e-4, atol=5e-4)
        optimizer.apply_gradients([(ops.array(gradient), x)])


@pytest.mark.parametrize(
    ("arguments", "expected"), [({"clipnorm": 1}, [2**0.5 / 2] * 2), ({"clipvalue": 1}, [1.0, 1.0])]
)
def test_clip_arguments_of_keras(arguments, expected):
    clipped = BatchGD(**arguments)._clip_gradients([np.array([100.0, 100.0])])
    np.testing.assert_allclose(clipped[0], expected, rtol=1e-6)


# Its own arguments.


def torch_sgd(w, gradients, rates, momentum, nesterov, decay):
    """The rule of torch.optim.SGD, dampening 0, in numpy."""
    velocity = np.zeros_like(w)
    for gradient, rate in zip(gradients, rates, strict=True):
        gradient = gradient + decay * w
        velocity = momentum * velocity + gradient
        w = w - rate * (gradient + momentum * velocity if nesterov else velocity)
    return w


@pytest.mark.parametrize(("nesterov", "decay"), list(itertools.product([False, True], [0.0, 0.1])))
def test_torch_velocity_and_coupled_decay_under_a_schedule(nesterov, decay):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(8, 5))
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = BatchGD(
        schedule, 0.9, nesterov, velocity="torch", weight_decay=decay or None, weight_decay_mode="coupled"
    )
    w = keras.Variable(start, dtype="float64")
    for gradient in gradients:
        optimizer.apply([ops.array(gradient)], [w])
    rates = [float(schedule(step)) for step in range(8)]
    np.testing.assert_allclose(w, torch_sgd(start, gradients, rates, 0.9, nesterov, decay), rtol=1e-6)


def test_the_two_velocities_differ_under_a_schedule_only():
    def end(velocity, rate):
        optimizer = BatchGD(rate, 0.9, velocity=velocity)
        w = keras.Variable([1.0, 2.0])
        for _ in range(5):
            optimizer.apply([ops.array([0.3, -0.2])], [w])
        return w.numpy()

    np.testing.assert_allclose(end("keras", 0.1), end("torch", 0.1), rtol=1e-6)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    assert not np.allclose(end("keras", schedule), end("torch", schedule), rtol=1e-3)


WRONG = [
    ({"line_search": "armijo", "nesterov": True}, "has no `nesterov`"),
    ({"line_search": "armijo", "velocity": "torch"}, "has no `velocity`"),
    ({"momentum": 1.5}, "momentum"),
    ({"velocity": "tf"}, "velocity"),
    ({"weight_decay_mode": "l2"}, "weight_decay_mode"),
    ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps"),
    ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps"),
    ({"gradient_accumulation_steps": 2.0}, "gradient_accumulation_steps"),
    ({"gradient_accumulation_steps": True}, "gradient_accumulation_steps"),
    ({"gradient_accumulation_steps": "pass"}, "gradient_accumulation_steps"),
    ({"clipping": 1.0}, "clipping"),
    ({"clipping": ByValue(1.0), "clipnorm": 1.0}, "clipping"),
    ({"clipnorm": 1.0, "clipvalue": 1.0}, "clipnorm"),
    ({"learning_rate": 1}, "learning_rate"),
    ({"use_ema": True, "ema_momentum": 2.0}, "ema_momentum"),
    ({"steps": 3}, "steps"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named) as caught:
        BatchGD(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        *SGD_ARGUMENTS,
        {"gradient_accumulation_steps": 3},
        {"gradient_accumulation_steps": "epoch"},
        {"clipping": ByGlobalNorm(0.5)},
        {"clipping": [ByValue(1.0), ByGlobalNorm(0.5)], "diagnostics": True},
        {"velocity": "torch", "weight_decay": 0.1, "weight_decay_mode": "coupled"},
    ],
    ids=lambda a: "-".join(a) or "plain",
)
def test_config_round_trip(arguments):
    optimizer = BatchGD(**arguments)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    assert config["registered_name"] == "custom_optimizers>BatchGD"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is BatchGD
    assert again.get_config() == optimizer.get_config()
    assert again.clipping == optimizer.clipping


def test_the_first_step_of_a_line_search_comes_back_as_it_was_given():
    """And not as the variable of the learning rate has it, in float32."""
    optimizer = BatchGD(0.1, line_search="armijo")
    assert optimizer.get_config()["learning_rate"] == 0.1
    assert BatchGD.from_config(optimizer.get_config()).search.first_step == 0.1
