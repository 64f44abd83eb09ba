"""What `Descent` does around an update rule."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from custom_optimizers import BatchGD, Descent


def steps(optimizer, gradients, w):
    """The values of `w` after each of the micro-batches."""
    values = []
    for gradient in gradients:
        optimizer.apply([ops.array([gradient])], [w])
        values.append(float(w.numpy()[0]))
    return values


def test_accumulates_the_mean_of_k():
    w = keras.Variable([0.0])
    assert steps(BatchGD(1.0, gradient_accumulation_steps=3), [1.0, 2, 6, 3, 3, 3], w) == [0, 0, -3, -3, -3, -6]


def test_schedules_count_updates():
    optimizer = BatchGD(keras.optimizers.schedules.InverseTimeDecay(1.0, 1, 1.0), gradient_accumulation_steps=2)
    values = steps(optimizer, [1.0] * 6, keras.Variable([0.0]))
    assert values == pytest.approx([0, -1, -1, -1.5, -1.5, -1.5 - 1 / 3])
    assert optimizer.iterations.numpy() == 3


def test_the_moving_average_counts_updates():
    """By hand: averages 1, then 0.9 · 1 + 0.1 · 2, then 0.9 · 1.1 + 0.1 · 3. Keras's own gives 1.50951."""
    optimizer = BatchGD(1.0, gradient_accumulation_steps=4, use_ema=True, ema_momentum=0.9)
    w = keras.Variable([0.0])
    steps(optimizer, [-1.0] * 12, w)
    assert w.numpy()[0] == 3.0
    assert optimizer._model_variables_moving_average[0].numpy()[0] == pytest.approx(1.29)
    optimizer.finalize_variable_values([w])
    assert w.numpy()[0] == pytest.approx(1.29)


