"""What the picture of a comparison's learning rates has in it."""

from recipes.report.pictures import comparison

ROWS = [
    {"contender": "batch_gd", "learning_rate": 0.1, "score": 0.5},
    {"contender": "batch_gd", "learning_rate": 1.0, "score": 0.8},
    {"contender": "batch_gd", "learning_rate": 10.0, "score": None},
    {"contender": "adam", "learning_rate": 0.001, "score": 0.7},
]


def test_each_contender_has_a_line_its_rate_a_mark_and_its_failures_crosses():
    (axes,) = comparison.rates(ROWS, "val_accuracy", "max", {"batch_gd": 1.0, "adam": None}).axes
    lines = [(line.get_marker(), line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.get_lines()]
    assert lines == [
        (".", [0.1, 1.0], [0.5, 0.8]),
        ("o", [1.0], [0.8]),
        ("x", [10.0], [0.02]),
        (".", [0.001], [0.7]),
        ("o", [], []),
        ("x", [], []),
    ]
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["batch_gd", "adam"]
    assert (axes.get_xscale(), axes.get_ylabel()) == ("log", "val_accuracy")


def test_losses_of_a_wide_range_have_a_logarithmic_axis():
    rows = [{**row, "score": row["score"] and 10 ** (4 * row["score"])} for row in ROWS]
    assert [comparison.rates(rows, "val_loss", direction).axes[0].get_yscale() for direction in ("max", "min")] == [
        "linear",
        "linear",
    ]
    rows[0]["score"] = 0.1
    assert comparison.rates(rows, "val_loss", "min").axes[0].get_yscale() == "log"
