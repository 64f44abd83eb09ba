"""Every optimizer and clipper of `tests.family`, on every backend."""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import custom_optimizers
import custom_optimizers.clipping
from callbacks import FullBatch
from custom_optimizers import AcceleratedGD
from tests.family import CLIPPERS, FAMILY, FIRST, GRADIENTS, OPTIMIZERS, RATE, START, golden, model_of, trained
from tests.small import flat, relative, samples

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())  # from tests/references.py
BASES = {"Descent", "Clipper", "ByFactor"}
each = pytest.mark.parametrize("case", FAMILY, ids=str)


def path_of(optimizer, gradients):
    """The values of a kernel after each of several updates."""
    w = keras.Variable(START.astype("float32"), name="kernel")
    path = []
    for gradient in gradients:
        optimizer.apply([ops.array(gradient, "float32")], [w])
        path.append(ops.convert_to_numpy(w).tolist())
    return path


def test_everything_is_listed():
    assert {case.cls.__name__ for case in OPTIMIZERS} == set(custom_optimizers.__all__) - BASES
    assert {case.cls.__name__ for case in CLIPPERS} == set(custom_optimizers.clipping.__all__) - BASES
    assert set(GOLDEN) == set(map(str, FAMILY))


@each
def test_one_step_by_hand(case):
    if case.change is not None:
        np.testing.assert_allclose(path_of(case.optimizer(), [FIRST]), [START + case.change], rtol=1e-5, atol=1e-6)


@each
def test_golden_table(case):
    np.testing.assert_allclose(path_of(case.optimizer(), GRADIENTS), GOLDEN[str(case)], rtol=1e-4, atol=1e-5)


@each
def test_golden_table_is_that_of_the_formulas(case):
    np.testing.assert_allclose(golden()[str(case)], GOLDEN[str(case)], rtol=1e-9)


@each
def test_config_round_trip(case):
    optimizer = case.optimizer(name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert again.clipping == optimizer.clipping


@each
def test_wrong_arguments_are_named(case):
    for wrong in case.wrong:
        ((name, value),) = wrong.items()
        inner = (case.wraps(RATE),) if case.wraps else ()
        with pytest.raises((ValueError, TypeError), match=name) as caught:
            case.cls(*inner, **{**case.arguments, name: value})
        assert "\n" not in str(caught.value)


@each
def test_saved_loaded_and_trained_on(case, tmp_path):
    model = model_of(case)
    fit = {"batch_size": 40, "shuffle": False, "verbose": 0}
    model.fit(*samples(40), epochs=4, **fit)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each_model in (model, again):
        each_model.fit(*samples(40, seed=1), epochs=2, **fit)
    assert relative(flat(again), flat(model)) < 1e-7
    ours, theirs = ([ops.convert_to_numpy(v) for v in m.optimizer.variables] for m in (again, model))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@each
def test_micro_batches_equal_the_whole(case):
    whole = trained(case, 3)
    options = {"gradient_accumulation_steps": "epoch"} if case.cls is AcceleratedGD else {}
    model = model_of(case, **options)
    before = flat(model)
    model.fit(*samples(50), batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(flat(model) - before, whole) < case.tolerance
