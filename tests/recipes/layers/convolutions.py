"""What a convolution of ours is held against: TensorFlow's own of the same weights, and its derivatives."""

import numpy as np
import tensorflow as tf

ERROR = {"eager": 3e-6, "graph": 3e-6, "XLA": 1e-5}  # XLA sums in another order on each kind of processor
MODES = {"eager": {"run_eagerly": True}, "graph": {}, "XLA": {"jit_compile": True}}


def both(ours, plain, shape, arguments, dtype=None):
    """A layer of each class, of the same weights; a dtype is that of the first alone."""
    layers = ours(**arguments, **({"dtype": dtype} if dtype else {})), plain(**arguments)
    for layer in layers:
        layer.build((None, *shape))
    weights = [np.random.default_rng(1).normal(size=w.shape, scale=0.1) for w in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def derivatives(layer, x, upstream):
    """Outputs, gradients, and the gradients of the squared norm of that of the inputs."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = layer(x)
            bent = tf.reduce_sum(tf.sin(y) * upstream)  # not linear, so that second derivatives are not 0
        first = tape.gradient(bent, [x, layer.kernel.value])
        penalty = tf.reduce_sum(tf.square(first[0]))
    return y, *first, *outer.gradient(penalty, [x, layer.kernel.value])


def assert_same(ours, plain, x, mode):
    """Outputs, first and second derivatives, in one of `MODES`."""
    upstream = tf.constant(np.random.default_rng(2).normal(size=plain(x).shape), tf.float32)
    options = dict(MODES[mode])
    found = derivatives if options.pop("run_eagerly", False) else tf.function(derivatives, **options)
    for mine, theirs in zip(found(ours, x, upstream), derivatives(plain, x, upstream), strict=True):
        assert_near(mine, theirs, ERROR[mode])


def assert_near(ours, theirs, error):
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert np.linalg.norm(ours - theirs) <= error * np.linalg.norm(theirs)
