"""Names that were written in another way, or that there are not: the ones that may have been meant."""

import difflib
import re

NEAR = 0.65  # of `difflib`'s ratio: less than this is another word, and no mistake in writing
PART = 0.8  # the same for the beginning of a word in a name, and for its initials
SPREAD = 0.25  # what is less near than the nearest by more than this is not offered
OFFERED = 3


def unknown(kind, name, known, otherwise=""):
    """One line that says that `name` is no `kind`, with the nearest names there are.

    Args:
        kind: str, such as "optimizer".
        name: str, what was asked for.
        known: iterable of str.
        otherwise: str, what else may be written; it is told where no name is near.
    """
    found, known = near(name, known), sorted(known)
    if found:
        return f"no {kind} '{name}'; did you mean {' or '.join(found)}?"
    some = ", ".join(known[:30]) + (f", … ({len(known)} in all)" if len(known) > 30 else "")
    return "; ".join(filter(None, (f"no {kind} '{name}'", f"there are: {some}", otherwise)))


def near(name, known):
    """The names that may be meant by one that is not among them, a list with the nearest first.

    Args:
        name: str.
        known: iterable of str.
    """
    scores = {each: _nearness(name, each) for each in known}
    best = max(scores.values(), default=0.0)
    least = 1.0 if best == 1.0 else max(best - SPREAD, NEAR)
    found = [each for each in scores if scores[each] >= least]
    return sorted(found, key=lambda each: (-scores[each], len(each), each))[:OFFERED]


def _nearness(name, known):
    """How near a name is to one that there is, from 0 to 1: 1 where only capitals, dashes and underscores differ."""
    wanted, words = plain(name), [plain(word) for word in re.split(r"[_-]+", known.lstrip("-"))]
    matcher = difflib.SequenceMatcher(None, plain(known), wanted)
    ratio = matcher.ratio() if matcher.real_quick_ratio() >= NEAR else 0.0
    begins = len(wanted) > 2 and any("".join(words[i:]).startswith(wanted) for i in range(len(words)))
    is_initials = len(words) > 1 and wanted == "".join(word[:1] for word in words)
    return max(ratio, PART) if begins or is_initials else ratio


def plain(name):
    """A name without what is easily written in another way: capitals, dashes and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def spelled(name, known):
    """The one of several names that `name` is but for capitals, dashes and underscores; None for none of them."""
    return name if name in known else next((each for each in known if plain(each) == plain(name)), None)


def nearest_multiple(number, of):
    """The multiple of a number that is nearest to another one, `of` itself at least; of two the smaller one."""
    below = number // of * of
    return max(below if number - below <= below + of - number else below + of, of)
