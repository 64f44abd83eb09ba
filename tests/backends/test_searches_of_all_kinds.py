"""What holds for each optimizer with a search, and for a hand-over to one, in `compile` and `fit` on every backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import ExactResume, FullBatch, GradientMonitor, StopOnConvergence
from custom_optimizers import BFGS, LBFGS, BatchGD, NonlinearCG, SelfScaledBroyden, Switch
from custom_optimizers.backend import backend_module
from custom_optimizers.clipping import ByGlobalNorm
from custom_optimizers.line_search import CDAT, StrongWolfe
from tests.small import flat, samples

X, Y = samples(50)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PASSES, AFTER = 4, 6  # in an epoch; updates of Adam before the hand-over: in the middle of the second epoch of passes


def adam(rate=0.02, **more):
    return keras.optimizers.Adam(rate, **more)


def often_rejected():
    return StrongWolfe(curvature=0.05)


OPTIMIZERS = {
    "bfgs": lambda: BFGS(often_rejected()),
    "self-scaled broyden": lambda: SelfScaledBroyden(often_rejected()),
    "conjugate gradients": NonlinearCG,
    "barzilai-borwein": lambda: BatchGD(2.0, line_search="barzilai_borwein"),
    "cdat": lambda: BatchGD(0.1, line_search="cdat"),
    "switch": lambda: Switch(adam(), SelfScaledBroyden(often_rejected()), after=AFTER),
    "switch on a plateau": lambda: Switch(adam(0.5), SelfScaledBroyden(), patience=2, min_delta=0.01),
}


def all_but(quick):
    """Names of the cases that are in `make test-all` alone."""
    return [name for name in OPTIMIZERS if name != quick]


each = pytest.mark.parametrize("name", OPTIMIZERS)


def network(optimizer, dtype=None):
    keras.utils.set_random_seed(3)
    stack = [layers.Flatten(), layers.Dense(6, "tanh", dtype=dtype), layers.Dense(4, dtype=dtype)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    model.compile(optimizer, LOSS)
    return model


def fitted(model, epochs, batch_size=20, passes=1, callbacks=(), x=X, **more):
    callbacks = [FullBatch(passes_per_epoch=passes), *callbacks]
    return model.fit(
        x, Y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **more
    ).history


def state_of(model):
    """All variables of the optimizer that are saved, and the weights."""
    optimizer = model.optimizer
    with optimizer.without_lent_window():
        return [ops.convert_to_numpy(v) for v in (*optimizer.variables, *model.trainable_variables)]


def assert_same_bits(one, other):
    ours, theirs = state_of(one), state_of(other)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow_cases(*all_but("conjugate gradients"))
@each
def test_it_is_saved_and_goes_on_with_the_same_bits(name, tmp_path):
    """After each epoch of passes: in the middle of searches; before, at and after a hand-over in an epoch's middle."""
    whole, part = network(OPTIMIZERS[name]()), network(OPTIMIZERS[name]())
    seen = []
    for epoch in range(3):
        fitted(whole, 1, passes=PASSES)
        fitted(part, 1, passes=PASSES)
        part.save(tmp_path / f"{epoch}.keras")
        part = keras.models.load_model(tmp_path / f"{epoch}.keras")
        assert part.optimizer.search.read() == whole.optimizer.search.read()
        assert_same_bits(part, whole)
        seen.append(whole.optimizer.search.read())
    assert [each["evaluations"] for each in seen] == [PASSES * (i + 1) for i in range(3)]
    if name == "switch":
        assert [each["accepted"] for each in seen[:1]] == [PASSES]
        assert [ops.convert_to_numpy(whole.optimizer.inner.iterations)] == [AFTER]
    assert whole.evaluate(X, Y, batch_size=50, verbose=0) < 1.3


