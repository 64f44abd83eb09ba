import keras
import numpy as np
import pytest
from keras import ops

from callbacks import FullBatch, GradientMonitor
from custom_optimizers import AcceleratedGD, Accumulate, BatchGD, Lookahead, NormalizedGD
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import change, compiled, relative, samples, scope

FIT = {"epochs": 4, "shuffle": False, "verbose": 0}


@pytest.mark.slow_cases("Adam-2", "Lion-2", "Nadam-2", "RMSprop-2")
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("name", ["Adam", "Nadam", "RMSprop", "Lion"])
def test_micro_batches_of_an_optimizer_of_keras_equal_the_whole(name, devices):
    """Nadam keeps something of all variables together; Lion takes a sign."""
    make = getattr(keras.optimizers, name)
    x, y = samples(50)
    with scope(devices):
        ours = compiled(lambda: Accumulate(make(0.01, weight_decay=0.1)))
    ours.fit(x, y, batch_size=16, **FIT, callbacks=[FullBatch()])
    whole = compiled(lambda: make(0.01, weight_decay=0.1))
    whole.fit(x, y, batch_size=50, **FIT)
    assert relative(change(ours), change(whole)) < (1e-2 if name == "Lion" else 1e-3)
    assert int(ours.optimizer.inner.iterations.numpy()) == 4


def test_an_optimizer_of_this_package_inside_is_the_optimizer_itself():
    x, y = samples(50)
    changes = []
    for wrap in (lambda optimizer: optimizer, Accumulate):
        model = compiled(lambda wrap=wrap: wrap(NormalizedGD(0.1, momentum=0.9)))
        model.fit(x, y, batch_size=16, **FIT, callbacks=[FullBatch()])
        changes.append(change(model))
    assert relative(*changes) < 1e-6


def test_the_learning_rate_is_that_of_the_inner_optimizer():
    w = keras.Variable([1.0])
    optimizer = Accumulate(keras.optimizers.SGD(0.5))
    optimizer.learning_rate = 0.25
    optimizer.apply([ops.array([1.0])], [w])
    assert w.numpy() == [0.75]
    assert optimizer.inner.learning_rate == 0.25
    optimizer.inner.learning_rate = 0.5
    optimizer.apply([ops.array([1.0])], [w])
    assert w.numpy() == [0.25]
    scheduled = Accumulate(keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0])))
    for _ in range(2):
        scheduled.apply([ops.array([0.25])], [w])
    assert w.numpy() == [0.0]


def test_clips_watches_and_skips():
    x, y = samples(40)
    model = compiled(lambda: Accumulate(keras.optimizers.Adam(0.01), clipping=ByGlobalNorm(1e-3)))
    callbacks = [FullBatch(), GradientMonitor()]
    history = model.fit(x, y, batch_size=10, **FIT, callbacks=callbacks).history
    assert history["clipped_norm"][-1] == pytest.approx(1e-3, rel=1e-5)
    x[3] = np.nan
    before = change(model)
    history = model.fit(x, y, batch_size=10, **{**FIT, "epochs": 2}, callbacks=callbacks).history
    assert history["skipped_updates"] == [1, 2]
    np.testing.assert_array_equal(change(model), before)
    assert int(model.optimizer.inner.iterations.numpy()) == 4


WRONG = [
    (lambda: "adam", "inner"),
    (lambda: keras.optimizers.SGD(clipnorm=1.0), "clipnorm"),
    (lambda: keras.optimizers.SGD(use_ema=True), "use_ema"),
    (lambda: keras.optimizers.SGD(gradient_accumulation_steps=2), "gradient_accumulation_steps"),
    (lambda: AcceleratedGD(), "gradient_accumulation_steps"),
    (lambda: BatchGD(clipping=ByGlobalNorm(1.0)), "clipping"),
    (lambda: BatchGD(diagnostics=True), "diagnostics"),
    (lambda: BatchGD(learning_rate_multipliers={"a": 2}), "learning_rate_multipliers"),
    (lambda: BatchGD(exclude_from_weight_decay=["a"]), "exclude_from_weight_decay"),
    (lambda: BatchGD(weight_decay=0.1, weight_decay_mode="coupled"), "weight_decay_mode"),
    (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "LossScaleOptimizer"),
    (lambda: Accumulate(keras.optimizers.SGD()), "Accumulate"),
]


@pytest.mark.parametrize(("inner", "named"), WRONG, ids=[named for _, named in WRONG])
@pytest.mark.parametrize("cls", [Accumulate, Lookahead])
def test_what_cannot_be_wrapped_is_named(cls, inner, named):
    with pytest.raises(ValueError, match=named) as caught:
        cls(inner())
    assert "\n" not in str(caught.value)


def test_in_a_loss_scale_optimizer():
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(lambda: keras.optimizers.LossScaleOptimizer(Accumulate(keras.optimizers.Adam(0.01))))
    model.fit(*samples(40), batch_size=10, **FIT, callbacks=[FullBatch()])
    assert int(model.optimizer.inner_optimizer.iterations.numpy()) == 4


def test_rates_and_exclusions_by_path_are_the_wrapper_s():
    variables = [keras.Variable([1.0], name=name) for name in ("kernel", "bias")]
    optimizer = Accumulate(
        keras.optimizers.SGD(0.1, weight_decay=0.5),
        learning_rate_multipliers={"bias": 2},
        exclude_from_weight_decay=["bias"],
    )
    optimizer.apply([ops.array([1.0])] * 2, variables)
    np.testing.assert_allclose(variables[0], [1 - 0.1 * 0.5 - 0.1], rtol=1e-6)
    np.testing.assert_allclose(variables[1], [1 - 0.2], rtol=1e-6)


def test_a_schedule_that_is_set_later_is_in_the_config():
    optimizer = Accumulate(keras.optimizers.Adam(0.1))
    optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(0.5, 100)
    again = Accumulate.from_config(optimizer.get_config())
    assert again.inner._learning_rate.get_config() == optimizer.inner._learning_rate.get_config()
    assert float(again.learning_rate) == 0.5


def test_an_optimizer_that_is_built_is_refused():
    used = keras.optimizers.Adam()
    used.build([keras.Variable([1.0])])
    with pytest.raises(ValueError, match="must not be built"):
        Accumulate(used)


def test_words_that_repeat_count_once_whatever_is_watched():
    """Keras's Adam on TensorFlow squares the rows of a sparse gradient one by one."""
    sums = []
    for options in ({}, {"diagnostics": True}, {"gradient_accumulation_steps": 2}):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Embedding(20, 3), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(Accumulate(keras.optimizers.Adam(0.01), **options), "mse")
        x = np.tile(np.arange(40).reshape(20, 2) % 5, (2, 1))
        size = 10 if "gradient_accumulation_steps" in options else 20
        model.fit(x, x.sum(axis=1), batch_size=size, epochs=3, shuffle=False, verbose=0)
        sums.append(sum(w.sum() for w in model.get_weights()))
    np.testing.assert_allclose(sums, sums[0], rtol=1e-5)
