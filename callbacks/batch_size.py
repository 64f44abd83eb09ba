"""How many samples a batch has."""

import keras

from custom_optimizers.backend import backend_module


def number_of_samples(owner, x, y):
    """The number of samples of a batch: of its targets, over which losses are means, or else of its inputs.

    Targets are asked first, since an input need not have samples on its first axis: it may be a constant or a table.

    Args:
        owner: str, the callback that asks; its name stands in messages.
        x, y: structures of tensors, with None where there is nothing.

    Returns:
        An int, or on TensorFlow a scalar tensor where the number is not known before the step runs.

    Raises:
        ValueError: they have different numbers of samples.
    """
    for kind, structure in (("targets", y), ("inputs", x)):
        leaves = [leaf for leaf in keras.tree.flatten(structure) if leaf is not None and len(leaf.shape) > 0]
        sizes = {leaf.shape[0] for leaf in leaves} - {None}
        if len(sizes) > 1:
            raise ValueError(
                f"{owner}: the {kind} of a batch have {' and '.join(map(str, sorted(sizes)))} samples, so it is not "
                "known how much the batch counts in the full batch. Give all of them the same first axis, or use "
                "losses with reduction='sum'."
            )
        if leaves:
            return backend_module().number_of_samples(owner, leaves)
    raise ValueError(f"{owner}: a batch has neither targets nor inputs.")
