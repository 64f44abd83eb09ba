def without_autotune(batches):
    """A `tf.data.Dataset` without TensorFlow's autotuning, so that the end of the data is not delayed.

    TensorFlow tunes a pipeline in a thread that sleeps 10 ms, then 20, 40 and so on. An iterator that comes to its end
    wakes this thread. If the thread misses the call, the iterator waits until the thread wakes by itself, so an epoch
    or an `evaluate` may take twice its time. This was measured with TensorFlow 2.21 (`python -m benchmarks.autotune`).

    Args:
        batches: `tf.data.Dataset` in which every number of threads and size of a buffer is written as a number, not as
            `tf.data.AUTOTUNE`.

    Returns:
        The same batches.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
