import warnings

from callbacks import LearningRateFinder
from recipes.training import contract
from recipes.training.fit import data_for_fit, gradient_callbacks

LOWEST_RATE, UPDATES = 1e-5, 100  # where a range test begins, and how many updates it makes
TESTED = 512  # training samples of a range test in full batches, at most


def find_rates(recipe, data):
    """Find the range of learning rates that is worth searching, by a range test.

    Args:
        recipe: `recipes.recipe.Recipe` with a constant learning rate.
        data: what `recipe.load` returns.

    Returns:
        `(low, high)`; None if the test finds no rates.
    """
    is_full = recipe.steps == "epoch"
    if is_full:
        data = data.part(min(1.0, TESTED / data.train_size))
    model, batches = contract.model(recipe, data), contract.batches(recipe, data)
    finder = LearningRateFinder(lowest=LOWEST_RATE, updates=UPDATES)
    training_data, steps, _ = data_for_fit(batches, is_full, 0)
    epochs = UPDATES if is_full else -(-UPDATES // batches.num_batches)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the test warns if it finds no rates
        model.fit(
            training_data,
            steps_per_epoch=steps,
            shuffle=False,
            epochs=epochs,
            verbose=0,
            callbacks=[*gradient_callbacks(model, is_full), finder],
        )
    return finder.bounds
