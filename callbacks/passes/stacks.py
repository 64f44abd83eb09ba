import keras


def stacked(batches, stack):
    """Batches as few tensors: those that follow each other and have the same shapes are stacked.

    Args:
        batches: list of batches, structures of tensors.
        stack: function from a list of tensors of one shape and dtype to one tensor with a new first axis.

    Returns:
        A list of stacks, of which each is a batch with one more axis in front. In most cases there are two: the batches
        of full size, and the smaller last one.
    """
    groups, before = [], None
    for batch in batches:
        kind = [(tuple(leaf.shape), str(leaf.dtype)) for leaf in keras.tree.flatten(batch)]
        if kind != before:
            groups.append([])
        groups[-1].append(batch)
        before = kind
    return [keras.tree.map_structure(lambda *leaves: stack(list(leaves)), *group) for group in groups]


def count_of(stack):
    """How many batches there are in a stack."""
    return int(keras.tree.flatten(stack)[0].shape[0])
