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

    @property
    def variables(self):
        return [
            self.gradient_norm,
            self.clipped_norm,
            self.clipped_updates,
            self.skipped_updates,
            self.skipped_in_a_row,
        ]

    def count_skipped(self):
        """Count a full batch that made no update."""
        self.skipped_updates.assign_add(1)
        self.skipped_in_a_row.assign_add(1)

    def forget_skipped(self):
        """Count from nothing how many in a row make no update."""
        self.skipped_in_a_row.assign(0)

    def read(self, updates):
        """The record as numbers, `updates` being the number of updates made."""
        return {
            "gradient_norm": float(self.gradient_norm.numpy()),
            "clipped_norm": float(self.clipped_norm.numpy()),
            "clipped_share": int(self.clipped_updates.numpy()) / max(updates, 1),
            "updates": updates,
            "skipped_updates": int(self.skipped_updates.numpy()),
            "skipped_in_a_row": int(self.skipped_in_a_row.numpy()),
        }


def divergence_message(optimizer, skipped):
    """One line for the end of a training that has no gradients any more."""
    return (
        f"{type(optimizer).__name__}: the gradient was not finite {skipped} times in a row. "
        "Lower the learning rate, or look for NaN in the data."
    )
