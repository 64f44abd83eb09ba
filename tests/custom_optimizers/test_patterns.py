import keras
import pytest

from custom_optimizers import BatchGD
from tests.small import compiled


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"exclude_from_weight_decay": ["("]}, "exclude_from_weight_decay.*not a regular expression"),
        ({"exclude_from_weight_decay": [3]}, "exclude_from_weight_decay.*not a regular expression"),
        ({"exclude_from_weight_decay": "bias"}, "exclude_from_weight_decay.*a list"),
        ({"learning_rate_multipliers": ["bias"]}, "learning_rate_multipliers.*a dict"),
        ({"learning_rate_multipliers": {"bias": -1}}, "learning_rate_multipliers.*>= 0.*'bias': -1"),
        ({"learning_rate_multipliers": {"bias": float("nan")}}, "learning_rate_multipliers.*>= 0"),
        ({"learning_rate_multipliers": {"bias": "2"}}, "learning_rate_multipliers.*>= 0"),
        ({"learning_rate_multipliers": {"bias": True}}, "learning_rate_multipliers.*>= 0"),
    ],
)
def test_arguments_that_cannot_be(arguments, said):
    with pytest.raises(ValueError, match=f"BatchGD: `{said}"):
        BatchGD(**arguments)


def test_an_expression_that_matches_nothing_is_named_with_what_there_is():
    optimizer = BatchGD(learning_rate_multipliers={"head": 10})
    with pytest.raises(ValueError, match=r"'head' matches none of the variables.*dense.*/kernel"):
        compiled(lambda: optimizer).optimizer.build(compiled(BatchGD).trainable_variables)
    assert not optimizer.built


def test_the_first_expression_counts():
    optimizer = BatchGD(learning_rate_multipliers={"dense.*/kernel": 2, "dense": 3})
    model = compiled(lambda: optimizer)
    optimizer.build(model.trainable_variables)
    found = {v.path.rpartition("/")[2]: optimizer.multiplier_of(v) for v in model.trainable_variables[-2:]}
    assert found == {"kernel": 2, "bias": 3}
    assert optimizer.multiplier_of(model.trainable_variables[0]) == 1


def test_config():
    given = {"exclude_from_weight_decay": ["bias", "gamma"], "learning_rate_multipliers": {"dense": 0.5}}
    config = BatchGD(**given).get_config()
    assert {name: config[name] for name in given} == given
    assert BatchGD.from_config(config).get_config() == config
    assert BatchGD().get_config()["exclude_from_weight_decay"] is None


def two_layers():
    """A model whose layers get other numbers when it is loaded."""
    keras.layers.Dense(1)  # "dense"
    layers = [keras.layers.Dense(3), keras.layers.Dense(3)]  # "dense_1", "dense_2"
    return keras.Sequential([keras.Input((3,)), *layers], name="net")


@pytest.mark.parametrize(
    ("multipliers", "expected"),
    [({"dense_1/": 0}, [0, 0, 1, 1]), ({"net/dense_2/kernel": 0.5}, [1, 1, 0.5, 1]), ({"^net/": 2}, [2, 2, 2, 2])],
)
def test_a_saved_model_knows_which_variables_were_meant(tmp_path, multipliers, expected):
    model = two_layers()
    model.compile(BatchGD(0.1, weight_decay=0.1, learning_rate_multipliers=multipliers), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    keras.utils.clear_session()
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert [loaded.multiplier_of(v) for v in loaded._trainable_variables] == expected
    assert loaded.get_config() == model.optimizer.get_config()


def test_the_config_of_another_model_is_matched_anew():
    model = two_layers()
    model.compile(BatchGD(0.1, exclude_from_weight_decay=["dense_2"], weight_decay=0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    other = BatchGD.from_config(model.optimizer.get_config())
    keras.utils.clear_session()
    wider = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="dense_2"), keras.layers.Dense(3)])
    other.build(wider.trainable_variables)
    assert [other.decays(v) for v in wider.trainable_variables] == [False, False, True, True]
