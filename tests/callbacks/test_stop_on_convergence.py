import keras
import numpy as np
import pytest

from callbacks import FullBatch, StopOnConvergence
from custom_optimizers import BatchGD

X = np.array([[-1.0], [1.0]], "float32")


def fit(stop, optimizer=None, epochs=60, **options):
    """Descend `mean((w x - 2 x) ** 2)` from w = 0: the loss is 4 (1 - 2 rate)^(2 t), the gradient 4 (1 - 2 rate)^t."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer or BatchGD(0.25), "mse")
    callbacks = [stop] if optimizer else [FullBatch(), stop]
    return model.fit(X, 2 * X, epochs=epochs, batch_size=1, verbose=0, callbacks=callbacks, **options).history["loss"]


@pytest.mark.slow_cases("arguments6-60")
@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ({"loss": 1.0}, 2),  # 4, 1
        ({"gradient_norm": 1.0}, 3),  # 4, 2, 1
        ({"loss": 1.0, "gradient_norm": 1.0}, 3),
        ({"loss": 1.0, "gradient_norm": 1.0, "require": "either"}, 2),
        ({"loss": 0.01, "gradient_norm": 1.0}, 6),  # 4 / 4 ** 5 = 0.004
        ({"loss": 0.01, "gradient_norm": 1.0, "require": "either"}, 3),
        ({"loss": -1.0}, 60),
    ],
)
def test_stops_after_the_first_epoch_that_is_small_enough(arguments, epochs, capsys):
    stop = StopOnConvergence(**arguments)
    assert len(fit(stop)) == epochs
    assert stop.stopped_epoch == (None if epochs == 60 else epochs - 1)
    assert ("Converged after epoch" in capsys.readouterr().out) == (epochs < 60)


def test_losses_of_validation():
    assert len(fit(StopOnConvergence(loss=1.0, monitor="val_loss"), validation_data=(X, 2 * X))) == 1


def test_a_loss_bound_works_with_any_optimizer():
    assert len(fit(StopOnConvergence(loss=1.0), keras.optimizers.SGD(0.25))) < 60


@pytest.mark.slow
def test_a_second_fit_begins_anew():
    stop = StopOnConvergence(loss=1.0)
    assert len(fit(stop)) == 2
    stop.loss = -1.0
    fit(stop)
    assert stop.stopped_epoch is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give `loss`"),
        ({"loss": float("nan")}, "`loss` must be finite"),
        ({"gradient_norm": float("inf")}, "`gradient_norm` must be finite"),
        ({"gradient_norm": -1.0}, "`gradient_norm` must be >= 0"),
        ({"loss": 1.0, "require": "all"}, "'both' or 'either'"),
    ],
)
def test_arguments_that_cannot_be(arguments, said):
    with pytest.raises(ValueError, match=f"StopOnConvergence: .*{said}"):
        StopOnConvergence(**arguments)


def test_what_is_not_logged_is_named():
    with pytest.raises(ValueError, match=r"no 'val_loss' in the logs, which have loss"):
        fit(StopOnConvergence(loss=1.0, monitor="val_loss"))


def test_a_gradient_bound_needs_an_optimizer_that_tells():
    with pytest.raises(TypeError, match=r"StopOnConvergence.*SGD"):
        fit(StopOnConvergence(gradient_norm=1.0), keras.optimizers.SGD(0.25))
