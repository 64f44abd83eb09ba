import difflib


def unknown(kind, name, known):
    """One line that says that `name` is no `kind`, with the nearest names there are.

    Args:
        kind: str, such as "optimizer".
        name: str, what was asked for.
        known: iterable of str.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not near:
        lower = {k.lower(): k for k in known}
        near = [lower[k] for k in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    some = ", ".join(known[:30]) + (f", … ({len(known)} in all)" if len(known) > 30 else "")
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {some}"
    return f"no {kind} '{name}'; {hint}"


def nearest_multiple(number, of):
    """The multiple of a number that is nearest to another one, `of` itself at least; of two the smaller one."""
    below = number // of * of
    return max(below if number - below <= below + of - number else below + of, of)
