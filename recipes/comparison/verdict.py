"""What of the differences between contenders is more than noise."""

import itertools
import math
import statistics

from scipy import stats

LEVEL = 0.05


def verdicts(scores, resolution=0.0):
    """Compare each pair by the seeds that they have in common.

    ```python
    d = a - b                                               # paired: seed by seed, the same images held out
    error = sqrt((variance(d) + resolution ** 2 / 6) / n)   # both are rounded: resolution ** 2 / 12 each
    p = 2 * student(n - 1).sf(abs(mean(d)) / error)
    p = p * pairs that are left                             # Holm: the smallest first, and never below one before it
    ```

    Args:
        scores: dict from labels to lists of floats, one for each seed, in the same order.
        resolution: float >= 0, between one score and the next that there can be, such as 1 / images for an accuracy:
            one image more with every seed is no certainty. With 0 it is `scipy.stats.ttest_rel`.

    Returns:
        A dict from pairs of labels to dicts: `difference` of the means, `p` (adjusted; None with less than two seeds)
        and `within_noise`, whether p is 5 % or more. Where a score is not finite p is None and nothing is noise: that
        training diverged.

    Reference:
        Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    every = list(itertools.combinations(scores, 2))
    finite = {label: all(map(math.isfinite, each)) for label, each in scores.items()}
    pairs = [pair for pair in every if all(finite[label] for label in pair)]
    raw = {pair: _p(*(scores[label] for label in pair), resolution) for pair in pairs}
    adjusted, floor = {}, 0.0
    for rank, pair in enumerate(sorted(pairs, key=lambda pair: raw[pair])):
        floor = max(floor, min(raw[pair] * (len(pairs) - rank), 1.0))
        adjusted[pair] = floor
    found = {}
    for a, b in every:
        p = adjusted.get((a, b)) if len(scores[a]) > 1 else None
        difference = sum(scores[a]) / len(scores[a]) - sum(scores[b]) / len(scores[b])
        within_noise = finite[a] and finite[b] and (p is None or p >= LEVEL)
        found[a, b] = {"difference": difference, "p": p, "within_noise": within_noise}
    return found


def _p(a, b, resolution):
    """Of the paired test; differences that are all alike are certain, or none, unless scores are rounded."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2 or max(map(abs, differences)) == 0:
        return 1.0
    variance = statistics.variance(differences) + resolution**2 / 6
    if variance == 0:
        return 0.0
    t = abs(statistics.mean(differences)) / math.sqrt(variance / len(differences))
    return float(2 * stats.t.sf(t, len(differences) - 1))
