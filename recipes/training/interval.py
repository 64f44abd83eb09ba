import statistics

from scipy import stats

CONFIDENCE = 0.95


def interval(values):
    """Mean, standard deviation, and the ends of the 95 % interval of the mean (Student's t).

    Args:
        values: sequence of two floats or more.
    """
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    if deviation == 0:
        return mean, deviation, mean, mean
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=stats.sem(values))
    return mean, deviation, float(low), float(high)
