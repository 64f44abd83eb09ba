from callbacks.same_loss import check_loss_is_a_function
from recipes.errors import CommandError


def check_search(model):
    """Raise a CommandError if an optimizer with a line search cannot go by the loss of a model, or has no room for it.

    Two evaluations at one point have to agree, and the matrix of some optimizers has a most number of parameters. `fit`
    refuses it too, as an error of Python, once data are prepared.

    Args:
        model: compiled `keras.Model`; one whose optimizer has no line search is left alone.
    """
    if getattr(model.optimizer, "search", None) is None:
        return
    try:
        check_loss_is_a_function(type(model.optimizer).__name__, model)
        model.optimizer.build(model.trainable_variables)
    except ValueError as error:
        raise CommandError(str(error)) from None