@pytest.mark.slow_on_jax
@pytest.mark.slow_cases(*all_but("self-scaled broyden"))
@each
def test_one_and_many_passes_of_parts_and_of_the_whole_make_the_same_updates(name):
    epochs, tolerance = 9, 0.2 if name == "cdat" else 1e-2  # CDAT stays at the edge of stability, where rounding grows
    parts, many, whole = (network(OPTIMIZERS[name]()) for _ in range(3))
    history = fitted(parts, epochs)
    of_many = fitted(many, epochs // 3, passes=3)
    fitted(whole, epochs, 50)
    before = flat(network(BFGS()))
    for other in (many, whole):
        assert int(other.optimizer.iterations) == int(parts.optimizer.iterations) > 0
        change = np.abs(flat(parts) - before).max()
        assert np.abs(flat(other) - flat(parts)).max() < tolerance * change
    assert history["evaluations"] == [i + 1 for i in range(epochs)]
    for key in ("evaluations", "accepted", "step_size", "loss"):
        np.testing.assert_allclose(of_many[key], history[key][2::3], rtol=10 * tolerance)


@pytest.mark.slow
@each
def test_it_is_resumed_with_the_same_bits(name, tmp_path):
    def train(epochs, file):
        model = network(OPTIMIZERS[name]())
        fitted(model, epochs, passes=3, callbacks=[ExactResume(tmp_path / file)])
        return model

    train(2, "parts.npz")
    assert_same_bits(train(4, "parts.npz"), train(4, "whole.npz"))


@pytest.mark.slow
@each
def test_checkpoints_and_backups_have_what_was_accepted(name, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 7:
                raise KeyboardInterrupt

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    whole, killed, again = (network(OPTIMIZERS[name]()) for _ in range(3))
    saves = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    history = fitted(whole, 10, callbacks=[saves])
    for epoch in (3, 7, 10):
        model = keras.models.load_model(tmp_path / f"{epoch}.keras")
        found = model.optimizer.search.read()
        if "loss" in found:  # since the hand-over
            assert history["loss"][epoch - 1] == pytest.approx(found["loss"], rel=1e-6)
            assert model.evaluate(X, Y, batch_size=50, verbose=0) == pytest.approx(found["loss"], rel=1e-5)
    with pytest.raises(KeyboardInterrupt):
        fitted(killed, 10, callbacks=[backup(), Stop()])
    fitted(again, 10, callbacks=[backup()])
    assert_same_bits(again, whole)


@pytest.mark.slow  # test_lbfgs.py has it of LBFGS
@each
def test_a_loaded_model_that_is_fitted_on_other_data_begins_anew(name, tmp_path):
    one = network(OPTIMIZERS[name]())
    fitted(one, 12)
    one.save(tmp_path / "one.keras")
    other, same = (keras.models.load_model(tmp_path / "one.keras") for _ in range(2))
    same_again = fitted(same, 1)
    assert same_again["evaluations"] == [13]
    inner = getattr(other.optimizer, "inner", None)  # whose updates are evaluations too
    before = 0 if inner is None else int(ops.convert_to_numpy(inner.iterations))
    history = fitted(other, 12, x=X[::-1])
    assert history["evaluations"][-1] == 12 + before
    if "loss" in other.optimizer.search.read():  # else the loss in the logs is that before the last update
        assert history["loss"][-1] == pytest.approx(other.evaluate(X[::-1], Y, batch_size=50, verbose=0), rel=1e-4)


@pytest.mark.slow_cases(*all_but("conjugate gradients"))
@each
@pytest.mark.slow_on_jax
def test_metrics_are_those_of_the_accepted_point(name):
    model, found = network(OPTIMIZERS[name]()), []
    model.compile(model.optimizer, LOSS, metrics=["accuracy"])

    def look(epoch, logs):
        labels = ops.convert_to_numpy(model(X)).argmax(axis=1)
        found.append(((labels == Y).mean(), logs["accuracy"], "loss" in model.optimizer.search.read()))

    fitted(model, 30, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)])
    searched = [(true, logged) for true, logged, is_searched in found if is_searched]
    assert len(searched) > 5
    for true, logged in searched:
        assert logged == pytest.approx(true)
    assert len({logged for _, logged in searched}) > 1 or name == "switch on a plateau"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_a_difference_of_gradients_in_bfloat16_is_refused(policy):
    model = network(OPTIMIZERS["cdat"](), policy)
    with pytest.raises(ValueError, match=r"^BatchGD: CDAT takes the difference .* computes in bfloat16, [^\n]*$"):
        fitted(model, 1)


