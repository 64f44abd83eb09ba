import pytest

from recipes.report import search
from recipes.tuning.trial_rows import best_of_each


def trial(order, rate, score, schedule="cosine", epochs=8, status="COMPLETED"):
    settings = {"schedule": schedule, "learning_rate": rate}
    row = {"order": order, "epochs": epochs, "cost": epochs, "status": status, "score": score, "settings": settings}
    return {**row, "trial": f"{order:04d}", "configuration": order, "rung": 0}


TRIALS = [
    trial(0, 0.1, 0.7),
    trial(1, 0.3, 0.9, "linear:end=0.1"),
    trial(2, 1.0, None, status="FAILED"),
    trial(3, 0.01, 0.5, epochs=2),
    trial(4, 0.2, 0.8),
]


def test_scores_stand_over_their_rates_by_family_and_failures_at_the_bottom():
    (axes,) = search.rates(TRIALS, "val_accuracy", "max").axes
    points = {each.get_label(): each.get_offsets().tolist() for each in axes.collections}
    assert points == {"cosine": [[0.1, 0.7], [0.01, 0.5], [0.2, 0.8]], "linear": [[0.3, 0.9]]}
    (failed,) = axes.get_lines()
    assert list(failed.get_xdata()) == [1.0]
    sizes = axes.collections[0].get_sizes()
    assert sizes[0] == sizes[2] > sizes[1]
    assert (axes.get_xscale(), axes.get_ylabel()) == ("log", "val_accuracy")


def test_where_optimizers_are_searched_each_has_a_mark():
    trials = [{**row, "searched": {"optimizer": ("adam", "muon:others=sgd")[i % 2]}} for i, row in enumerate(TRIALS)]
    (axes,) = search.rates(trials, "val_accuracy", "max").axes
    assert [each.get_label() for each in axes.collections] == ["adam", "muon"]


@pytest.mark.parametrize(("direction", "best"), [("max", [0.7, 0.9, 0.9, 0.9]), ("min", [0.7, 0.7, 0.7, 0.7])])
def test_the_best_so_far_is_that_of_the_longest_budget_at_what_it_cost(direction, best):
    (axes,) = search.progress(TRIALS, "score", direction).axes
    short, long, steps = axes.get_lines()
    assert [list(short.get_xdata()), list(short.get_ydata())] == [[26], [0.5]]
    assert [list(long.get_xdata()), list(long.get_ydata())] == [[8, 16, 34], [0.7, 0.9, 0.8]]
    assert [list(steps.get_xdata()), list(steps.get_ydata())] == [[8, 16, 26, 34], best]


def test_the_best_of_each_configuration_is_drawn_over_its_updates():
    again = {**TRIALS[1], "trial": "0001-0", "epochs": 2, "score": 0.4}  # of the same configuration
    long = {**TRIALS[4], "settings": {**TRIALS[4]["settings"], "schedule": "cosine:" + "end=0.1," * 12}}
    ranked = [TRIALS[1], long, again, TRIALS[2]]
    shown = best_of_each(ranked)
    assert [row["trial"] for row in shown] == ["0001", "0004"]
    trials = [{**row, "rates": [0.3, 0.2, 0.1] if row in shown else None} for row in ranked]
    figure = search.schedules(trials, "val_accuracy")
    figure.draw_without_rendering()
    (legend,), (axes,) = figure.legends, figure.axes
    assert legend.get_window_extent().width < figure.bbox.width  # which long names do not leave
    assert min(text.get_fontsize() for text in legend.get_texts()) > 10
    first, second = axes.get_lines()
    assert first.get_label() == "0001: 0.9, linear from 0.3"
    assert list(first.get_xdata()) == [0, 50, 100]
    assert list(first.get_ydata()) == pytest.approx([1, 2 / 3, 1 / 3])  # of the highest
    assert second.get_label() == "0004: 0.8, cosine from 0.3"
