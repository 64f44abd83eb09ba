import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from callbacks import FullBatch, GradientMonitor
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import compiled, loss, samples

FIT = {"batch_size": 10, "epochs": 3, "shuffle": False, "verbose": 0}


def full_gradient_norm(model, x, y):
    with tf.GradientTape() as tape:
        value = loss()(y, model(x, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    return np.sqrt(sum(np.sum(np.square(g.numpy())) for g in gradients))


def test_records_the_norm_of_the_full_gradient():
    x, y = samples(97)
    model = compiled(lambda: BatchGD(0.05, clipping=ByGlobalNorm(0.1)))
    expected = full_gradient_norm(model, x, y)
    history = model.fit(x, y, callbacks=[FullBatch(), GradientMonitor()], **FIT).history
    assert history["gradient_norm"][0] == pytest.approx(expected, rel=1e-5)
    assert history["clipped_norm"] == pytest.approx([0.1] * 3, rel=1e-5)
    assert history["clipped_share"] == [1.0] * 3
    assert history["updates"] == [1, 2, 3]
    assert history["skipped_updates"] == [0] * 3


def test_share_of_clipped_updates():
    w = keras.Variable([0.0])
    optimizer = BatchGD(1.0, clipping=ByGlobalNorm(1.0))
    for gradient in (0.5, 2.0, 1.0, 3.0):
        optimizer.apply([keras.ops.array([gradient])], [w])
    seen = optimizer.read_diagnostics()
    assert (seen["clipped_share"], seen["gradient_norm"], seen["clipped_norm"]) == (0.5, 3.0, 1.0)


@pytest.mark.parametrize("built", [False, True])
def test_turns_the_diagnostics_on(built):
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05))
    if built:
        model.fit(x, y, **FIT)
    history = model.fit(x, y, callbacks=[GradientMonitor()], **FIT).history
    assert history["gradient_norm"][0] > 0
    assert history["clipped_norm"] == history["gradient_norm"]
    assert model.optimizer.get_config()["diagnostics"] is True


def test_stops_in_the_middle_of_an_epoch(capsys):
    x, y = samples(100)
    model = compiled(lambda: BatchGD(0.05))
    x[:] = np.inf
    model.fit(x, y, callbacks=[GradientMonitor()], **FIT)
    assert model.optimizer.read_diagnostics()["skipped_updates"] == 5
    assert capsys.readouterr().out.count("not finite") == 1


def test_reaches_csv_and_tensorboard(tmp_path):
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05, clipping=ByGlobalNorm(0.1)))
    loggers = [keras.callbacks.CSVLogger(tmp_path / "log.csv"), keras.callbacks.TensorBoard(tmp_path / "tb")]
    model.fit(x, y, callbacks=[FullBatch(), GradientMonitor(), *loggers], **FIT)
    with open(tmp_path / "log.csv") as file:
        assert [float(row["clipped_norm"]) for row in csv.DictReader(file)] == pytest.approx([0.1] * 3, rel=1e-5)
    (events,) = (tmp_path / "tb" / "train").glob("events*")
    tags = {v.tag for e in tf.compat.v1.train.summary_iterator(str(events)) for v in e.summary.value}
    assert "epoch_gradient_norm" in tags


def test_refuses_other_optimizers():
    with pytest.raises(TypeError, match=r"GradientMonitor.*Adam"):
        compiled(keras.optimizers.Adam).fit(*samples(20), callbacks=[GradientMonitor()], **FIT)


def deep(activation, initializer="glorot_uniform", depth=10):
    layers = [keras.layers.Dense(16, activation, kernel_initializer=initializer, name=f"d{i}") for i in range(depth)]
    model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(1, name="head")])
    model.compile(BatchGD(1e-6), "mse")
    return model


def watched(model, **options):
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    monitor = GradientMonitor(layers=True, **options)
    history = model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[FullBatch(), monitor]).history
    return {name.partition("/")[2].rpartition("/")[2]: v[0] for name, v in history.items() if "/" in name}, history


def test_vanishing_layers_are_counted_and_named_once(capsys):
    norms, history = watched(deep("sigmoid"))
    expected = [name for name, norm in norms.items() if norm < 1e-4 * max(norms.values())]
    assert "d0" in expected
    assert "head" not in expected
    assert history["vanishing_layers"] == [len(expected)] * 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "vanishes" in line]
    assert len(lines) == len(expected)
    assert f"its norm is {norms['d0']:.2g}, the largest of a layer is {max(norms.values()):.2g}" in lines[0]


def test_exploding_layers_are_counted_and_named(capsys):
    _, history = watched(deep("linear", keras.initializers.RandomNormal(stddev=2.0)))
    assert history["exploding_layers"][0] > 5
    assert "d0 explodes: its norm is" in capsys.readouterr().out


def test_a_sound_net_has_neither(capsys):
    _, history = watched(deep("relu", "he_normal", depth=4))
    assert history["vanishing_layers"] == history["exploding_layers"] == [0, 0]
    assert "GradientMonitor" not in capsys.readouterr().out


def test_where_it_is_not_finite():
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05))
    x[0] = np.nan
    history = model.fit(x, y, callbacks=[FullBatch(), GradientMonitor()], **FIT).history
    assert history["exploding_layers"][0] >= 1


@pytest.mark.parametrize("arguments", [{"vanishing": 1.0}, {"vanishing": -0.1}, {"exploding": 0}])
def test_bounds_that_cannot_be(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"GradientMonitor: `{name}`"):
        GradientMonitor(**arguments)


def test_five_in_a_row_stop_fit_over_epochs_too():
    x, y = samples(40)
    x[:] = np.inf
    model = compiled(lambda: BatchGD(0.05))
    model.fit(x, y, callbacks=[GradientMonitor()], **{**FIT, "epochs": 9})  # 4 batches an epoch
    assert model.optimizer.read_diagnostics()["skipped_updates"] == 5


def test_frozen_layers_do_not_vanish(capsys):
    model = deep("relu", "he_normal", depth=3)
    watched(model)
    model.layers[0].trainable = False
    model.compile(model.optimizer, "mse")
    _, history = watched(model)
    assert history["vanishing_layers"] == [0, 0]
    assert "vanishes" not in capsys.readouterr().out
