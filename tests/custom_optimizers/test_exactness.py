"""Micro-batches equal the whole: `BatchGD` with `FullBatch` against `keras.optimizers.SGD` with all samples at once."""

import keras
import pytest

from callbacks import FullBatch
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches
from tests.small import change, compiled, flat, relative, samples, scope

EPOCHS = 5
BOUND = 0.5  # below the norms that occur, so that clipping acts


def everything():
    return {
        "learning_rate": keras.optimizers.schedules.CosineDecay(0.1, EPOCHS),
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
        "use_ema": True,
        "ema_momentum": 0.9,
        "ema_overwrite_frequency": 2,
    }


def batch_gd(**more):
    return BatchGD(**everything(), clipping=ByGlobalNorm(BOUND), **more)


@pytest.fixture(scope="module")
def whole():
    """What SGD of Keras makes of all samples at once, by their number."""
    results = {}
    for n in (120, 117):
        model = compiled(lambda: keras.optimizers.SGD(**everything(), global_clipnorm=BOUND))
        model.fit(*samples(n), batch_size=n, epochs=EPOCHS, shuffle=False, verbose=0)
        results[n] = flat(model)
    return results


def test_the_reference_moves_far_enough(whole):
    start = flat(compiled(batch_gd))
    assert all(relative(result, start) > 0.01 for result in whole.values())


@pytest.mark.parametrize(("n", "batch_size"), [(120, 120), (120, 32), (117, 32), (117, 12), (117, 7)])
@pytest.mark.parametrize("source", ["arrays", "full_batches"])
def test_one_device(whole, n, batch_size, source):
    x, y = samples(n)
    model = compiled(batch_gd)
    data = {"x": x, "y": y, "batch_size": batch_size} if source == "arrays" else {"x": full_batches(x, y, batch_size)}
    model.fit(**data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(flat(model), whole[n]) < 1e-5
    assert model.optimizer.iterations.numpy() == EPOCHS


@pytest.mark.slow_cases("120-32")
@pytest.mark.parametrize(("n", "batch_size"), [(120, 32), (117, 12)])
def test_two_devices(whole, n, batch_size):
    with scope(devices=2):
        model = compiled(batch_gd)
        data = full_batches(*samples(n), batch_size)
    model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(flat(model), whole[n]) < 1e-5


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_graph_modes(whole, jit_compile, steps_per_execution):
    model = compiled(batch_gd, jit_compile=jit_compile, steps_per_execution=steps_per_execution)
    data = full_batches(*samples(117), 12)
    model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(flat(model), whole[117]) < 1e-5


def test_eager(whole):
    model = compiled(batch_gd, run_eagerly=True)
    model.fit(*samples(117), batch_size=32, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(flat(model), whole[117]) < 1e-5


def test_a_window_of_k_equals_its_batches_at_once():
    x, y = samples(120)
    ours = compiled(lambda: batch_gd(gradient_accumulation_steps=4))
    ours.fit(x, y, batch_size=6, epochs=1, shuffle=False, verbose=0)
    theirs = compiled(lambda: keras.optimizers.SGD(**everything(), global_clipnorm=BOUND))
    theirs.fit(x, y, batch_size=24, epochs=1, shuffle=False, verbose=0)
    assert ours.optimizer.iterations.numpy() == 5
    assert relative(flat(ours), flat(theirs)) < 1e-5


def test_a_window_of_k_under_mirrored_strategy():
    x, y = samples(120)
    with scope(devices=2):
        ours = compiled(lambda: batch_gd(gradient_accumulation_steps=4))
        data = full_batches(x, y, 6)
    ours.fit(data, epochs=1, shuffle=False, verbose=0)
    theirs = compiled(lambda: keras.optimizers.SGD(**everything(), global_clipnorm=BOUND))
    theirs.fit(x, y, batch_size=24, epochs=1, shuffle=False, verbose=0)
    assert relative(flat(ours), flat(theirs)) < 1e-5


def test_windows_of_k_are_weighted_by_samples_with_full_batch():
    """Nine samples in micro-batches of 6 and 3 make a full batch of 9."""
    x, y = samples(9)
    ours = compiled(lambda: BatchGD(0.1, gradient_accumulation_steps=2))
    ours.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    theirs = compiled(lambda: keras.optimizers.SGD(0.1))
    theirs.fit(x, y, batch_size=9, epochs=3, shuffle=False, verbose=0)
    assert ours.optimizer.gradient_accumulation_steps == 2
    assert relative(flat(ours), flat(theirs)) < 1e-5


def test_the_mean_of_means_of_keras_is_not_exact():
    """The difference that the tests above would see."""
    x, y = samples(9)
    results = []
    for optimizer, batch_size in (
        (keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), 6),
        (keras.optimizers.SGD(0.1), 9),
    ):
        model = compiled(lambda optimizer=optimizer: optimizer)
        model.fit(x, y, batch_size=batch_size, epochs=3, shuffle=False, verbose=0)
        results.append(change(model))
    assert relative(*results) > 0.05
