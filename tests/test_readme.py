import csv
import inspect
import json
import pathlib
import re

import pytest

from benchmarks import tuning_replay
from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast

ROOT = pathlib.Path(__file__).parents[1]
FRONT = (ROOT / "README.md").read_text()
README = "\n".join(
    [FRONT, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
)  # and what it leads to


def test_the_example_runs():
    code, more = re.findall(r"```python\n(.*?)```", FRONT, re.DOTALL)
    assert sum(bool(line) for line in code.splitlines()) == 10
    scope = {}
    exec(code, scope)
    assert scope["model"].optimizer.iterations.numpy() == 3
    assert scope["optimizer"].gradient_accumulation_steps is None  # the callback lends it for a fit
    exec(more, scope)
    assert scope["model"].optimizer.iterations.numpy() == 100
    assert scope["model"].history.history["accuracy"][-1] > 0.95


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|`((?:benchmarks|docs)/[^`]+)`", FRONT)))
)
def test_what_it_points_to_is_there(path):
    assert (ROOT / (path[0] or path[1])).exists()


WINDOWS = ("update", "one in 8")


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_its_figures_are_those_of_the_result_files():
    steps = result("accumulation")["graph"]
    ours, theirs = (steps[f"{name} / forward and backward"]["median"] for name in ("BatchGD", "Keras SGD"))
    jit = result("accumulation")["jit"]
    under_xla = (jit[f"{name} / forward and backward"]["median"] for name in ("BatchGD", "Keras SGD"))
    assert "Keras's own accumulation | {:.2f} ×; {:.2f} ×".format(*under_xla) in README
    memory = result("memory")["median_mib"]
    assert f"forward and backward alone | {ours:.2f} ×" in README
    assert f"Keras's own accumulation | {theirs:.2f} ×" in README
    assert (
        f"{memory['BatchGD, full_batches'] / memory['Keras SGD, batch 500']:.2f} × | `benchmarks/results/mem" in README
    )
    assert percent(row(data="digits", optimizer="batch_gd", backend="tensorflow")) in README


def test_its_figures_of_updates_are_those_of_the_result_files():
    on_tensorflow, on_jax = (result(f"update_{backend}")["ratios"] for backend in ("tensorflow", "jax"))
    update, window = (on_tensorflow[f"BatchGD / the faster Keras SGD, {kind}"]["median"] for kind in WINDOWS)
    assert f"with and without XLA | {update:.2f} × | `benchmarks/results/update_tensorflow.json`" in README
    assert f"8 micro-steps, a micro-step | {window:.2f} ×" in README
    xla = (f"{on_tensorflow[f'BatchGD / Keras SGD, both with XLA, {kind}']['median']:.2f} ×" for kind in WINDOWS)
    assert f"our conditions cost copies | {'; '.join(xla)} |" in README
    beside_optax = on_jax["BatchGD / optax, update"]["median"]
    assert f"beside optax | {beside_optax:.2f} × | `benchmarks/results/update_jax.json`" in README
    assert update <= 0.8
    assert beside_optax <= 1.3


def test_its_table_of_exactness_is_that_of_the_results():
    found = result("exactness")
    for name, cell in found["cells"].items():
        theirs = cell["Keras's own accumulation, clipping"]
        theirs = theirs if isinstance(theirs, str) else f"{theirs:.1e}"
        assert f"| {name} | {found['largest'][name]:.1e} | {theirs} |" in README
    assert max(found["largest"].values()) <= found["bound"] == 1e-5
    means = {}
    for backend, words in (("tensorflow", "on TensorFlow"), ("jax", "on JAX"), ("torch", "on torch")):
        of = row(data="digits", optimizer="batch_gd", backend=backend)
        assert f"{percent(of)} {words}" in README
        assert of["n"] == "5"
        means[backend] = float(of["mean"])
    assert max(means.values()) - min(means.values()) < 0.005


def test_its_figures_of_jax_are_those_of_the_result_file():
    ratios = result("accumulation_jax")["ratios"]
    for peer, words in (("Keras SGD", "Keras's own accumulation"), ("optax.MultiSteps", "`optax.MultiSteps`")):
        assert f"beside {words} | {ratios[f'BatchGD / {peer}']['median']:.2f} × |" in README


def row(**where):
    """The one row of the results of cifar10_cnn with those settings."""
    with open(ROOT / "benchmarks" / "results" / "cifar10_cnn.csv", newline="") as file:
        (found,) = (row for row in csv.DictReader(file) if all(row[name] == value for name, value in where.items()))
    return found


def percent(row):
    return f"{100 * float(row['mean']):.1f} % ± {100 * float(row['standard_deviation']):.1f} %"


@pytest.mark.parametrize("optimizer", ["batch_gd", "sgd"])
def test_its_table_of_equal_passes_is_that_of_the_results(optimizer):
    found = row(data="cifar10", optimizer=optimizer, train_images="5000")
    assert found["epochs"] == "50"
    assert f"| {int(found['updates']):,} | {percent(found)} |" in README