def test_the_average_overwrites_after_updates_only():
    """Keras changes the weights in the middle of a window."""
    optimizer = BatchGD(1.0, gradient_accumulation_steps=3, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    values = steps(optimizer, [-1.0] * 12, keras.Variable([0.0]))
    assert values == pytest.approx([0, 0, 1, 1, 1, 1.5, 1.5, 1.5, 2.5, 2.5, 2.5, 2.75])


def test_constraints_act_on_updates_only():
    calls = []

    class Counted(keras.constraints.Constraint):
        def __call__(self, w):
            calls.append(w)
            return ops.minimum(w, 0.5)

    w = keras.Variable([2.0])
    w.constraint = Counted()
    assert steps(BatchGD(1.0, gradient_accumulation_steps=2), [-1.0, -1.0, 0.5], w) == [2.0, 0.5, 0.5]
    assert len(calls) == 1


def test_decay_comes_after_clipping_and_takes_part_once_an_update():
    from custom_optimizers.clipping import ByGlobalNorm

    arguments = {"clipping": ByGlobalNorm(1.0), "weight_decay": 0.1, "gradient_accumulation_steps": 2}
    decoupled, coupled = (BatchGD(0.5, **arguments, weight_decay_mode=mode) for mode in ("decoupled", "coupled"))
    for optimizer in (decoupled, coupled):
        assert steps(optimizer, [8.0, 8.0], keras.Variable([4.0])) == pytest.approx([4.0, 4 - 0.5 * 0.1 * 4 - 0.5])


def test_coupled_decay_passes_through_momentum():
    def end(mode):
        optimizer = BatchGD(0.5, 0.9, weight_decay=0.1, weight_decay_mode=mode)
        return steps(optimizer, [0.0, 0.0], keras.Variable([1.0]))

    assert end("decoupled") == pytest.approx([0.95, 0.95 * 0.95])
    assert end("coupled") == pytest.approx([0.95, 0.95 - 0.045 - 0.0475])


def test_loss_scale_factor_is_taken_out_again():
    optimizer = BatchGD(1.0, loss_scale_factor=8.0, gradient_accumulation_steps=2)
    assert steps(optimizer, [8.0, 24.0], keras.Variable([0.0])) == [0, -2]


def test_micro_batches_of_a_loop_of_ones_own():
    optimizer, w = BatchGD(1.0, gradient_accumulation_steps="epoch"), keras.Variable([0.0])
    optimizer.build([w])
    for _ in range(2):
        optimizer.begin_pass(micro_batches=2)
        for samples, gradient in ((3, 1.0), (1, 5.0)):
            with optimizer.micro_batch(samples):
                optimizer.apply([ops.array([gradient])], [w])
        assert optimizer.end_pass() == "nothing"
    assert w.numpy()[0] == -4.0


def test_a_pass_of_unknown_length_and_one_that_is_broken_off():
    optimizer, w = BatchGD(1.0, gradient_accumulation_steps="epoch"), keras.Variable([0.0])
    optimizer.build([w])
    for complete, outcome, value in ((False, "dropped", 0.0), (True, "updated", -2.0)):
        optimizer.begin_pass()
        for gradient in (1.0, 3.0):
            with optimizer.micro_batch(2):
                optimizer.apply([ops.array([gradient])], [w])
        assert optimizer.end_pass(complete) == outcome
        assert w.numpy()[0] == value


@pytest.mark.parametrize("known", [False, True])
def test_variables_without_gradient_are_left_alone(known):
    """Not even decayed, whether the update is made in the last step of the pass or after it."""
    a, b = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = BatchGD(1.0, weight_decay=0.5, gradient_accumulation_steps="epoch")
    optimizer.build([a, b])
    optimizer.begin_pass(2 if known else None)
    for _ in range(2):
        with optimizer.micro_batch(1), pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([ops.array([1.0]), None], [a, b])
    assert optimizer.end_pass() == ("nothing" if known else "updated")
    assert (a.numpy()[0], b.numpy()[0]) == (-0.5, 1.0)


def test_variables_of_someone_else_are_refused():
    optimizer = BatchGD()
    optimizer.build([keras.Variable([1.0])])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([ops.array([1.0])], [keras.Variable([1.0])])
    with pytest.raises(ValueError, match="2 gradients for 1 variables"):
        optimizer.apply([ops.array([1.0])] * 2)
    with pytest.raises(ValueError, match="build"):
        BatchGD().apply([ops.array([1.0])])


def test_a_build_that_fails_leaves_the_arguments_alone():
    optimizer = BatchGD(gradient_accumulation_steps=3)
    with pytest.raises(AttributeError):
        optimizer.build([object()])
    assert optimizer.gradient_accumulation_steps == 3


def test_windows_of_k_do_not_become_passes():
    with pytest.raises(ValueError, match="only None can become 'epoch'"):
        BatchGD(gradient_accumulation_steps=3).accumulate_over_epoch()


def test_an_optimizer_needs_a_rule():
    with pytest.raises(NotImplementedError, match="update_step"):
        Descent(0.1).apply([ops.array([1.0])], [keras.Variable([1.0])])


def test_float8_is_left_to_updates_of_one_batch():
    def model(steps):
        layer = keras.layers.Dense(3)
        net = keras.Sequential([keras.Input((2,)), layer])
        layer.quantize("float8")
        net.compile(optimizer=BatchGD(gradient_accumulation_steps=steps), loss="mse")
        return net

    x, y = np.ones((4, 2), "float32"), np.zeros((4, 3), "float32")
    whole = model(None)
    before = [v.numpy() for v in whole.layers[0].trainable_variables]
    whole.fit(x, y, verbose=0)
    after = [v.numpy() for v in whole.layers[0].trainable_variables]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    with pytest.raises(ValueError, match="float8"):
        model(2).fit(x, y, verbose=0)


@pytest.mark.slow
def test_other_backends_are_refused_in_one_line():
    code = "from custom_optimizers import BatchGD; BatchGD()"
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (
        "RuntimeError: custom_optimizers runs on the backends tensorflow, jax, torch of Keras"
        in done.stderr.splitlines()[-1]
    )


@pytest.mark.slow
def test_several_workers_of_tensorflow_are_refused_with_the_way_that_works():
    code = (
        "import tensorflow as tf; from custom_optimizers import BatchGD; "
        "tf.distribute.MultiWorkerMirroredStrategy().scope().__enter__(); BatchGD()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("ValueError: BatchGD"))
    assert "KERAS_BACKEND=jax, keras.distribution.initialize()" in said
