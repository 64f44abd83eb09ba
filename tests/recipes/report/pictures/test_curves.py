import io

import pytest

from recipes.errors import WorldError
from recipes.report import curves, write_curves

METRICS = "epoch,accuracy,loss,val_accuracy,val_loss{more}\n0,0.5,2.0,0.4,2.1{first}\n1,0.75,1.0,0.6,1.2{second}\n"


@pytest.mark.parametrize("norms", [False, True])
def test_draws_what_was_recorded(tmp_path, norms):
    columns = {"more": ",gradient_norm,clipped_norm", "first": ",3.0,1.0", "second": ",0.5,0.5"}
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS.format(**(columns if norms else dict.fromkeys(columns, ""))))
    figure = curves(path, "a title of $5_$10")
    figure.savefig(io.BytesIO())
    lines = {
        (axes.get_ylabel(), line.get_label()): [list(line.get_xdata()), list(line.get_ydata())]
        for axes in figure.axes
        for line in axes.get_lines()
    }
    assert lines["loss", "training"] == [[1, 2], [2.0, 1.0]]
    assert lines["accuracy", "validation"] == [[1, 2], [0.4, 0.6]]
    assert figure.get_suptitle() == "a title of $5_$10"
    assert (("gradient norm", "after clipping") in lines) == norms
    if norms:
        assert lines["gradient norm", "before clipping"] == [[1, 2], [3.0, 0.5]]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("\n", "has no epoch, since none came to its end"),  # of a training that diverged in its first epoch
        ("epoch,speed\n0,3.0\n", "has no loss to draw"),
    ],
)
def test_what_has_nothing_to_draw_is_not_called_damaged(tmp_path, metrics, said):
    (tmp_path / "metrics.csv").write_text(metrics)
    with pytest.raises(WorldError, match=f"metrics.csv {said}$"):
        write_curves(tmp_path, "a title")
