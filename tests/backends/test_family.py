"""Every optimizer and clipper of `tests.family`, on every backend."""

import dataclasses
import inspect
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
from tests import references
from tests.family import (
    CLIPPERS,
    FAMILY,
    FIRST,
    GRADIENTS,
    OPTIMIZERS,
    RATE,
    START,
    at_once,
    golden,
    model_of,
    path_of,
)
from tests.small import flat, relative, samples

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())  # from tests/references.py
BASES = {"Descent", "Clipper", "ByFactor"}
each = pytest.mark.parametrize("case", FAMILY, ids=str)


def test_everything_is_listed():
    searched = {"LBFGS", "BFGS", "SelfScaledBroyden", "NonlinearCG", "Switch"}  # by the loss too, in test_lbfgs.py
    assert {case.cls.__name__ for case in OPTIMIZERS} == set(custom_optimizers.__all__) - BASES - searched
    assert {case.cls.__name__ for case in CLIPPERS} == set(custom_optimizers.clipping.__all__) - BASES
    assert set(GOLDEN) == set(map(str, FAMILY))


@pytest.mark.parametrize("case", [case for case in FAMILY if case.change is not None], ids=str)
def test_one_step_by_hand(case):
    np.testing.assert_allclose(path_of(case.optimizer(), [FIRST]), [START + case.change], rtol=1e-5, atol=1e-6)


@each
def test_golden_table(case):
    ours, golden_values = (np.array(path) - START for path in (path_of(case.optimizer(), GRADIENTS), GOLDEN[str(case)]))
    assert relative(ours, golden_values) < max(1e-5, case.tolerance / 10)


@each
def test_golden_table_is_that_of_the_formulas(case):
    np.testing.assert_allclose(golden()[str(case)], GOLDEN[str(case)], rtol=1e-9)


DECAY = 0.5  # a twentieth of the weights an update, at RATE


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("mode", ["decoupled", "coupled"])
@each
def test_weight_decay_is_that_of_the_formula(case, mode):
    """Of whole batches, and of two micro-batches to an update: it is taken once an update."""
    rule = references.decayed(case.reference, DECAY, is_coupled=mode == "coupled")
    expected = np.array(references.descend(rule)(START, GRADIENTS, RATE)) - START
    options = {"weight_decay": DECAY, "weight_decay_mode": mode}
    whole = path_of(case.optimizer(**options), GRADIENTS) - START
    assert relative(whole, expected) < max(1e-5, case.tolerance / 10)
    assert relative(path_of(case.optimizer(), GRADIENTS) - START, expected) > 0.05
    if case.cls is not AcceleratedGD:
        parts = [gradient * part for gradient in GRADIENTS for part in (0.5, 1.5)]
        summed = path_of(case.optimizer(gradient_accumulation_steps=2, **options), parts)[1::2] - START
        assert relative(summed, expected) < max(1e-5, case.tolerance / 10)


@pytest.mark.parametrize("cls", sorted({case.cls for case in FAMILY}, key=lambda cls: cls.__name__))
def test_each_argument_has_a_case_with_another_value_than_its_default(cls):
    given = [{**case.arguments, **case.other} for case in FAMILY if case.cls is cls]
    parameters = inspect.signature(cls).parameters
    for name in set(cls.arguments) - {"line_search"}:  # which leaves no rule, in tests/backends/test_lbfgs.py
        assert any(name in each and each[name] != parameters[name].default for each in given), name


OPTIONS = {  # of `Descent`, none of them the default
    "name": "mine",
    "diagnostics": True,
    "weight_decay": 0.01,
    "weight_decay_mode": "coupled",
    "exclude_from_weight_decay": ["bias"],
    "learning_rate_multipliers": {"head": 10.0},
    "use_ema": True,
    "ema_momentum": 0.9,
    "ema_overwrite_frequency": 7,
    "loss_scale_factor": 2.0,
}


@each
def test_config_round_trip(case):
    given = {**case.arguments, **case.other}
    options = {**OPTIONS, "gradient_accumulation_steps": "epoch" if case.cls is AcceleratedGD else 3}
    optimizer = dataclasses.replace(case, arguments=given).optimizer(**options)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(optimizer)
    thing, inner = again.clipping if case.is_clipper else again, again.inner if case.wraps else again
    assert type(thing) is case.cls
    assert {name: getattr(thing, name) for name in given} == given
    assert {name: thing.get_config()[name] for name in given} == given
    assert {name: {**inner.get_config(), **again.get_config()}[name] for name in options} == options
    assert (float(inner.learning_rate), again.clipping) == (pytest.approx(RATE), optimizer.clipping)
    assert again.get_config() == optimizer.get_config()


