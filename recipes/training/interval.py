import statistics

from scipy import stats

CONFIDENCE = 0.95


def interval(values, is_share=False):
    """Mean, standard deviation, and the ends of the 95 % interval of the mean (Student's t).

    Args:
        values: sequence of two floats or more.
        is_share: bool, whether they lie between 0 and 1, so that the interval does, too.
    """
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    if deviation == 0:
        return mean, deviation, mean, mean
    low, high = map(float, stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=stats.sem(values)))
    return (mean, deviation, max(low, 0.0), min(high, 1.0)) if is_share else (mean, deviation, low, high)


def is_share(recipe):
    """Whether the score of a recipe is a share of test images: it has steps, and lies between 0 and 1."""
    return recipe.score.endswith("accuracy")
