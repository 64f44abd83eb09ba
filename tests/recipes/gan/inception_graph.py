"""A small network between the nodes of the Inception graph of 2015."""

import numpy as np
import tensorflow as tf

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype("float32")
OLD = 8  # of a graph that may have BatchNormWithGlobalNormalization, as that of 2015 has


def graph(path, hostile=False):
    """Write it, with the decoding and the batch of one that the large one has before them."""
    with tf.Graph().as_default() as built:
        decoded = tf.compat.v1.placeholder(tf.uint8, (16, 16, 3), "DecodeJpeg")
        x = tf.raw_ops.ExpandDims(input=tf.cast(decoded, tf.float32), axis=0, name="ExpandDims")
        x = tf.raw_ops.ResizeBilinear(images=x, size=[9, 9])
        x = (x - 128.0) * tf.constant(1 / 128)
        x = tf.nn.conv2d(x, tf.constant(KERNEL), 2, "VALID")
        x = tf.identity(x, "normalised")
        for name, value in (("m", 0.0), ("v", 1.0), ("beta", 0.0), ("gamma", 1.0)):
            tf.constant(value, shape=(8,), name=name)
        if hostile:
            with tf.control_dependencies([tf.io.write_file(str(path) + ".stolen", "x")]):
                x = tf.identity(x)
        tf.nn.avg_pool2d(tf.nn.relu(x), 4, 1, "VALID", name="pool_3")
    definition = built.as_graph_def()
    definition.versions.producer = OLD
    node = next(each for each in definition.node if each.name == "normalised")  # TensorFlow makes no new ones
    node.op = "BatchNormWithGlobalNormalization"
    node.input.extend(["m", "v", "beta", "gamma"])
    node.attr["variance_epsilon"].f, node.attr["scale_after_normalization"].b = 0.0, True
    path.write_bytes(definition.SerializeToString())
    return path
