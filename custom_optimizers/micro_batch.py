import contextlib


class MicroBatches:
    """Holds the weight of a micro-batch for an optimizer that is about to get the micro-batch's gradients.

    Keras's training step gives an optimizer nothing but gradients. So a callback puts the weight here, tensors that say
    how much the micro-batch counts, for the length of a step. Replicas are traced one after the other, and each has an
    entry of its own.

    Why the weights do not come with the data, as those of `recipes.data.full_batches` do: `fit` cuts plain arrays into
    batches only after it has been called, so the samples of the last batch could not be weighed before, and a user's
    own sample weights, class weights and data sets would have to be rewritten. The data have an advantage too: they can
    fill up the last batch, so that all batches have one shape and all devices the same number of samples. Both ways
    give the same sum.

    This is a class of its own, since Keras tracks the attributes of an optimizer, and these tensors belong to a graph
    that is being built.
    """

    def __init__(self):
        self.expected = -1  # micro-batches in a pass; -1: unknown
        self._by_replica, self._first_by_replica, self._loss_by_replica = {}, {}, {}

    @property
    def has_weight(self):
        """Whether the step under way has given a weight of its micro-batch."""
        return bool(self._by_replica)

    def is_first(self, replica):
        """Whether the micro-batch under way is the first of its update: a bool or a tensor."""
        return self._first_by_replica[replica]

    @contextlib.contextmanager
    def weighing(self, optimizer, weight, divisor, is_first=None, data=None):
        """Context for the training step of one micro-batch, which has this weight and divisor."""
        replica, was_built = optimizer._backend.replica(), optimizer.built
        self._by_replica[replica] = (weight, divisor)
        self._first_by_replica[replica] = is_first
        is_counted = optimizer.makes_passes and not optimizer.takes_batches_whole
        if was_built and is_counted:
            optimizer._backend.count_begun(optimizer, data)
        try:
            yield
        finally:
            self._by_replica.pop(replica, None)
            self._first_by_replica.pop(replica, None)
            self._loss_by_replica.pop(replica, None)
        if optimizer.built and not was_built and is_counted:
            # The step has built the optimizer, and its micro-batch was not counted at its beginning: count it now,
            # unless an update was made, which begins a new count.
            optimizer._window.micro_batches_begun.assign(1 - optimizer.iterations)

    def tell_loss(self, replica, loss):
        """Give the loss of the micro-batch under way, a scalar tensor, before its gradient is applied."""
        self._loss_by_replica[replica] = loss

    def loss(self, replica):
        """The loss of the micro-batch under way; None if it was not told."""
        return self._loss_by_replica.get(replica)

    def take(self, replica):
        """`(weight, divisor)` of the micro-batch under way, once in a step; `(1, 1)` if no weight was given."""
        if not self.has_weight:
            return 1.0, 1.0
        given = self._by_replica[replica]
        if given is None:
            raise ValueError(
                "A training step applied gradients twice. With gradient accumulation each step has to call `apply` "
                "once, for all variables: sum the losses of the step, or use an optimizer for each part of the model."
            )
        self._by_replica[replica] = None
        return given
