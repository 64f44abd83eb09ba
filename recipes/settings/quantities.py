"""How quantities are written for readers: "3 min 9 s", "99.2 %", "1 epoch"."""


def duration(seconds):
    """A time: `"0.42 s"`, `"9.3 s"`, `"3 min 9 s"`, `"2 h 5 min"`.

    Args:
        seconds: float >= 0.
    """
    if seconds < 59.95:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def percent(share):
    """A share in percent, with one digit behind the point: `"99.2 %"`."""
    return f"{100 * share:.1f} %"


def counted(number, noun):
    """A number of things: `"1 epoch"`, `"30 epochs"`, `"0.5 epochs"`."""
    return f"{number:g} {noun}" + ("" if number == 1 else "s")
