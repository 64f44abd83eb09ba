"""Many passes on torch: a loop over passes, and in it one over the batches, which stay on the device.

A training step of Keras costs more than the arithmetic of a small network. So what a pass does is recorded, as the list
of torch's own operations that it comes to, and this list is carried out in most passes. The first and the last pass of
an epoch are made by the model's own step. What was recorded has to do the same as the first one, bit for bit, in each
epoch: if it does not, since something has been changed meanwhile, it is recorded anew.

A model is trained by its own step in all passes where that cannot be: random numbers, numbers that are taken out of
tensors, shapes that depend on values, modules of torch, hooks, a `train_step` or an optimizer around ours, other
callbacks that change the step.
"""

import torch

from callbacks.passes._torch_pass import RecordedPass, can_be_recorded
from callbacks.passes.passes import Passes
from custom_optimizers.diagnostics import GIVE_UP_AFTER, number

TRIES = 2  # recordings in an epoch; where both do something else than the own step, nothing is recorded again


class TorchPasses(Passes):
    """Many passes as a loop of Python over recorded operations."""

    def __init__(self, model, optimizer, *about):
        super().__init__(model, optimizer, *about)
        self._recorded = None  # `RecordedPass`
        self._is_seen = False  # whether it did the same as the model's own step in this epoch
        self._tries = TRIES  # that are left in this epoch

    def __call__(self, data):
        batches, self._is_seen = self.held(data[0]), False
        self._tries = TRIES if self._tries > 0 else 0  # none are left where all have failed in one epoch
        losses, norms, record = [], [], self._optimizer._record
        for i in range(self._count):
            skipped = self._skipped_in_a_row(record)
            if skipped >= GIVE_UP_AFTER:
                break
            is_last = i == self._count - 1 or skipped == GIVE_UP_AFTER - 1
            is_last = is_last or self._search_has_ended()
            by_own_step = is_last or not self._is_seen
            logs = self._own_pass(batches, i < self._count - 2) if by_own_step else {"loss": self._recorded()}
            losses += [logs["loss"]] if "loss" in logs else []
            record = self._optimizer._record
            if record is not None:
                norms.append(record.gradient_norm.value.clone())
            if is_last:
                break
        found = {"loss": losses, "gradient_norm": norms}
        self._made, self._traced = i + 1, {name: _stacked(each) for name, each in found.items() if each}
        return logs

    def _skipped_in_a_row(self, record):
        """How many updates were skipped in a row; a search skips none, and asking would wait for the device."""
        return 0 if record is None or self._optimizer.search is not None else number(record.skipped_in_a_row)

    def _search_has_ended(self):
        """Whether a search has; on a GPU it is not asked between passes, since that would wait for the device."""
        search = self._optimizer.search
        counts = search.variables["counts"].value if search is not None and search.variables else None
        return counts is not None and counts.device.type == "cpu" and bool(search.has_ended(counts))

    def hold(self, batches):
        return batches

    def _own_pass(self, batches, is_worth_it):
        """Make a pass by the model's own step, and see whether what is recorded would do the same; give its logs."""
        recorded = self._candidate(batches) if is_worth_it and self._tries else None
        before = None if recorded is None else recorded.state()
        self._optimizer.begin_next_pass(len(batches))
        self._model.reset_metrics()
        for batch in batches:
            logs = self._model.train_step(batch)
        if recorded is not None:
            self._is_seen = recorded.does_the_same(before)
            if not self._is_seen:
                self._recorded, self._tries = None, self._tries - 1
        return logs

    def _candidate(self, batches):
        """What is recorded, ready for these batches; None if nothing can be."""
        if self._counts is None or not can_be_recorded(self._model, self._optimizer):
            return None
        if self._recorded is None or not self._recorded.is_of(self._model, self._optimizer):
            self._recorded = RecordedPass(self._model, self._optimizer, self._counts)
        return self._recorded if self._recorded.prepare(batches) else None


def _stacked(values):
    return torch.stack([torch.as_tensor(value).detach() for value in values])