def test_the_recipe_s_docstring_has_the_same_figures():
    said = " ".join(inspect.getdoc(Cifar10CNN).split())
    assert percent(row(data="digits", optimizer="batch_gd", backend="tensorflow")) in said
    for schedule in ("inverse_time:0.01", "constant"):
        assert percent(row(data="cifar10", variant="basic", schedule=schedule)) in said


def test_its_figures_of_the_fast_recipe_are_those_of_the_results():
    steps = result("cifar10_steps")
    for kind in ("", ", memory kept"):
        speed = steps["images_per_second"]
        ours, theirs = (f"{speed[name]:,.0f}" for name in ("keras-descent" + kind, steps["fastest of torch" + kind]))
        assert f"| {ours} | {theirs} | {steps['times torch' + kind]['median']:.2f} × |" in README
        assert steps["times torch" + kind]["median"] >= 1
    limit = speed["TensorFlow's convolutions alone"]
    assert f"TensorFlow's convolutions alone make {limit:,.0f} images a second" in README
    training = result("cifar10_training")
    ours, torch = (training["mean_seconds"][name] for name in ("keras-descent", "torch"))
    accuracy = training["mean_test_accuracy"]
    flat = " ".join(README.split())
    assert f"in torch reach {100 * accuracy['torch']:.1f} % (3 seeds" in flat
    assert f"take {ours:.0f} s here and {torch:.0f} s there, {ours / torch:.2f} ×" in flat
    assert accuracy["keras-descent"] >= accuracy["torch"] - 0.002
    assert ours <= 0.8 * torch
    trained = row(data="cifar10", variant="fast")
    assert float(trained["mean"]) == pytest.approx(accuracy["keras-descent"], abs=1e-5)
    assert trained["n"] == "3"
    minutes = float(trained["median_training_seconds"]) / 60
    for text in (README, " ".join(inspect.getdoc(Cifar10Fast).split())):
        assert percent(trained) in text
        assert re.search(rf"{minutes:.1f}\sminutes", text)


def test_kills_left_no_trace():
    found = result("kills")
    runs = [each for each in found.values() if "kills" in each]
    assert len(runs) == 16
    assert all(each["kills"] == 20 and each["identical"] for each in runs)
    rejected = [each["rejected_points"] for each in runs if "rejected_points" in each]  # by the search at each kill
    assert len(rejected) == 10
    assert all(sum(number > 0 for number in each) >= 5 for each in rejected)


def test_its_figures_of_what_a_search_costs_are_those_of_the_results():
    cost = result("tuning_cost")
    ratio = cost["two_workers_beside_one"]["median"]
    assert f"A trial costs {cost['median_seconds_beyond_fit']:.1f} s beyond its `fit`" in README
    assert f"two workers on two cores train {ratio:.2f} × the trials an hour of one" in README
    assert cost["median_seconds_beyond_fit"] < 1.5
    assert ratio >= 1.7


def test_a_real_search_was_its_replay():
    """And the replay is that of the rule as it is now."""
    check = result("tuning_check_digits")
    assert check["same_trials_in_the_same_order"]
    assert check["largest_difference_of_scores"] == 0
    with open(ROOT / "benchmarks" / "results" / "tuning_table_digits.csv", newline="") as file:
        table = tuning_replay.Table(list(csv.DictReader(file)))
    trials = list(tuning_replay.halved(table, table.configurations, dict.fromkeys(table.configurations, 0)))
    assert check["trials"] == check["trials_of_the_replay"] == len(trials)
    assert check["epochs_trained"] == sum(epochs for *_, epochs in trials)


@pytest.mark.parametrize("where", ["sqlite", "postgresql", "outage"])
def test_kills_of_searches_left_no_trace(where):
    found = result("search_kills")[where]
    assert found["completed"] == found["ids"] == found["in_the_study"] == found["trials"]
    assert found["same_scores_as_undisturbed"]
    assert where == "outage" or len(found["kills"]) == 20


TABLES = ("digits", "cifar10")
IN_ONE_LINE = " ".join(README.split())


def table_row(name, values):
    """A row of a table with a value for each of `TABLES`."""
    return f"| {name} | {' | '.join(values)} |"


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ("median_cost_to_reach_it", "cost to the median score of 20 random trials"),
        ("median_cost_to_reach_that_quality", "cost to their median accuracy with the other seed"),
    ],
)
def test_what_searches_cost_is_that_of_the_results(of, name):
    costs = [result("tuning_replay")[each][of] for each in TABLES]
    assert table_row(f"{name}: `hyperband` here", [share(cost["ours"]) for cost in costs]) in README
    others = [f"{share(cost['stock'])}; {share(cost['random'])}" for cost in costs]
    assert table_row("KerasTuner's own Hyperband; random search", others) in README
    assert all(cost["ours"] <= 1 / 3 for cost in costs)