@each
def test_wrong_arguments_are_named(case):
    for wrong in case.wrong:
        ((name, value),) = wrong.items()
        inner = (case.wraps(RATE),) if case.wraps else ()
        with pytest.raises((ValueError, TypeError), match=name) as caught:
            case.cls(*inner, **{**case.arguments, name: value})
        assert "\n" not in str(caught.value)
        assert "must" in str(caught.value) or name in ("weight_decay", "learning_rate", "exclude")


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("case", [case for case in OPTIMIZERS if case.wraps is None], ids=str)
def test_learning_rates_that_cannot_be(case, rate):
    with pytest.raises(ValueError, match="`learning_rate` must be a finite number >= 0"):
        case.optimizer(rate)


@pytest.mark.slow_on_jax
@each
def test_a_skipped_update_changes_nothing(case):
    optimizer, w = case.optimizer(diagnostics=True), keras.Variable(START.astype("float32"), name="kernel")
    counters = ("norm", "skipped", "variable_norms")
    for gradient in GRADIENTS:
        optimizer.apply([ops.array(gradient, "float32")], [w])
    state = [(v.name, ops.convert_to_numpy(v).copy()) for v in (w, *optimizer.variables)]
    for bad in (np.nan, np.inf):
        optimizer.apply([ops.array(np.where(FIRST == 0.6, bad, FIRST), "float32")], [w])
    assert optimizer.read_diagnostics()["skipped_updates"] == 2
    for (name, before), variable in zip(state, (w, *optimizer.variables), strict=True):
        if not any(word in name for word in counters):
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), before, err_msg=name)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("case", OPTIMIZERS, ids=str)
def test_low_precision_follows_full_precision(case, dtype):
    """A rule is computed in float32; a gradient of 0 is nothing to divide by."""
    if case.wraps is keras.optimizers.Adam:
        pytest.skip("Adam of Keras divides by 1 - 0.999 in bfloat16, where it is 0")
    w = keras.Variable(START, name="kernel", dtype=dtype)
    optimizer = case.optimizer(gradient_accumulation_steps=None if case.cls is AcceleratedGD else 2)
    bias, full = keras.Variable([1.0], name="bias", dtype=dtype), case.optimizer()
    for gradient in GRADIENTS:
        for _ in range(1 if case.cls is AcceleratedGD else 2):
            optimizer.apply([ops.array(gradient, dtype), ops.zeros((1,), dtype)], [w, bias])
    whole = keras.Variable(START.astype("float32"), name="kernel")
    zero = keras.Variable([1.0], name="bias")
    for gradient in GRADIENTS:
        full.apply([ops.array(gradient, "float32"), ops.zeros((1,))], [whole, zero])
    ours, theirs = (np.asarray(ops.convert_to_numpy(v), "float64") - START for v in (w, whole))
    assert relative(ours, theirs) < (0.1 if dtype == "bfloat16" else 0.02)
    assert np.asarray(ops.convert_to_numpy(bias), "float64") == [1.0]


@pytest.mark.slow_on_jax
@pytest.mark.slow_cases("AdaGC")
@each
def test_saved_loaded_and_trained_on(case, tmp_path):
    model = model_of(case)
    at_once(model, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each_model in (model, again):
        at_once(each_model, 2, seed=1)
    assert relative(flat(again), flat(model)) < 1e-7
    ours, theirs = ([ops.convert_to_numpy(v) for v in m.optimizer.variables] for m in (again, model))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.slow_on_jax
@each
def test_micro_batches_equal_the_whole(case):
    n = 48 if keras.backend.backend() == "jax" else 50  # JAX compiles each size of batch
    whole, before = model_of(case), flat(model_of(case))
    at_once(whole, 3, n)
    options = {"gradient_accumulation_steps": "epoch"} if case.cls is AcceleratedGD else {}
    model = model_of(case, **options)
    model.fit(*samples(n), batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(flat(model) - before, flat(whole) - before) < case.tolerance
