def plain_powers(axis):
    """Ticks of a scale of powers as 0.02 and 0.5: two in each power too where there are few powers.

    Args:
        axis: `matplotlib.axis.Axis` whose limits are final.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
