"""Many passes on torch: a loop over passes, and in it one over the batches, which stay on the device.

A training step of Keras costs more than the arithmetic of a small network. So the loss and its gradient are recorded
once, as the list of torch's own operations that they come to, and this list is carried out in all passes but the last.
That one is made by the model's own step, from which the logs are.

A model is trained by its own step in all passes where its loss cannot be recorded: random numbers, numbers that are
taken out of tensors, a `train_step` or an optimizer around ours, other callbacks that change the step.
"""

import keras
import torch

from callbacks.passes._torch_pass import RecordedPass, can_be_recorded
from callbacks.passes.passes import Passes
from custom_optimizers.diagnostics import GIVE_UP_AFTER, number


class TorchPasses(Passes):
    """Many passes as a loop of Python over recorded operations."""

    def __init__(self, model, optimizer, *about):
        super().__init__(model, optimizer, *about)
        self._is_first = True  # whether no pass has been made, whose loss is looked at by the callback
        self._recorded = None  # `RecordedPass`, made when the model and its optimizer have been built
        self._is_recorded = None  # whether it can make the passes of this epoch; None: not asked yet

    def __call__(self, data):
        batches, self._is_recorded = self.held(data[0]), None
        losses, norms, record = [], [], self._optimizer._record
        for i in range(self._count):
            skipped = 0 if record is None else number(record.skipped_in_a_row)
            if skipped >= GIVE_UP_AFTER:
                break
            is_last = i == self._count - 1 or skipped == GIVE_UP_AFTER - 1
            logs = self._one_pass(batches, by_own_step=is_last or self._is_first)
            self._is_first = False
            losses.append(logs["loss"])
            if record is not None:
                norms.append(record.gradient_norm.value.clone())
        found = {"loss": losses, "gradient_norm": norms}
        self._made, self._traced = len(losses), {name: torch.stack(each) for name, each in found.items() if each}
        return logs

    def hold(self, batches):
        return [keras.tree.map_structure(keras.ops.convert_to_tensor, batch) for batch in batches]

    def _one_pass(self, batches, by_own_step):
        """Make a pass, and give its logs; those of a recorded one are its loss alone."""
        if not by_own_step and self._can_record(batches):
            return {"loss": self._recorded()}
        self._optimizer.begin_next_pass(len(batches))
        self._model.reset_metrics()
        for batch in batches:
            logs = self._model.train_step(batch)
        return logs

    def _can_record(self, batches):
        if self._is_recorded is None:
            if self._recorded is None and self._counts is not None and can_be_recorded(self._model, self._optimizer):
                self._recorded = RecordedPass(self._model, self._optimizer, self._counts)
            self._is_recorded = self._recorded is not None and self._recorded.prepare(batches)
        return self._is_recorded
