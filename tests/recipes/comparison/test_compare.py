"""`compare`: equal budgets, a learning rate for each, and what of the differences is noise."""

import csv
import json
import math
import re
import types

import numpy as np
import optuna
import pytest
from scipy.optimize import minimize_scalar

from recipes.__main__ import main
from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_gan import Cifar10GAN
from recipes.comparison import Comparison, Contender, compare, parse_budget, rows_of, summarised
from recipes.comparison.seed_rows import _cost, _judged
from recipes.errors import CommandError, WorldError
from recipes.linear_regression import LinearRegression
from recipes.report import report_comparison
from recipes.run import Run
from recipes.training import DIVERGED, FINISHED, train
from recipes.tuning import Place
from recipes.tuning.storage.agreement import FACTS, KEY
from recipes.tuning.work import pace
from tests.recipes.report.test_page import check

LINE = ("linear_regression", "--strategy", "cpu")
EPOCHS = 12


def compared(capsys, directory, *options, recipe=LINE):
    status = main(["compare", *recipe, "--run-dir", str(directory), *options])
    said = capsys.readouterr()
    return status, said.out, said.err


def table(directory):
    with open(directory / "comparison.csv", newline="") as file:
        return {row["contender"]: row for row in csv.DictReader(file)}


def distance_after(rate, momentum, seed):
    """How far full-batch descent is from the normal equations after `EPOCHS` updates, in NumPy."""
    samples = LinearRegression(seed=seed).load()
    a = np.hstack([samples.x, np.ones_like(samples.x)])
    best = np.linalg.solve(a.T @ a, a.T @ samples.y)
    w, velocity = np.zeros((2, 1)), np.zeros((2, 1))
    for _ in range(EPOCHS):
        velocity = momentum * velocity - rate * 2 / len(a) * a.T @ (a @ w - samples.y)
        w = w + velocity
    return np.abs(w - best).max()


@pytest.mark.slow
def test_descent_and_momentum_on_a_quadratic(tmp_path, capsys, pages):
    """Descent, twice, and momentum. One test, since the comparison takes longer than all that is asked of it."""
    directory = tmp_path / "line"
    options = ["--optimizers", "one:=batch_gd,two:=batch_gd,heavy:=batch_gd@momentum=0.5", "--trials", "12"]
    options += ["--budget", f"epochs={EPOCHS}", "--seeds", "3"]
    status, _, error = compared(capsys, directory, *options)
    assert status == 0, error
    the_best_rate_of_descent_is_found(directory)
    for label, momentum in (("one", 0.0), ("heavy", 0.5)):
        the_distance_is_near_that_of_the_best_rate_of_four_hundred(directory, label, momentum)
    two_copies_are_within_noise(directory)
    scores_are_those_of_seeds_that_no_search_has_seen(directory)
    the_rates_that_were_tried_are_written_down(directory)
    it_is_told_again_at_once(directory, options, capsys)
    it_has_a_page(directory)


def the_best_rate_of_descent_is_found(directory):
    """That of SciPy, of the distance in NumPy."""
    best = minimize_scalar(lambda rate: distance_after(rate, 0.0, seed=0), bounds=(0.1, 2.0), method="bounded").x
    assert float(table(directory)["one"]["learning_rate"]) == pytest.approx(best, rel=0.05)


def the_distance_is_near_that_of_the_best_rate_of_four_hundred(directory, label, momentum):
    """With momentum the distance after twelve updates has several valleys."""
    rate = float(table(directory)[label]["learning_rate"])
    best = min(distance_after(each, momentum, seed=0) for each in np.geomspace(0.05, 2.5, 400))
    assert distance_after(rate, momentum, seed=0) < 3 * best


def two_copies_are_within_noise(directory):
    found = json.loads((directory / "result.json").read_text())
    differences = {(each["a"], each["b"]): each for each in found["differences"]}
    copies = differences.get(("one", "two")) or differences["two", "one"]
    assert (copies["difference"], copies["within_noise"]) == (0.0, True)
    assert table(directory)["one"]["mean"] == table(directory)["two"]["mean"]