@pytest.mark.parametrize(
    ("after", "name"),
    [
        ("0.33", "points above KerasTuner's own, that seed, after a third of the epochs"),
        ("0.20", "the same after a fifth"),
    ],
)
def test_what_searches_find_is_that_of_the_results(after, name):
    ahead = [result("tuning_replay")[each]["points_above_stock"][after] for each in TABLES]
    points = ["{:+.1f} ({:+.1f} to {:+.1f})".format(each["mean"], *each["interval"]) for each in ahead]
    assert table_row(name, points) in README
    assert after == "0.20" or all(each["interval"][0] > -0.5 for each in ahead)


def test_what_is_said_of_searches_is_that_of_the_results():
    digits, cifar10 = (result("tuning_replay")[each] for each in TABLES)
    assert all((each["replays"], each["configurations"]) == (500, 40) for each in (digits, cifar10))
    three, lower = digits["median_cost_to_reach_it"], cifar10["points_above_three_rungs"]["1.00"]["mean"]
    saved = digits["saved_by_going_on"]
    for words in (
        f"gets there in only {cifar10['share_of_replays_that_reach_it']['stock']:.0%} of the replays",
        "the three rungs of Li et al. (2020, arXiv:1810.05934) cost "
        f"{three['three_rungs']:.2f} and {cifar10['median_cost_to_reach_it']['three_rungs']:.2f},",
        f"end {lower:.1f} points lower on CIFAR-10",
        f"The next higher score there costs {cifar10['median_cost_to_reach_that']['ours']:.2f},",
        "is enough in {:.0%} and {:.0%} of the cases".format(
            *(each["share_of_other_configurations_within_a_third"] for each in (digits, cifar10))
        ),
        f"saves {saved['all']:.1%} of the epochs of a search on the digits ({saved['constant']:.1%} of a constant",
    ):
        assert words.replace("%", " %") in IN_ONE_LINE
    assert cifar10["median_cost_to_reach_that"]["random"] is None


def test_the_figures_of_a_notebook():
    (name,) = (ROOT / "notebooks").glob("2_*.ipynb")
    cells = [" ".join("".join(cell["source"]).split()) for cell in json.loads(name.read_text())["cells"]]
    training = result("cifar10_training")
    of_digits = percent(row(data="digits", optimizer="batch_gd", backend="tensorflow"))
    accuracy, seconds = (training[each]["keras-descent"] for each in ("mean_test_accuracy", "mean_seconds"))
    (last,) = (text for text in cells if text.startswith("## CIFAR-10"))
    assert f"five seeds reach {of_digits}." in last
    assert f"{100 * accuracy:.1f} % in {seconds:.0f} seconds on two cores" in last


def share(cost):
    return "never" if cost is None else f"{cost:.2f}"


def test_the_table_of_what_was_measured():
    """Row by row, in the order of the table."""
    exactness, cost = result("exactness")["largest"], result("full_batch_cost")["contenders"]
    theirs = [each["Keras's own accumulation, clipping"] for each in result("exactness")["cells"].values()]
    steps, memory = result("accumulation")["graph"], result("memory")["median_mib"]
    fast, search, gan = result("cifar10_training"), result("tuning_replay"), result("gan_digits")["medians"]
    accuracy, seconds = fast["mean_test_accuracy"], fast["mean_seconds"]
    costs = [search[each]["median_cost_to_reach_it"] for each in TABLES]
    ours, random, stock = ([share(each[of]) for each in costs] for of in ("ours", "random", "stock"))
    alone = steps["BatchGD / forward and backward"]["median"]
    least = memory["BatchGD, full_batches"] / memory["Keras SGD, batch 500"]
    for words in (
        f"{max(exactness.values()):.1e} | {max(each for each in theirs if isinstance(each, float)):.1e}, Keras's own",
        f"{alone:.2f} ×; {least:.2f} × |",
        f"{cost['full batch']['median']:.2f} ×; {cost['regularised, differences']['median']:.2f} × |",
        f"| 1 | {result('autotune')['beside_full_batches']['arrays']['ratio_of_all']:.2f} ×, arrays",
        f"{100 * accuracy['keras-descent']:.1f} %, {seconds['keras-descent']:.0f} s | "
        f"{100 * accuracy['torch']:.1f} %, {seconds['torch']:.0f} s",
        f"{', '.join(ours)} | {', '.join(random)}, random search; {', '.join(stock)}, KerasTuner's",
        f"{gan['sndcgan']['distance']:.2f}, {gan['sndcgan']['distance_over_floor']:.1f} × its floor | "
        f"{gan['keras.io']['distance']:.2f}, a DCGAN",
    ):
        assert words in FRONT
    shares = [
        f"{100 * float(row(data='cifar10', optimizer=o, train_images='5000')['mean']):.1f} %"
        for o in ("batch_gd", "sgd")
    ]
    assert f"reach {shares[0]} in full batches and {shares[1]} in batches of" in " ".join(FRONT.split())