# A hand-over


@pytest.mark.slow_on_jax
def test_before_it_is_what_the_first_optimizer_does_and_then_what_the_second_one_does():
    one, other = network(Switch(adam(), BFGS(), after=AFTER)), network(adam())
    history = fitted(one, AFTER)
    other.fit(X, Y, batch_size=50, epochs=AFTER, shuffle=False, verbose=0)
    np.testing.assert_allclose(flat(one), flat(other), atol=2e-6)
    assert history["accepted"] == [*range(1, AFTER + 1)]
    np.testing.assert_allclose(history["step_size"], 0.02, rtol=1e-6)
    other.compile(BFGS(), LOSS)
    of_one, of_other = fitted(one, 8), fitted(other, 8)
    np.testing.assert_allclose(of_one["loss"], of_other["loss"], rtol=1e-3)
    assert [each - AFTER for each in of_one["evaluations"]] == of_other["evaluations"]
    assert int(one.optimizer.iterations) == AFTER + int(other.optimizer.iterations)
    assert one.optimizer.search.read()["accepted"] == int(one.optimizer.iterations)


@pytest.mark.slow
def test_a_plateau_is_where_no_loss_was_lower_for_some_updates():
    model, losses = network(Switch(adam(5.0), LBFGS(), patience=3)), []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    fitted(model, 40, 50, callbacks=[look])
    made = int(ops.convert_to_numpy(model.optimizer.inner.iterations))
    lowest, since, count = np.inf, 0, 0
    for loss in losses:
        lowest, since = (loss, 0) if loss < lowest else (lowest, since + 1)
        count += 1
        if since == 3:
            break
    assert made == count < 40
    assert model.optimizer.search.read()["evaluations"] == 40 or model.optimizer.search.read()["reason"]


@pytest.mark.slow
def test_a_fit_with_other_data_forgets_the_lowest_loss_and_not_the_hand_over():
    model = network(Switch(adam(1e-6), LBFGS(), after=8, patience=3))
    fitted(model, 4)
    fitted(model, 2, x=10 * X)  # a higher loss for two updates, and no plateau
    assert int(ops.convert_to_numpy(model.optimizer.inner.iterations)) == 6
    fitted(model, 6, x=10 * X)
    found = model.optimizer.search.read()
    assert int(ops.convert_to_numpy(model.optimizer.inner.iterations)) == 8
    assert found["evaluations"] == 12
    fitted(model, 3)
    assert model.optimizer.search.read()["evaluations"] == 11  # of a new search, and the eight
    assert int(ops.convert_to_numpy(model.optimizer.inner.iterations)) == 8


@pytest.mark.slow
def test_clipping_decay_and_schedules_of_the_first_optimizer_do_not_bind_the_second_one():
    rate = keras.optimizers.schedules.CosineDecay(0.05, 5)
    first = keras.optimizers.SGD(rate, weight_decay=0.1)
    model = network(Switch(first, BFGS(), after=5, clipping=ByGlobalNorm(0.1), exclude_from_weight_decay=["bias"]))
    other = network(BatchGD(rate, weight_decay=0.1, clipping=ByGlobalNorm(0.1), exclude_from_weight_decay=["bias"]))
    history = fitted(model, 5)
    fitted(other, 5)
    np.testing.assert_allclose(flat(model), flat(other), atol=1e-6)
    assert history["step_size"][-1] < history["step_size"][0]
    fitted(model, 12)
    assert model.evaluate(X, Y, batch_size=50, verbose=0) < 0.1


