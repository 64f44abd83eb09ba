"""Many passes on JAX: a loop over passes, and in it one over the batches of each shape, in one compiled function.

On a processor XLA computes a convolution within a loop four times as slowly as outside of one
(https://github.com/jax-ml/jax/issues/12868). There the loops of a model that has one are of Python, around a compiled
step.
"""

import contextlib
import functools

import jax
import keras
from jax import numpy as jnp

from callbacks.passes.passes import Passes
from callbacks.passes.stacks import check_dense, grouped, kind_of, stacked

TRAINED, OPTIMIZER, METRICS = 0, 2, 3  # places in the state that a training step takes and gives


class JaxPasses(Passes):
    """Many passes as one compiled function of the state of training, which is donated."""

    def __init__(self, model, *about):
        super().__init__(model, *about)
        self._step, self._outer = model.train_step, model.optimizer
        self._is_eager = model.run_eagerly or not model.jit_compile
        self._run = jax.jit(self._passes, donate_argnums=0)
        self._run_step = jax.jit(self._step, donate_argnums=0)
        self._begin = jax.jit(self._begun, static_argnums=1)
        self._is_by_steps = None  # whether the loops are of Python; known from the first call on
        self._is_stacked = False  # whether the batches of one shape that are held have been put together

    def __call__(self, state, iterator):
        held = self.held(next(iterator))
        if self._is_by_steps is None:
            self._is_by_steps = not self._is_eager and self._has_slow_loops(state, held[0])
        if not (self._is_by_steps or self._is_stacked):
            self._held = held = [stacked(group, jnp.stack) for group in grouped(held, kind_of)]
            self._is_stacked = True
        with jax.disable_jit() if self._is_eager else contextlib.nullcontext():
            run = self._by_steps if self._is_by_steps else self._run
            self._made, logs, self._traced, state = run(state, held)
        return logs, state

    def hold(self, batches):
        check_dense(batches, lambda leaf: hasattr(leaf, "todense"))
        self._is_stacked = False
        return batches

    def _has_slow_loops(self, state, batch):
        """Whether the operations of a step take longer within a loop of XLA than outside of one."""
        if jax.default_backend() != "cpu":
            return False
        return "conv_general_dilated" in str(self._run_step.trace(state, batch).jaxpr)

    def _by_steps(self, state, batches):
        """What `_passes` does, in a loop of Python."""
        metrics, losses, norms, record, made = state[METRICS], [], [], self._optimizer._record, 0
        while self._goes_on((made, state)):
            values = self._begin(state, len(batches))
            state = (*state[:OPTIMIZER], values, jax.tree.map(jnp.copy, metrics))
            for batch in batches:
                logs, state = self._run_step(state, batch)
            made += 1
            losses += [logs["loss"]] if "loss" in logs else []
            if record is not None:  # a copy, since the next step is given the memory of the state
                norms.append(jnp.copy(state[OPTIMIZER][self._place(record.gradient_norm)]))
        trace = {"loss": losses, "gradient_norm": norms}
        return made, logs, {name: jnp.stack(each) for name, each in trace.items() if each}, state

    def _passes(self, state, stacks):
        """Make the passes, but none more once training has diverged, or a search has ended."""
        metrics = state[METRICS]
        one = functools.partial(self._one_pass, metrics, stacks)
        shapes, _, norm = jax.eval_shape(one, state)
        logs = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
        trace = {"loss": jnp.zeros(self._count, logs["loss"].dtype)} if "loss" in logs else {}
        if norm is not None:
            trace["gradient_norm"] = jnp.zeros(self._count, norm.dtype)

        def body(carry):
            i, _, trace, state = carry
            logs, after, norm = one(state)
            found = {"loss": logs.get("loss"), "gradient_norm": norm}
            trace = {name: values.at[i].set(found[name]) for name, values in trace.items()}
            return i + 1, logs, trace, _alike(after, state)

        return jax.lax.while_loop(self._goes_on, body, (0, logs, trace, state))

    def _goes_on(self, carry):
        goes_on, state = carry[0] < self._count, carry[-1]
        for ended in self.ends(lambda variable: state[OPTIMIZER][self._place(variable)]):
            goes_on = goes_on & ~ended
        return goes_on

    def _one_pass(self, metrics, stacks, state):
        """`(logs, state, norm of the gradient)` after a pass."""
        count = sum(map(_count_of, stacks))
        state = (*state[:OPTIMIZER], self._begun(state, count), metrics)
        for stack in stacks:
            logs, state = self._over(stack, state)
        record = self._optimizer._record
        return logs, state, None if record is None else state[OPTIMIZER][self._place(record.gradient_norm)]

    def _over(self, stack, state):
        """`(logs, state)` after the batches of a stack."""
        if _count_of(stack) == 1:
            return self._step(state, jax.tree.map(lambda leaf: leaf[0], stack))

        def body(state, batch):
            logs, after = self._step(state, batch)
            return _alike(after, state), logs

        state, logs = jax.lax.scan(body, state, stack)
        return jax.tree.map(lambda each: each[-1], logs), state

    def _begun(self, state, count):
        """The values of the optimizer's variables when a pass begins."""
        variables, values = self._outer.variables, state[OPTIMIZER]
        known = [*zip(self._optimizer._trainable_variables, state[TRAINED], strict=True)]
        with keras.StatelessScope([*known, *zip(variables, values, strict=True)]) as scope:
            self._optimizer.begin_next_pass(count)
        found = [scope.get_current_value(variable) for variable in variables]
        return [old if new is None else new for new, old in zip(found, values, strict=True)]

    def _place(self, variable):
        return next(i for i, each in enumerate(self._outer.variables) if each is variable)


def _count_of(stack):
    """How many batches there are in a stack."""
    return jax.tree.leaves(stack)[0].shape[0]


def _alike(after, before):
    """Values in the dtypes of others, as what goes around in a loop has to be."""
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, before)
