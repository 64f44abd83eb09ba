def without_autotune(batches):
    """A `tf.data.Dataset` without TensorFlow's autotuning, so that the end of the data is not delayed.

    TensorFlow tunes a pipeline in a thread that sleeps 10 ms, then 20, 40 and so on. An iterator that comes to its end
    wakes the thread, and where the thread misses that, waits until it wakes by itself: an epoch, or an `evaluate`, may
    take twice its time. Seen with TensorFlow 2.21 (`python -m benchmarks.autotune`).

    Args:
        batches: `tf.data.Dataset` that says how many threads and how much room it takes: none of it is
            `tf.data.AUTOTUNE`.

    Returns:
        The same batches.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
