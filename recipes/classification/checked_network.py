import keras

from recipes.errors import WorldError


def checked_network(recipe, data):
    """The network of a recipe, looked at before it is trained.

    Args:
        recipe: `recipes.classification.Classification`.
        data: `recipes.data.Images`.

    Raises:
        WorldError: it is no model, or does not lead from images of the recipe's `shape` to a logit for each class.
    """
    network = recipe.network(data)
    if not isinstance(network, keras.Model):
        found = "nothing (is there a `return`?)" if network is None else f"a {type(network).__name__}"
        raise _fault(recipe, f"gives {found}, not a keras.Model")
    images = (None, *recipe.shape)
    taken, made = _shapes(network, images)
    if len(taken) != 1 or not _takes(taken[0], images):
        raise _fault(recipe, f"gives a model that takes {_words(taken)}; images of its `shape` are {images}")
    logits = (None, len(data.classes))
    if made != [logits]:
        raise _fault(recipe, f"gives a model that ends in {_words(made)}; a logit for each class is {logits}")
    return network


def _shapes(network, images):
    """Shapes of the inputs and of the outputs, two lists; a network that has none yet is built for images."""
    if getattr(network, "inputs", None):
        return [tuple(each.shape) for each in network.inputs], [tuple(each.shape) for each in network.outputs]
    outputs = keras.tree.flatten(network(keras.Input(images[1:], dtype="uint8")))
    return [images], [tuple(each.shape) for each in outputs]


def _takes(shape, images):
    """Whether a model with inputs of a shape, of which some sizes may be any, takes batches of such images."""
    return len(shape) == len(images) and all(have in (None, want) for have, want in zip(shape, images, strict=True))


def _words(shapes):
    return " and ".join(map(str, shapes)) or "nothing"


def _fault(recipe, what):
    return WorldError(f"`network` of {type(recipe).__name__} {what}")