@pytest.mark.slow
def test_other_callbacks_beside_a_hand_over(tmp_path):
    model = network(Switch(adam(), SelfScaledBroyden(), after=AFTER))
    best = keras.callbacks.EarlyStopping("loss", patience=20, restore_best_weights=True)
    stop, log = StopOnConvergence(gradient_norm=1e-3), keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fitted(model, 60, callbacks=[GradientMonitor(), log, best, stop])
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == 1 + len(history["loss"]) < 61
    assert {"accepted", "evaluations", "step_size", "gradient_norm", "loss"} <= {*rows[0].split(",")}
    assert "the gradient's norm" in stop.reason
    assert history["gradient_norm"][-1] <= 1e-3
    assert model.evaluate(X, Y, batch_size=50, verbose=0) == pytest.approx(min(history["loss"]), rel=1e-4)


def test_it_is_refused_where_it_cannot_be():
    model = network(Switch(adam(), BFGS(), after=3))
    with pytest.raises(ValueError, match=r"^Switch needs the loss of all samples, and not of a batch: [^\n]*FullBatch"):
        model.train_on_batch(X, Y)
    model = network(Switch(adam(), BFGS(), after=3))
    for callback in (
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
        keras.callbacks.ReduceLROnPlateau(),
        keras.callbacks.TerminateOnNaN(),
    ):
        with pytest.raises(ValueError, match=rf"^Switch: [^\n]* leave out {type(callback).__name__}[^\n]*$"):
            fitted(model, 1, callbacks=[callback])


@pytest.mark.slow
def test_layers_that_are_frozen_need_another_switch():
    model = network(Switch(adam(), BFGS(), after=3))
    fitted(model, 2)
    model.layers[1].trainable = False
    with pytest.raises(ValueError, match=r"layers have been frozen .*: give `compile` a new Switch"):
        fitted(model, 2)
    model.compile(Switch(adam(), BFGS(), after=3), LOSS)
    before = model.layers[1].get_weights()
    history = fitted(model, 8)
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_array_equal(model.layers[1].get_weights()[0], before[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", all_but("cdat"))
def test_mixed_bfloat16_keeps_what_it_remembers_in_float32(name):
    model = network(OPTIMIZERS[name](), "mixed_bfloat16")
    history = fitted(model, 14)
    assert min(history["loss"]) < 0.6 * history["loss"][0]
    assert {v.dtype for v in model.optimizer.search.variables.values()} == {"float32", "int32"}


@pytest.mark.slow_on_jax
def test_a_loss_that_is_not_finite_is_handed_over_at_once_and_said(capsys):
    broken = np.where(np.arange(50)[:, None, None, None] == 7, np.nan, X)
    model = network(Switch(adam(), BFGS(), after=1000))
    before = flat(model)
    fitted(model, 10, x=broken)
    np.testing.assert_array_equal(flat(model), before)
    assert "Switch: the loss or its gradient is not finite where the search begins." in capsys.readouterr().out


# A curvature


def loss_of(weights):
    """That of the network as a function of its weights, and nothing more."""
    first, first_bias, second, second_bias = weights
    hidden = ops.tanh(ops.reshape(X, (50, 64)) @ first + first_bias)
    logits = hidden @ second + second_bias
    chosen = ops.sum(logits * ops.one_hot(Y, 4), axis=-1)
    return ops.mean(ops.logsumexp(logits, axis=-1) - chosen), None


@pytest.mark.slow_on_jax
def test_cdat_finds_the_curvature_along_the_gradient():
    """As the Hessian of all samples gives it, in float32; a third derivative shows at steps that are long."""
    model = network(BatchGD(0.1, line_search=CDAT(scale=2.0, smoothing=0.0)))
    for epoch in range(2):  # two evaluations for each step after the first one
        before = [ops.convert_to_tensor(ops.copy(v)) for v in model.trainable_variables]
        fitted(model, 3 if epoch == 0 else 2)
        step = model.optimizer.search.read()["step_size"]
        backend = backend_module()
        _, gradients = backend.value_and_gradients(loss_of, before)
        gradients = [ops.stop_gradient(each) for each in gradients]
        product = backend.hessian_product(loss_of, before, gradients)
        square = sum(float(ops.sum(g * g)) for g in gradients)
        curvature = sum(float(ops.sum(g * h)) for g, h in zip(gradients, product, strict=True))
        assert step == pytest.approx(2 * square / abs(curvature), rel=5e-3 if epoch == 0 else 5e-2)