def scores_are_those_of_seeds_that_no_search_has_seen(directory):
    with open(directory / "seeds.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["contender"] == "one"]
    assert [row["seed"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        expected = distance_after(float(row["learning_rate"]), 0.0, int(row["seed"]))
        assert float(row["score"]) == pytest.approx(expected, rel=1e-5)
        assert (row["epochs"], row["updates"], row["images"]) == ("12", "12", "1200")
        assert float(row["seconds"]) > 0
        assert float(row["peak_mib"]) > 0


def the_rates_that_were_tried_are_written_down(directory):
    """Each with its distance, that of NumPy, and the one that was trained with among them."""
    with open(directory / "rates.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["contender"] == "one"]
    assert len(rows) == 12
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == sorted(rates)
    assert float(table(directory)["one"]["learning_rate"]) in rates
    for row in rows:
        if row["score"]:
            assert float(row["score"]) == pytest.approx(distance_after(float(row["learning_rate"]), 0.0, 0), rel=1e-4)
    assert (directory / "rates.png").stat().st_size > 1000


def it_is_told_again_at_once(directory, options, capsys):
    before = {path: path.stat().st_mtime_ns for path in directory.glob("*/seed-*/result.json")}
    status, out, error = compared(capsys, directory, *options)
    assert status == 0, error
    assert {path: path.stat().st_mtime_ns for path in directory.glob("*/seed-*/result.json")} == before
    assert "Within noise of each other" in out
    assert "one: two" in out


def test_a_search_of_other_rates_is_told_in_one_line_and_left_as_it_is(tmp_path, capsys):
    options = ["--optimizers", "one:=batch_gd", "--trials", "1", "--budget", "epochs=1", "--seeds", "1"]
    assert compared(capsys, tmp_path, *options)[0] == 0
    study = optuna.load_study(study_name="one", storage=f"sqlite:///{tmp_path / 'search.db'}")
    said = study.user_attrs[KEY]
    low, high = said[FACTS]["rates"]
    study.set_user_attr(KEY, {**said, FACTS: {**said[FACTS], "rates": [low, 2 * high]}})
    status, _, error = compared(capsys, tmp_path, *options)
    assert status == 2
    assert re.fullmatch(r"recipes: the study 'one' is of another search: .* is .* there and .* here; .*\n", error)
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"]


@pytest.mark.slow
def test_what_finds_its_steps_by_a_line_search_spends_nothing_on_a_search_for_a_rate(tmp_path, capsys, pages):
    """It gets as many passes as the others, each of which is an evaluation, and what is told has no rate."""
    options = ["--optimizers", "lbfgs:history=3,armijo:=batch_gd@line_search=armijo,batch_gd"]
    options += ["--budget", f"updates={EPOCHS}", "--seeds", "2", "--trials", "2"]
    status, out, error = compared(capsys, tmp_path, *options)
    assert status == 0, error
    for label in ("lbfgs:history=3", "armijo"):
        line = (
            f"{label}: {EPOCHS} epochs of 1 evaluation; a line search finds the steps, so no learning rate is searched"
        )
        assert line in out.splitlines()
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    trials = {
        name: len(optuna.load_study(study_name=name, storage=storage).trials) for name in ("lbfgs:history=3", "armijo")
    }
    assert trials == {"lbfgs:history=3": 0, "armijo": 0}
    assert len(optuna.load_study(study_name="batch_gd", storage=storage).trials) == 2
    rows = table(tmp_path)
    assert {row["epochs"] for row in rows.values()} == {str(EPOCHS)}
    assert {row["images"] for row in rows.values()} == {str(100 * EPOCHS)}
    for label, evaluations in (("lbfgs:history=3", str(EPOCHS)), ("armijo", str(EPOCHS)), ("batch_gd", "")):
        assert rows[label]["evaluations"] == evaluations
        assert (rows[label]["learning_rate"] == "") == (evaluations != "")
    assert float(rows["lbfgs:history=3"]["updates"]) < EPOCHS == float(rows["batch_gd"]["updates"])
    assert float(rows["lbfgs:history=3"]["mean"]) < 1e-6 < float(rows["armijo"]["mean"])
    told = next(line for line in out.splitlines() if line.startswith("lbfgs:history=3 "))
    assert re.split("  +", told)[1] == "line search"
    assert re.split("  +", told)[4] == f"{float(rows['lbfgs:history=3']['updates']):g} of {EPOCHS} evaluations"
    text = (tmp_path / "report.html").read_text()
    check(text)
    assert "<td>line search</td>" in text
    assert "a line search finds the steps by itself" in text
    status, again, error = compared(capsys, tmp_path, *options)
    assert status == 0, error
    assert told in again.splitlines()


def test_a_network_that_cannot_be_searched_is_refused_before_the_others_are_trained(tmp_path, capsys):
    recipe = (
        "cifar10_full_batch",
        "--train-images",
        "40",
        "--width",
        "8",
        "--validation-split",
        "0.2",
        "--strategy",
        "cpu",
    )
    options = ["--optimizers", "momentum,lbfgs@gradient_regularizer=0.0", "--budget", "epochs=1", "--seeds", "1"]
    status, out, error = compared(capsys, tmp_path, *options, recipe=recipe)
    assert (status, error.count("\n")) == (2, 1)
    assert "normalises each micro-batch by its own statistics" in error
    assert "epochs of" not in out
    assert not list(tmp_path.glob("*/seed-*"))


def test_updates_to_a_target_are_those_that_a_line_search_has_kept():
    curve = [
        {"val_accuracy": a, "seconds": 1.0, "updates": u, "evaluations": e}
        for a, u, e in (("0.1", "0", "1"), ("0.9", "5", "9"))
    ]
    comparison = Comparison((), parse_budget("epochs=2"), target=0.5)
    assert _cost(Cifar10CNN(), curve, {"updates": 20, "epochs": 4}, comparison)["updates_to_target"] == 5


def test_passes_are_those_of_an_epoch_times_epochs():
    curve = [{"distance": d, "loss": loss, "seconds": s} for d, loss, s in (("0.5", "2", 1.0), ("0.1", "0.3", 3.0))]
    comparison = Comparison((), parse_budget("epochs=2"), target=0.5, target_loss=0.4)
    found = _cost(LinearRegression(passes_per_epoch=5), curve, {"updates": 10, "epochs": 2}, comparison)
    score, loss = (
        {name: found[f"{name}_to_{target}"] for name in ("epochs", "passes", "updates", "seconds")}
        for target in ("target", "target_loss")
    )
    assert score == {"epochs": 1, "passes": 5, "updates": 5, "seconds": 1.0}
    assert loss == {"epochs": 2, "passes": 10, "updates": 10, "seconds": 3.0}
    assert _cost(LinearRegression(), curve, {"updates": 2, "epochs": 2}, Comparison((), None)) == {}


COST = ("--seeds", "2", "--trials", "2", "--target", "0.0", "--target-loss", "99")


@pytest.mark.slow
def test_images_in_mini_batches_and_full_batches_within_so_many_updates(tmp_path, capsys):
    """A net on the digits: budgets by updates, clipping counted, cost to a target, the picture."""
    recipe = ("cifar10_cnn", "--data", "digits", "--train-images", "96", "--batch-size", "32", "--strategy", "cpu")
    options = ["--optimizers", "batch_gd,adam", "--clippings", "by_global_norm:0.01", "--budget", "updates=6"]
    status, out, error = compared(capsys, tmp_path, *options, *COST, recipe=recipe)
    assert status == 0, error
    rows = table(tmp_path)
    full, mini = rows["batch_gd by_global_norm:0.01"], rows["adam by_global_norm:0.01"]
    assert (full["epochs"], full["updates"]) == ("6", "6")
    assert (mini["epochs"], mini["updates"]) == ("2", "6")
    assert full["images"] == "576"
    assert float(full["clipped_share"]) == 1.0
    assert {full[f"{name}_to_{of}"] for name in ("epochs", "passes") for of in ("target", "target_loss")} == {"1"}
    assert (full["passes"], mini["passes"]) == ("6", "2")
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    assert "passes to 0  seconds to 0  passes to a loss of 99  seconds to a loss of 99" in out


def it_has_a_page(directory):
    text = (directory / "report.html").read_text()
    check(text)
    assert "<pre><code><span>python</span> <span>-m</span> <span>recipes</span>" in text
    mean, low, high = (float(table(directory)["one"][name]) for name in ("mean", "low", "high"))
    assert f"<td>one</td><td>{float(table(directory)['one']['learning_rate']):.3g}</td>" in text
    assert f"{mean:.4g} ({low:.4g} to {high:.4g})" in text
    assert "<p>one: two" in text


@pytest.mark.parametrize(("target", "expected"), [(0.2, (1, 2, 1.0)), (0.5, (2, 4, 3.0)), (0.61, (None, None, None))])
def test_the_cost_to_a_target_is_that_of_the_first_epoch_that_reached_it(target, expected):
    curve = [{"val_accuracy": score, "seconds": at} for score, at in (("0.2", 1.0), ("0.6", 3.0), ("0.3", 4.5))]
    comparison = Comparison((), parse_budget("epochs=3"), target=target)
    found = _cost(Cifar10CNN(), curve, {"updates": 6, "epochs": 3}, comparison)
    assert tuple(found[f"{name}_to_target"] for name in ("epochs", "updates", "seconds")) == expected


@pytest.mark.parametrize("limit", [None, 0.0])
def test_the_pace_of_a_contender_is_that_of_its_epochs(limit):
    """Updates of an epoch without training; seconds by two epochs at least, at a rate at which nothing diverges."""
    recipe = LinearRegression(batch_size=25, epochs=10, learning_rate=1e30)
    hypermodel = types.SimpleNamespace(recipe=recipe, data=recipe.load())
    shared = types.SimpleNamespace(hypermodel=hypermodel, place=Place("cpu", None, None))
    found = pace(shared, recipe, limit)
    assert found["updates"] == 4
    assert found["seconds"] is None if limit is None else 0 < found["seconds"] < 10


def trained(directory, label, seed, rate):
    recipe = LinearRegression(seed=seed, epochs=3, learning_rate=rate)
    return train(recipe, directory / label / f"seed-{seed}", strategy="cpu")[0]


def test_a_contender_that_diverges_has_no_score_and_the_others_are_compared(tmp_path, capsys):
    contenders = tuple(Contender(label, {"optimizer": "batch_gd"}) for label in ("wild", "tame"))
    recipe, comparison = LinearRegression(epochs=3), Comparison(contenders, parse_budget("epochs=3"), seeds=2)
    with Run(recipe, tmp_path, comparison.described(), kind="comparison") as run:
        run.begin_group()
        for seed, rate in ((1, 0.5), (2, 1e200)):
            outcome = trained(tmp_path, "wild", seed, rate)["outcome"]
            assert outcome == (DIVERGED if seed == 2 else FINISHED)
            trained(tmp_path, "tame", seed, 0.5)
        rows = rows_of(recipe, comparison, tmp_path)
        report_comparison(recipe, comparison, rows, run)
    assert [row["diverged"] for row in rows] == [False, True, False, False]
    assert [math.isnan(row["score"]) for row in rows] == [False, True, False, False]
    assert {row["resolution"] for row in rows} == {0.0}
    best, last = summarised(recipe, rows)
    assert (best["contender"], last["contender"], last["diverged"]) == ("tame", "wild", 1)
    assert math.isnan(last["mean"])
    assert last["low"] is None
    out = capsys.readouterr().out
    assert "wild diverged with 1 of 2 seeds." in out
    found = json.loads((tmp_path / "result.json").read_text())
    assert [each["p"] for each in found["differences"]] == [None]
    assert found["means"][1]["mean"] is None


def test_a_run_that_diverged_is_not_judged_and_scores_of_images_are_as_fine_as_their_number():
    recipe = Cifar10CNN()
    result = {"outcome": DIVERGED, "reason": "the loss is nan", "epochs": 0, "updates": 1, "training_seconds": 0.0}
    found = _judged(recipe, result)
    assert (found["loss"], found["resolution"], found["diverged"]) == (None, None, True)
    found = _judged(recipe, {"outcome": FINISHED, "test_accuracy": 0.5, "test_loss": 1.0, "test_images": 360})
    assert found == {"score": 0.5, "resolution": 1 / 360, "loss": 1.0, "diverged": False}


def test_a_training_that_is_not_there_is_told_in_one_line(tmp_path):
    comparison = Comparison((Contender("sgd", {"optimizer": "sgd"}),), parse_budget("epochs=3"), seeds=1)
    with pytest.raises(WorldError, match="seed-1 holds no run"):
        rows_of(LinearRegression(), comparison, tmp_path)


def test_a_recipe_without_objectives_cannot_be_compared(tmp_path):
    comparison = Comparison((), parse_budget("epochs=3"))
    with pytest.raises(CommandError, match="cifar10_gan can be trained, but not searched or compared"):
        compare(Cifar10GAN(), comparison, tmp_path / "comparison")
    assert not list(tmp_path.iterdir())


WRONG = {
    ("--optimizers", "adam", "--momentum", "0.5"): (
        "no option '--momentum' of python -m recipes compare linear_regression; each optimizer has its own: "
        "--optimizers NAME@momentum=VALUE"
    ),
    ("--optimizers", "adam", "--epochs", "3"): "linear_regression; give --budget epochs=N",
    ("--optimizers", "adam", "--epoch=3"): "linear_regression; give --budget epochs=N",
    ("--optimizers", "adam", "--learning_rate", "0.1"): "; the learning rate is searched for each optimizer",
    ("--optimizer", "adam"): "linear_regression; give --optimizers NAME,NAME",
    ("--optimisers", "adam"): "no option '--optimisers'; did you mean --optimizers?",
    ("--optimizers", "adam", "--budget", "hours=3"): "--budget: no budget 'hours'",
    ("--optimizers", "adam", "--budget", "3"): "--budget 3: say of what, such as epochs=3",
    ("--optimizers", "adan"): "did you mean adam",
    ("--optimizers", "adam@momentum=0.9"): "adam@momentum=0.9: --momentum: adam has no momentum",
    ("--optimizers", "adam", "--seeds", "0"): "--seeds must lie in 1 to 1024",
    ("--optimizers", "lbfgs@momentum=0.5"): "lbfgs@momentum=0.5: --momentum 0.5 is without effect beside lbfgs",
    (
        "--optimizers",
        "lbfgs",
        "--schedules",
        "cosine",
    ): "lbfgs cosine: --schedule cosine is without effect beside lbfgs",
    ("--optimizers", "lbfgs@learning_rate=0.5"): "it is searched for each optimizer that has one",
    ("--optimizers", "adam@line_search=armijo"): "adam@line_search=armijo: --line-search armijo: adam has none",
    (
        "--optimizers",
        "lbfgs",
        "--line-search",
        "armijo",
    ): "each optimizer has its own: --optimizers NAME@line_search=VALUE",
    ("--optimizers", "lbfgs@batch_size=10"): "lbfgs@batch_size=10: --batch-size 10: the line search of lbfgs goes by",
    (): "nothing to compare",
}


@pytest.mark.parametrize("options", WRONG)
def test_mistakes_are_told_in_one_line_and_write_nothing(tmp_path, capsys, options):
    status, _, error = compared(capsys, tmp_path / "comparison", *options)
    assert status == 2
    assert WRONG[options] in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
