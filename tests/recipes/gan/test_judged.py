"""The best of a GAN is kept, and a collapse is told."""

import types

from recipes.gan.judged import Judged


class Verdicts:
    """A judge that says what it is told to, one after the other."""

    def __init__(self, *verdicts, class_entropy=1.0):
        self.verdicts, self.class_entropy = iter(verdicts), class_entropy

    def distances(self, gan):
        distance, entropy = next(self.verdicts)
        return {"distance": distance, "class_entropy": entropy}


class Kept:
    """A run that has made some epochs before, and notes at which of all a file is written."""

    def __init__(self, rows):
        self.before, self.rows, self.at = list(rows), list(rows), []

    def history(self):
        return self.before

    def write(self, name, write):
        assert (name, write("there")) == ("best.keras", "saved there")
        self.at.append(len(self.rows))


def judged(verdicts, every=1, history=(), class_entropy=1.0):
    """`(epochs after which the model was kept, logs)` of as many epochs."""
    run, epochs = Kept(history), every * len(verdicts)
    callback = Judged(Verdicts(*verdicts, class_entropy=class_entropy), every, run)
    callback.set_model(types.SimpleNamespace(save=lambda path: f"saved {path}"))
    callback.set_params({"epochs": epochs})
    callback.on_train_begin()
    for epoch in range(epochs):
        logs = {"generator_loss": 0.0}
        callback.on_epoch_end(epoch, logs)
        run.rows.append(logs)
    return run.at, run.rows


def test_the_best_is_kept_and_never_something_worse():
    assert judged([(3.0, 1.0), (4.0, 1.0), (2.0, 1.0), (2.0, 1.0)])[0] == [0, 2]
    assert judged([(3.0, 1.0), (1.0, 1.0)], history=[{"distance": 2.0, "class_entropy": 1.0}])[0] == [2]
    kept, rows = judged([(3.0, 1.0), (2.0, 1.0)], every=3)
    assert (kept, ["distance" in row for row in rows]) == ([2, 5], [False, False, True] * 2)


def test_the_last_epoch_is_judged_whenever_it_comes():
    callback = Judged(Verdicts((3.0, 1.0), (2.0, 1.0)), 2, Kept([]))
    callback.set_model(types.SimpleNamespace(save=lambda path: f"saved {path}"))
    callback.set_params({"epochs": 3})
    rows = [{} for _ in range(3)]
    callback.on_train_begin()
    for epoch, logs in enumerate(rows):
        callback.on_epoch_end(epoch, logs)
    assert ["distance" in row for row in rows] == [False, True, True]


def test_a_collapse_before_a_restart_is_not_told_again(capsys):
    judged([(3.0, 0.1), (3.0, 0.9), (3.0, 0.1)], history=[{"distance": 2.0, "class_entropy": 0.2}])
    assert capsys.readouterr().out.count("Collapse: after epoch") == 1


def test_a_collapse_is_told_once(capsys):
    judged([(3.0, 0.9), (4.0, 0.2), (4.0, 0.1), (4.0, 0.8), (4.0, 0.3)])
    told = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(told) == 2
    assert "after epoch 2 the generator leaves out classes (entropy 20%" in told[0]
    assert "after epoch 5" in told[1]


def test_classes_that_are_rare_in_the_training_images_are_no_collapse(capsys):
    judged([(3.0, 0.3), (4.0, 0.1)], class_entropy=0.29)
    assert [line.split(" the ")[0] for line in capsys.readouterr().out.split("\n") if line] == [
        "Collapse: after epoch 2"
    ]
