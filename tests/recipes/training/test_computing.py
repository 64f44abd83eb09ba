"""What a recipe is computed on and in, before anything is trained."""

import importlib
import types

import pytest

from recipes import training
from recipes.cifar10_fast import Cifar10Fast
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression
from recipes.machine.strategies import Strategy
from tests.recipes.idle import Idle

CPU = Strategy("cpu", ("CPU:0",))


def test_what_a_config_says_of_it():
    assert training.computing(Idle(), "auto", None) == {"backend": "tensorflow", "strategy": "auto", "dtype": "float32"}
    assert training.computing(Idle(), "mirrored:2", "probe")["dtype"] == "probe"
    assert training.computing(LinearRegression(), "cpu", None)["dtype"] == "float64"
    assert training.computing(Cifar10Fast(), "cpu", None)["dtype"] == "auto"


@pytest.mark.parametrize(
    ("strategy", "dtype", "said"),
    [
        ("gpus", None, "--strategy: no strategy 'gpus'; did you mean gpu"),
        ("auto", "float8", "--dtype: no dtype 'float8'; did you mean"),
        ("auto", "float64", "--dtype: no dtype 'float64'"),
    ],
)
def test_what_cannot_be(strategy, dtype, said):
    with pytest.raises(CommandError, match=said):
        training.computing(Idle(), strategy, dtype)


def test_several_processes_do_not_probe(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(CommandError, match="--dtype probe measures one process"):
        training.computing(Idle(), "auto", "probe")


def test_devices_share_each_batch_evenly(capsys):
    with training.devices_for(Idle(batch_size=32), "mirrored:2") as devices:
        assert len(devices.devices) == 2
    assert "2 devices share each batch: " in capsys.readouterr().out
    with (
        pytest.raises(CommandError, match=r"--batch-size 33: 2 devices share .* take a multiple of 2, such as 32"),
        training.devices_for(Idle(batch_size=33), "mirrored:2"),
    ):
        pass
    with (
        pytest.raises(CommandError, match="such as 2"),
        training.devices_for(Idle(batch_size=1), "mirrored:2"),
    ):
        pass


@pytest.mark.parametrize(
    ("dtype", "recorded", "found"),
    [
        ("float32", None, "float32"),
        ("float64", "float32", "float64"),  # it has been checked before
        ("auto", "bfloat16", "bfloat16"),  # what the run was begun with
        ("probe", "float32", "float32"),
        ("auto", None, "by rule"),
        ("auto", "strange", "by rule"),
        ("probe", None, "probed"),
        ("probe", "probe", "probed"),
    ],
)
def test_what_a_dtype_stands_for(monkeypatch, capsys, dtype, recorded, found):
    module = importlib.import_module("recipes.training.computing")
    monkeypatch.setattr(module.dtypes, "chosen_by_rule", lambda devices, among: ("by rule", "it says so"))
    monkeypatch.setattr(module, "probe", lambda recipe, data, devices: ("probed", "it was measured"))
    assert training.settled_dtype(Idle(), None, dtype, CPU, recorded) == found
    told = {"by rule": "--dtype auto: by rule (it says so)\n", "probed": "--dtype probe: probed (it was measured)\n"}
    assert capsys.readouterr().out == told.get(found, "")


def test_a_recipe_is_computed_in_one_of_its_own_dtypes(monkeypatch):
    monkeypatch.setattr("recipes.machine.dtypes.processor_flags", lambda: {"amx_bf16"})
    found = training.settled_dtype(types.SimpleNamespace(dtypes=("float32", "float16")), None, "auto", CPU)
    assert found == "float32"
    assert training.settled_dtype(Idle(), None, "auto", CPU) == "bfloat16"
