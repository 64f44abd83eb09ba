"""What of the differences between contenders is more than noise."""

import itertools
import math
import warnings

LEVEL = 0.05


def verdicts(scores):
    """Compare each pair by the seeds that they have in common.

    ```python
    p = ttest_rel(a, b)            # paired: seed by seed, the same images held out
    p = p * pairs that are left    # Holm: the smallest first, and never below one before it
    ```

    Args:
        scores: dict from labels to lists of floats, one for each seed, in the same order.

    Returns:
        A dict from pairs of labels to dicts: `difference` of the means, `p` (adjusted; None with less than two seeds)
        and `within_noise`, whether p is 5 % or more.

    Reference:
        Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    pairs = list(itertools.combinations(scores, 2))
    raw = {pair: _p(*(scores[label] for label in pair)) for pair in pairs}
    adjusted, floor = {}, 0.0
    for rank, pair in enumerate(sorted(pairs, key=lambda pair: raw[pair])):
        floor = max(floor, min(raw[pair] * (len(pairs) - rank), 1.0))
        adjusted[pair] = floor
    found = {}
    for a, b in pairs:
        p = None if len(scores[a]) < 2 else adjusted[a, b]
        difference = math.fsum(scores[a]) / len(scores[a]) - math.fsum(scores[b]) / len(scores[b])
        found[a, b] = {"difference": difference, "p": p, "within_noise": p is None or p >= LEVEL}
    return found


def _p(a, b):
    """Of a paired t-test; differences that are all alike are certain, or none."""
    from scipy import stats

    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2 or max(map(abs, differences)) == 0:
        return 1.0
    if max(differences) == min(differences):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that differences are nearly alike, which makes them certain
        return float(stats.ttest_rel(a, b).pvalue)
