import itertools

import keras


def check_dense(batches, is_sparse):
    """Raise a ValueError for sparse data, which cannot be stacked.

    Args:
        batches: list of batches, structures of tensors.
        is_sparse: function from a tensor to whether it is sparse.
    """
    if any(is_sparse(leaf) for leaf in keras.tree.flatten(batches)):
        raise ValueError(
            "FullBatch: `passes_per_epoch` is for dense data: make those of this `fit` dense, or leave it out."
        )


def grouped(batches, kind_of):
    """Batches that follow each other and are of one kind, together.

    Args:
        batches: list of batches, structures of tensors.
        kind_of: function from a tensor to its shape and dtype, something that can be compared.

    Returns:
        A list of lists. In most cases there are two: the batches of full size, and the smaller last one.
    """
    kinds = ([kind_of(leaf) for leaf in keras.tree.flatten(batch)] for batch in batches)
    pairs = zip(kinds, batches, strict=True)
    return [[batch for _, batch in group] for _, group in itertools.groupby(pairs, key=lambda pair: pair[0])]


def stacked(group, stack):
    """Batches of one kind as one, with one more axis in front.

    Args:
        group: list of batches, structures of tensors.
        stack: function from a list of tensors of one shape and dtype to one tensor with a new first axis.
    """
    return keras.tree.map_structure(lambda *leaves: None if leaves[0] is None else stack(list(leaves)), *group)


def kind_of(leaf):
    """The shape and the dtype of a tensor; None for a place without one."""
    return None if leaf is None else (tuple(leaf.shape), str(leaf.dtype))
