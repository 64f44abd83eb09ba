"""Where TensorFlow computes."""


def is_on_processor():
    """Whether TensorFlow has no GPU and no TPU here."""
    import tensorflow as tf

    return not (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
