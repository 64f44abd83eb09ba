def without_autotune(batches):
    """A `tf.data.Dataset` whose end is not waited for.

    TensorFlow tunes a pipeline in a thread that sleeps 10 ms, then 20, 40 and so on. An iterator that comes to its end
    wakes the thread, and where the thread misses that, waits until it wakes by itself: every epoch, and every
    `evaluate`, may take up to twice its time. Seen with TensorFlow 2.21 in three epochs of five
    (`python -m benchmarks.autotune`). What is in memory and gathered needs no tuning.

    Args:
        batches: `tf.data.Dataset`. In it `tf.data.AUTOTUNE` then stands for every core.

    Returns:
        The same batches.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
