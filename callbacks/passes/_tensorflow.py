"""Many passes on TensorFlow: a loop over passes, and in it one over the batches of each shape, in one graph."""

import functools

import keras
import tensorflow as tf

from callbacks.passes.passes import Passes
from callbacks.passes.stacks import check_dense, grouped, kind_of, stacked
from callbacks.step_of_fit import own_of_instance

UNROLLED = 4  # batches in a graph of XLA at most that are not in a loop: a step in a loop takes a quarter more time


class TensorflowPasses(Passes):
    """Many passes as one graph, compiled by XLA where the model's own step is, on one device."""

    def __init__(self, model, *about):
        super().__init__(model, *about)
        self._strategy = model.distribute_strategy
        compiled = model.jit_compile and self._strategy.num_replicas_in_sync == 1
        self._unrolled = UNROLLED if compiled else 1
        # a partial, since TensorFlow warns of a method that many fits have traced, each for a few calls
        made = tf.function(functools.partial(self._passes), jit_compile=compiled, autograph=False)
        self._run = self._passes if model.run_eagerly else made
        # The logs of a step of the user's own cannot be known before it is made.
        self._is_by_steps = type(model).train_step is not keras.Model.train_step
        self._is_by_steps = self._is_by_steps or own_of_instance(model, "train_step") is not None

    def __call__(self, iterator):
        held = self.held(next(iterator))
        if self._is_by_steps:
            return self._by_steps(held)
        self._made, self._traced, logs = self._run(held)
        return logs

    def _by_steps(self, batches):
        """Make the passes in a loop of Python, around the compiled step."""
        losses, norms, record = [], [], self._optimizer._record
        for _ in range(self._count):
            if any(map(bool, self.ends(tf.convert_to_tensor))):
                break
            self._optimizer.begin_next_pass(len(batches))
            self._model.reset_metrics()
            for batch in batches:
                logs = self._function(iter([batch]))
            losses += [logs["loss"]] if "loss" in logs else []
            norms += [] if record is None else [tf.convert_to_tensor(record.gradient_norm.value)]
        self._made = max(len(losses), len(norms))
        self._traced = {name: each for name, each in {"loss": losses, "gradient_norm": norms}.items() if each}
        return logs

    def hold(self, batches):
        """Stacks of batches, each replica's part by itself; in a loop of Python the batches as they are."""
        if self._is_by_steps:
            return batches
        check_dense(batches, lambda leaf: isinstance(leaf, tf.SparseTensor))
        batches = keras.tree.map_structure(_without_optional, batches)
        groups = grouped(batches, lambda leaf: [kind_of(part) for part in self._parts(leaf)])
        stack = functools.partial(self._strategy.run, lambda *own: stacked(own, tf.stack))
        if self._strategy.num_replicas_in_sync > 1:
            stack = tf.function(stack, autograph=False)
        return [stack(args=tuple(group)) for group in groups]

    def _parts(self, leaf):
        return self._strategy.experimental_local_results(leaf)

    def _count_of(self, stack):
        """How many batches there are in a stack."""
        first = next(leaf for leaf in keras.tree.flatten(stack) if leaf is not None)
        return int(self._parts(first)[0].shape[0])

    def _passes(self, stacks):
        """Make the passes, but none more once training has diverged, or a search has ended."""
        record = self._optimizer._record
        read = {"loss": self._model._loss_tracker.result}
        if record is not None:
            read["gradient_norm"] = lambda: record.gradient_norm.value
        empty = {name: tf.zeros(self._count, value().dtype) for name, value in read.items()}

        def goes_on(i, trace):
            ended = self.ends(tf.convert_to_tensor)
            return tf.reduce_all([i < self._count, *map(tf.logical_not, ended)])

        def body(i, trace):
            self._one_pass(stacks)
            return i + 1, {name: tf.tensor_scatter_nd_update(trace[name], [[i]], [read[name]()]) for name in trace}

        made, trace = tf.while_loop(goes_on, body, (0, empty), parallel_iterations=1)
        return made, trace, self._model.get_metrics_result()

    def _one_pass(self, stacks):
        self._optimizer.begin_next_pass(sum(map(self._count_of, stacks)))
        self._model.reset_metrics()
        for stack in stacks:
            self._over(stack)

    def _over(self, stack):
        """Train on the batches of a stack, one after the other."""
        count = self._count_of(stack)

        def body(i):
            self._strategy.run(self._step, args=(stack, i))
            return (i + 1,)

        if count <= self._unrolled:
            for i in range(count):
                body(i)
        else:
            tf.while_loop(lambda i: i < count, body, (0,), parallel_iterations=1)

    def _step(self, stack, i):
        self._model.train_step(keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[i], stack))


def _without_optional(leaf):
    """A tensor; None for the empty Optional that stands for None in a data set."""
    return None if isinstance(leaf, tf.experimental.Optional) else leaf
