import json

import pytest
import tensorflow as tf

from recipes.errors import CommandError, WorldError
from recipes.machine import strategies


@pytest.mark.parametrize(
    ("text", "parsed"), [("auto", ("auto", None)), ("mirrored", ("mirrored", None)), ("mirrored:2", ("mirrored", 2))]
)
def test_names(text, parsed):
    assert strategies.parse_strategy(text) == parsed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mirorred", "mirrored"),
        ("gpu:1", "only mirrored takes a number"),
        ("mirrored:1", "2 to 1024"),
        ("mirrored:x", "2 to 1024"),
        ("mirrored:", "2 to 1024"),
        ("multi_worker_mirrored", "KERAS_BACKEND=jax"),
        ("MultiWorkerMirroredStrategy", "KERAS_DISTRIBUTION_JOB_ADDRESSES"),
    ],
)
def test_what_is_no_strategy(text, said):
    with pytest.raises(CommandError, match=said):
        strategies.parse_strategy(text)


@pytest.mark.parametrize(
    ("name", "cls", "replicas"),
    [
        ("auto", "_DefaultDistributionStrategy", 1),
        ("cpu", "_DefaultDistributionStrategy", 1),
        ("mirrored", "MirroredStrategy", 2),
        ("mirrored:2", "MirroredStrategy", 2),
    ],
)
def test_scopes_of_tensorflow(name, cls, replicas):
    found = strategies.resolve(name)
    with found.scope():
        assert type(tf.distribute.get_strategy()).__name__ == cls
        assert strategies.replicas() == replicas == max(len(found.devices), 1)
    assert found.name == ("cpu" if name == "auto" else name)


@pytest.mark.parametrize("name", ["gpu", "tpu"])
def test_what_is_not_there_is_said_with_what_is(name):
    with pytest.raises(WorldError, match="CPU:0"):
        strategies.resolve(name).scope()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}), "KERAS_BACKEND=jax"),
        (json.dumps({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}), "MultiWorkerMirroredStrategy"),
        ("{", "TF_CONFIG"),
        ("[]", "TF_CONFIG"),
    ],
)
def test_a_cluster_of_tensorflow_is_refused(monkeypatch, config, said):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(WorldError, match=said):
        strategies.check_hosts()


def test_one_worker_is_no_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}}))
    strategies.check_hosts()
