import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from custom_optimizers import BatchGD, Muon


def moved(optimizer, shape, name="kernel", steps=50, start=None):
    """The value of a variable after steps with gradients that are the same at each call."""
    w = keras.Variable(np.ones(shape, "float32") if start is None else start, name=name)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        optimizer.apply([ops.array(rng.normal(size=shape), "float32")], [w])
    return ops.convert_to_numpy(w)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5,)])
def test_matrices_and_vectors_equal_muon_of_keras(shape, nesterov):
    ours = moved(Muon(0.01, nesterov=nesterov), shape)
    theirs = moved(keras.optimizers.Muon(0.01, nesterov=nesterov, weight_decay=None, adam_weight_decay=None), shape)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_kernels_of_convolutions_are_flattened_to_inputs_and_filters():
    shape = (3, 3, 2, 4)
    flat_start = np.ones((18, 4), "float32")
    as_matrix = Muon(0.01)
    w = keras.Variable(flat_start, name="kernel")
    rng = np.random.default_rng(0)
    for _ in range(50):
        as_matrix.apply([ops.array(rng.normal(size=shape).reshape(18, 4), "float32")], [w])
    np.testing.assert_allclose(moved(Muon(0.01), shape).reshape(18, 4), w, rtol=1e-4, atol=1e-5)


LAYERS = [  # (layer, shape of its input, axes of the units, or None for what is no matrix)
    (layers.Dense(3), (4,), (1,)),
    (layers.Conv1D(3, 2), (5, 4), (2,)),
    (layers.Conv2D(3, 2), (5, 5, 4), (3,)),
    (layers.Conv2DTranspose(3, 2), (5, 5, 4), (2,)),
    (layers.DepthwiseConv2D(3), (5, 5, 4), None),
    (layers.Embedding(7, 3), (), None),
    (layers.LayerNormalization(), (4,), None),
]


@pytest.mark.parametrize(("layer", "shape", "axes"), LAYERS, ids=lambda value: getattr(value, "name", None))
def test_which_variables_are_matrices(layer, shape, axes):
    layer.build((None, *shape))
    optimizer = Muon(1.0, momentum=0.0, size="none", others="momentum")
    optimizer.build(layer.trainable_variables)
    assert optimizer.axes[0] == axes
    kernel = layer.trainable_variables[0]
    g = np.random.default_rng(0).normal(size=kernel.shape).astype("float32")
    before = ops.convert_to_numpy(kernel)
    gradients = [ops.array(g), *(ops.zeros(v.shape) for v in layer.trainable_variables[1:])]
    optimizer.apply(gradients, layer.trainable_variables)
    step = before - ops.convert_to_numpy(kernel)
    if axes is None:
        np.testing.assert_allclose(step, g, rtol=1e-4, atol=1e-6)  # plain descent
    else:
        matrix = np.moveaxis(step, axes[0], -1).reshape(-1, step.shape[axes[0]])
        values = np.linalg.svd(matrix, compute_uv=False)
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_attention_kernels_are_matrices_of_inputs_and_heads():
    layer = layers.MultiHeadAttention(2, 3)
    layer.build((None, 5, 4), (None, 5, 4))
    optimizer = Muon()
    optimizer.build(layer.trainable_variables)
    found = {v.path.split("/", 1)[1]: axes for v, axes in zip(layer.trainable_variables, optimizer.axes, strict=True)}
    assert found["query/kernel"] == found["key/kernel"] == found["value/kernel"] == (1, 2)
    assert found["attention_output/kernel"] == (2,)


@pytest.mark.parametrize(("size", "factor"), [("none", 1), ("rms", 0.2 * 8**0.5), ("spectral", 1), ("wide", 2)])
def test_sizes(size, factor):
    shape = (2, 8) if size == "wide" else (8, 2)
    g = np.random.default_rng(0).normal(size=shape)
    u, _, v = np.linalg.svd(g, full_matrices=False)
    optimizer = Muon(1.0, momentum=0.0, ns_steps=30, size="spectral" if size == "wide" else size)
    w = keras.Variable(np.zeros(shape), name="kernel")
    optimizer.apply([ops.array(g, "float32")], [w])
    # The iteration does not settle at 1 but keeps singular values near it.
    np.testing.assert_allclose(-ops.convert_to_numpy(w) / factor, u @ v, atol=0.4)


def test_steps_in_bfloat16_are_nearly_those_of_float32():
    start = np.zeros((64, 16), "float32")
    exact, rounded = (
        moved(Muon(1.0, size="none", ns_dtype=dtype), (64, 16), steps=1, start=start)
        for dtype in ("float32", "bfloat16")
    )
    assert 0 < np.abs(np.linalg.svd(exact)[1] - np.linalg.svd(rounded)[1]).max() < 0.1
    assert np.linalg.norm(exact - rounded) < 0.1 * np.linalg.norm(exact)


def test_excluded_and_others():
    head = keras.Variable(np.ones((2, 2)), name="head_kernel")
    optimizer = Muon(0.1, others="momentum", momentum=0.9, exclude=["head"])
    plain = keras.Variable(np.ones((2, 2)))
    reference = BatchGD(0.1, momentum=0.9, nesterov=True, velocity="torch")
    for _ in range(5):
        optimizer.apply([ops.ones((2, 2))], [head])
        reference.apply([ops.ones((2, 2))], [plain])
    np.testing.assert_allclose(head, plain, rtol=1e-6)
    assert optimizer.squares == [None]


@pytest.mark.parametrize("size", ["rms", "spectral", "none"])
@pytest.mark.parametrize("others", ["adam", "momentum"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_a_kernel_without_entries_is_no_matrix(shape, others, size):
    empty, w = keras.Variable(np.zeros(shape), name="empty_kernel"), keras.Variable(np.ones((2, 2)), name="kernel")
    optimizer = Muon(0.1, others=others, size=size)
    optimizer.apply([ops.zeros(shape), ops.ones((2, 2))], [empty, w])
    assert optimizer.axes == [None, (1,)]
    assert ops.convert_to_numpy(empty).shape == shape
    np.testing.assert_allclose(w, moved_by_ones(Muon(0.1, others=others, size=size)), rtol=1e-6)


def moved_by_ones(optimizer):
    """The value of a kernel of ones after a step with a gradient of ones."""
    w = keras.Variable(np.ones((2, 2)), name="kernel")
    optimizer.apply([ops.ones((2, 2))], [w])
    return ops.convert_to_numpy(w)


def test_arguments_of_numpy_become_those_of_python():
    theirs = Muon(0.1, momentum=np.float32(0.5), ns_steps=np.int64(3), eps=np.float64(1e-7), name="mine")
    ours = Muon(0.1, momentum=0.5, ns_steps=3, name="mine")
    assert json.dumps(theirs.get_config()) == json.dumps(ours.get_config())
