import contextlib


class MicroBatches:
    """What an optimizer is told of the micro-batch it is about to get the gradients of.

    Keras's training step hands an optimizer nothing but gradients. This is the side door: for the length of a step
    it holds the tensors that say how much the micro-batch counts. Replicas are traced one after the other, so there
    is one entry a replica.

    Why the weights are passed beside the step and not in the data, as `recipes.data.full_batches` has them: `fit` cuts
    plain arrays into batches by itself, after it has been called, so nothing could weigh the samples of the last one
    before that, and a user's own sample weights, class weights and data sets would have to be rewritten. What data can
    carry is better there: a last batch that is filled up, so that every batch has one shape and each device as many
    samples. Both give the same sum, and each can do what the other cannot.

    It lies in a class of its own because Keras tracks what is set on an optimizer, and these tensors belong to a
    graph that is being built.
    """

    def __init__(self):
        self.expected = -1  # micro-batches in a pass; -1: unknown
        self._by_replica, self._first_by_replica = {}, {}

    @property
    def told(self):
        """Whether the step under way says how much its micro-batch counts."""
        return bool(self._by_replica)

    def is_first(self, replica):
        """Whether the micro-batch under way is the first of its update: a bool or a tensor."""
        return self._first_by_replica[replica]

    @contextlib.contextmanager
    def weighing(self, optimizer, weight, divisor, is_first=None, data=None):
        replica, was_built = optimizer._backend.replica(), optimizer.built
        self._by_replica[replica] = (weight, divisor)
        self._first_by_replica[replica] = is_first
        if was_built and optimizer.makes_passes:
            optimizer._backend.count_seen(optimizer, data)
        try:
            yield
        finally:
            self._by_replica.pop(replica, None)
            self._first_by_replica.pop(replica, None)
        if optimizer.built and not was_built and optimizer.makes_passes:
            # The step has built the optimizer. Unless it has made an update, which starts a new count, it was seen.
            optimizer._window.seen.assign(1 - optimizer.iterations)

    def take(self, replica):
        """`(weight, divisor)` of the micro-batch under way, `(1, 1)` if nothing was said of it."""
        if not self.told:
            return 1.0, 1.0
        told = self._by_replica[replica]
        if told is None:
            raise ValueError(
                "A training step applied gradients twice. A full batch is taken in by one `apply` of all variables in "
                "each step: sum the losses of the step, or use an optimizer for each part of the model."
            )
        self._by_replica[replica] = None
        return told
