"""LeakyReLU by its outputs against that of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.layers import FusedLeakyReLU

VALUES = np.array([-np.inf, -3.0, -1e-38, -1e-45, -0.0, 0.0, 1e-45, 1e-38, 2.0, np.inf], "float32")


def derivatives(layer, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            bent = tf.reduce_sum(tf.square(tf.cast(y, tf.float32)))
        first = tape.gradient(bent, x)
        penalty = tf.reduce_sum(tf.square(tf.cast(first, tf.float32)))
    return y, first, outer.gradient(penalty, x)


@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, 1.5])
def test_outputs_and_derivatives_are_those_of_keras(slope, dtype, mode):
    x = tf.cast(np.random.default_rng(0).normal(size=(4, 5)), dtype)
    ours, theirs = FusedLeakyReLU(slope, dtype=dtype), keras.layers.LeakyReLU(slope, dtype=dtype)
    found = derivatives if mode == "eager" else tf.function(derivatives, jit_compile=mode == "XLA")
    for mine, expected in zip(found(ours, x), derivatives(theirs, x), strict=True):
        np.testing.assert_allclose(np.asarray(mine, "float32"), np.asarray(expected, "float32"), rtol=1e-6)


def test_at_the_edges_of_float32_too():
    x = tf.constant(VALUES)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = FusedLeakyReLU(0.2)(x), keras.layers.LeakyReLU(0.2)(x)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(tape.gradient(ours, x), tape.gradient(theirs, x))


def test_a_convolution_its_bias_and_it_are_one_kernel():
    """What the layer is for: with Keras's gradient the activation is computed by itself."""
    assert "LeakyRelu" not in kernels(FusedLeakyReLU(0.2))
    assert "LeakyRelu" in kernels(keras.layers.LeakyReLU(0.2))


def kernels(activation):
    """Names of what TensorFlow computes for outputs and gradient, once it has rewritten the graph."""
    options, metadata = tf.compat.v1.RunOptions(output_partition_graphs=True), tf.compat.v1.RunMetadata()
    with tf.Graph().as_default(), tf.compat.v1.Session(config=tf.compat.v1.ConfigProto()) as session:
        x, kernel, bias = (tf.random.normal(shape) for shape in ((2, 8, 8, 4), (3, 3, 4, 4), (4,)))
        outputs = activation.call(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        wanted = [tf.reduce_sum(outputs), *tf.gradients(outputs, [x, kernel, bias])]
        session.run(wanted, options=options, run_metadata=metadata)
    return {node.op for graph in metadata.partition_graphs for node in graph.node}
