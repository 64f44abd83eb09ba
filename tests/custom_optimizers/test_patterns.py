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


def test_saved(tmp_path):
    optimizer = BatchGD(0.1, momentum=0.9, weight_decay=0.1, learning_rate_multipliers={"dense": 0.5})
    model = compiled(lambda: optimizer)
    optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert [loaded.multiplier_of(v) for v in loaded._trainable_variables] == [1, 1, 1, 1, 0.5, 0.5]
