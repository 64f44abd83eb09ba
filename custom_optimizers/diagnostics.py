from keras import ops

GIVE_UP_AFTER = 5  # full-batch gradients in a row that are not finite


class Diagnostics:
    """What an optimizer records of the gradients of full batches.

    Args:
        optimizer: `Descent`, whose variables these become.
    """

    def __init__(self, optimizer):
        self.gradient_norm = optimizer.add_variable((), name="gradient_norm", dtype="float32")
        self.clipped_norm = optimizer.add_variable((), name="clipped_norm", dtype="float32")
        self.clipped_updates = optimizer.add_counter("clipped_updates")
        self.skipped_updates = optimizer.add_counter("skipped_updates")
        self.skipped_in_a_row = optimizer.add_counter("skipped_in_a_row")
        count = len(optimizer._trainable_variables)
        self.variable_norms = optimizer.add_variable((count,), name="variable_norms", dtype="float32")

    @property
    def variables(self):
        return [
            self.gradient_norm,
            self.clipped_norm,
            self.clipped_updates,
            self.skipped_updates,
            self.skipped_in_a_row,
            self.variable_norms,
        ]

    def count_skipped(self):
        """Count a full batch that made no update."""
        self.skipped_updates.assign_add(1)
        self.skipped_in_a_row.assign_add(1)

    def forget_skipped(self):
        """Set the number of full batches in a row that made no update to 0."""
        self.skipped_in_a_row.assign(0)

    def read(self, updates):
        """The record as numbers, `updates` being the number of updates made."""
        return {
            "gradient_norm": number(self.gradient_norm),
            "clipped_norm": number(self.clipped_norm),
            "clipped_share": number(self.clipped_updates) / max(updates, 1),
            "updates": updates,
            "skipped_updates": number(self.skipped_updates),
            "skipped_in_a_row": number(self.skipped_in_a_row),
        }


def number(variable):
    """A scalar variable as an int or a float."""
    return ops.convert_to_numpy(variable).item()


def divergence_message(optimizer, skipped):
    """The line that tells why training ends when its gradients are not finite."""
    return (
        f"{type(optimizer).__name__}: the gradient was not finite {skipped} times in a row. "
        "Lower the learning rate, or look for NaN in the data."
    )
