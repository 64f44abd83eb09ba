"""What the pages of docs say is what the result files hold."""

import json
import math
import pathlib
import re
import statistics

import pytest

import callbacks
import custom_optimizers
from benchmarks.full_batch_methods import seconds_in_words
from custom_optimizers import clipping, line_search, schedules
from recipes.comparison.verdict import verdicts

ROOT = pathlib.Path(__file__).parents[1]


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text()


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def percent(value):
    return f"{value:.1%}".replace("%", " %")


@pytest.mark.parametrize(
    "package", [custom_optimizers, clipping, schedules, line_search, callbacks], ids=lambda each: each.__name__
)
def test_the_readme_and_the_changes_name_all_that_is_exported(package):
    box = (ROOT / "README.md").read_text().partition("## What is in the box")[2]
    changes = (ROOT / "CHANGELOG.md").read_text()
    for name in sorted(set(package.__all__) - {"Schedule"}):  # which guides do not teach
        assert re.search(rf"`(\w+\.)?{name}`", box), f"README.md, What is in the box: `{name}`"
        assert re.search(rf"`(\w+\.)?{name}\b", changes), f"CHANGELOG.md: `{name}`"


def test_full_batches():
    found = result("full_batch_small")
    text, of = page("full_batch"), {each["preset"]: each for each in found["means"]}
    for each in found["means"]:
        assert each["n"] == 3
        spread = f"{percent(each['test_accuracy'])} ± {percent(each['test_accuracy_deviation'])}"
        row = f"{each['updates']} | {percent(each['train_accuracy'])} | {each['test_loss']:.2f} | {spread} |"
        assert row in next(line for line in text.splitlines() if line.startswith(f"| `{each['preset']}` "))
    difference = 100 * (of["sgd"]["test_accuracy"] - of["fb_strong"]["test_accuracy"])
    assert f"difference of {difference:.1f} points" in " ".join(text.split())
    assert difference < 100 * of["sgd"]["test_accuracy_deviation"]
    assert of["fb_clip"]["test_accuracy"] < of["fb_long"]["test_accuracy"] < of["fb"]["test_accuracy"]
    assert of["fb_strong"]["test_accuracy"] > of["fb_reg"]["test_accuracy"]
    scores = {name: [row["test_accuracy"] for row in found["rows"] if row["preset"] == name] for name in of}
    assert all(each["within_noise"] for each in verdicts(scores, 1 / 10_000).values())
    assert "Holm over the 15 pairs" in text
    slowest = max(row["minutes"] for row in found["rows"] if row["on"].endswith("cpu:0"))
    assert f"at most {-int(-slowest // 1)} minutes" in " ".join(text.split())


def test_what_an_update_of_a_full_batch_costs():
    found = result("full_batch_cost")["contenders"]
    rows = [line for line in page("full_batch").splitlines() if re.search(r"\d\.\d\d \(\d\.\d\d to", line)]
    for row, of in zip(rows, found.values(), strict=True):
        assert "| {median:.2f} ({min:.2f} to {max:.2f}) |".format(**of) in row
    work = {name: of["median"] for name, of in found.items()}
    assert max(work["full batch"], work["in blocks"]) <= 1.03
    assert work["regularised, differences"] <= 2.1
    added = [work[f"regularised, {method}"] - work["in blocks"] for method in ("differences", "Hessian")]
    assert f"{added[0] / added[1]:.0%}".replace("%", " %") in page("full_batch")


def test_what_passes_cost():
    """The table of the guide, in milliseconds of an update, and the ratios that are promised."""
    text = (ROOT / "docs" / "guides" / "full_batches.md").read_text()
    for backend, name in {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}.items():
        found = json.loads((ROOT / "benchmarks" / "results" / f"passes_{backend}.json").read_text())
        for kind, words in {"mlp": "tanh network", "cnn": "CNN"}.items():
            each = found[kind]["median_ms_of_an_update"]
            names = ["Keras SGD, an epoch", "FullBatch, an epoch", "FullBatch, many passes"]
            by_hand = min(value for key, value in each.items() if key.startswith("by hand") and "of 4" not in key)
            values = (f"{value:.3g}" for value in (*(each[key] for key in names), by_hand))
            assert f"| {name}, {words} | {' | '.join(values)} |" in text
        of_one = min(
            ratio["median"]
            for key, ratio in found["mlp"]["ratios"].items()
            if key.startswith(("FullBatch, many passes / by hand", "FullBatch, many passes, XLA / by hand"))
        )
        assert of_one <= (1.2 if backend == "torch" else 1.5)
        assert found["mlp"]["ratios"]["FullBatch, an epoch / Keras SGD, an epoch"]["median"] <= 1.3


def test_problems_that_searches_solve():
    found = result("cutest")
    ours, theirs = (f"{100 * found['solved'][name]:.1f} %" for name in ("strong_wolfe", "lbfgsb"))
    assert f"in 1,000 evaluations | {ours} | {theirs}, L-BFGS-B of SciPy |" in (ROOT / "README.md").read_text()
    guide = " ".join((ROOT / "docs" / "guides" / "without_a_learning_rate.md").read_text().split())
    second = f"{100 * found['solved']['hager_zhang']:.1f} %"
    assert f'in {ours} with `"strong_wolfe"`, in {second} with `"hager_zhang"`, and in {theirs} with SciPy' in guide
    assert f"On the {found['problems']} unconstrained problems" in guide
    assert all(hold == {"share": True, "calls": True} for hold in found["holds"].values())
    for solver, name in {
        "bfgs": "BFGS",
        "self_scaled_broyden": "SelfScaledBroyden",
        "nonlinear_cg": "NonlinearCG",
    }.items():
        theirs, calls = found["theirs"][solver], found["calls_to_theirs"][solver]
        shares = (f"{100 * found['solved'][each]:.1f} %" for each in (solver, theirs))
        quartiles = f"{calls['median']:.2f} ({calls['lower']:.2f} to {calls['upper']:.2f})"
        expected = "| `{}` | {} | {}, {} | {} |".format(name, *shares, theirs.removeprefix("scipy_").upper(), quartiles)
        assert expected in guide


ACCURACY = ("softmax regression", "accuracy")


def test_which_method_to_take():
    """The table of when_not.md and what README says of it."""
    text, problems = page("when_not"), result("full_batch_methods")["problems"]
    tanh, softmax = (
        {method: of["passes_to"][kind]["median"] for method, of in problems[name].items()}
        for name, kind in (("tanh regression", "1e-05"), ("softmax regression", "0.001"))
    )
    first = "self-scaled Broyden"
    others = (
        f"{tanh['BFGS']} `BFGS`, {tanh['L-BFGS']} `LBFGS`, {tanh['Muon']:,} `Muon`; not in 2,000 momentum and descent"
    )
    assert f"| {tanh[first]} | {others}" in text
    assert [tanh[method] for method in ("Adam", "momentum", "descent")] == [None] * 3
    others = (
        f"{softmax['L-BFGS']} `LBFGS`, {softmax['Muon']} `Muon`, {softmax['Adam']} Adam, {softmax['descent']} descent"
    )
    assert f"| {softmax[first]} | {others} |" in text
    digits, mini = result("full_batch_digits"), result("comparison_digits")["means"]
    assert f"| `Muon`: `cifar10_cnn --preset muon` | {digits['passes_to_95_percent']} |" in text
    of = {each["contender"]: each for each in mini}
    assert f"plain descent had {of['batch']['mean']:.0%} of the test part after {of['batch']['epochs']}".replace(
        "%", " %"
    ) in text.replace("\n", " ")
    ahead = (
        f"{percent(of['nesterov']['mean'])} of the test images of the digits after {of['nesterov']['epochs']} passes"
    )
    assert f"{ahead}, `--preset muon` {percent(digits['test_accuracy'])} after 30" in " ".join(text.split())
    readme = " ".join((ROOT / "README.md").read_text().split())
    row = f"`SelfScaledBroyden` | {tanh[first]} | {tanh['L-BFGS']}, `LBFGS`; {tanh['Muon']:,}, `Muon` at the best of 8"
    assert row in readme
    assert f"plain descent takes {softmax['descent'] / softmax[first]:.0f} times as many passes" in readme


def row(*values):
    return f"| {' | '.join(values)} |".replace("|  |", "| |").replace("|  |", "| |")


def rows_of_networks():
    """The rows of the guide's table of networks, from the results of each backend."""
    found = {backend: result(f"lbfgs_{backend}")["networks"] for backend in ("tensorflow", "jax", "torch")}
    for name, of in found["torch"].items():
        for target, theirs in of["evaluations beside torch"].items():
            scipy = [each[name]["evaluations beside scipy"][target] for each in found.values()]
            assert all(set(each["reached"].values()) == {10} for each in (theirs, *scipy))
            assert all(each["ratio"] <= 1.1 for each in (theirs, *scipy))
            seconds = [of.get(f"seconds beside {other}", {}).get(target) for other in ("torch", "torch alone")]
            values = [", ".join(f"{each['ratio']:.2f}" for each in scipy), f"{theirs['ratio']:.2f}"]
            yield row(name, target, *values, *("" if each is None else f"{each:.2f}" for each in seconds))


def rows_of_updates():
    """The rows of the guide's table of what an update costs."""
    found = [result(f"lbfgs_update_{backend}")["networks"] for backend in ("tensorflow", "jax", "torch")]
    for name in found[0]:
        yield row(name, *(f"{each[name]['LBFGS beside']['by hand']['median']:.2f}" for each in found))
    for other in ("scipy", "torch.optim"):
        values = [each["perceptron"]["ratios of others"].get(other) for each in found]
        yield row(f"perceptron, {other}", *("" if value is None else f"{value:.2f}" for value in values))


def rows_of_matrices():
    """The rows of the guide's table of what a matrix costs: of BFGS and of self-scaled Broyden, medians."""
    by_backend = {backend: result(f"dense_update_{backend}") for backend in ("tensorflow", "jax", "torch")}
    columns = ("tensorflow", ""), ("tensorflow", " with XLA"), ("jax", ""), ("torch", "")
    rows = {
        "a pass, regression": ("problems", "regression", "beside an evaluation"),
        "a pass, equation": ("problems", "equation", "beside an evaluation"),
        "the matrix, 921": ("matrices", "921", "beside memory"),
        "the matrix, 4,000": ("matrices", "4000", "beside memory"),
    }
    for name, (kind, which, beside) in rows.items():
        found = [by_backend[backend][kind][which + execution][beside] for backend, execution in columns]
        yield row(name, *(f"{each['BFGS']['median']:.2f}, {each['SelfScaledBroyden']['median']:.2f}" for each in found))


def test_evaluations_and_costs_of_searches():
    text = (ROOT / "docs" / "guides" / "without_a_learning_rate.md").read_text()
    for each in (*rows_of_networks(), *rows_of_updates(), *rows_of_matrices()):
        assert each in text


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_functions_that_searches_solve(backend):
    """Each method beside its counterpart of SciPy: as many functions, and at most 1.1 times the evaluations."""
    found = result(f"functions_{backend}")
    assert found["bounds"] == {"share_below_theirs": 0.02, "median_ratio": 1.1}
    assert {each["beside"] for each in found["summary"].values()} == {"L-BFGS-B", "BFGS", "CG"}
    for method, each in found["summary"].items():
        assert each["holds"] == {"share": True, "calls": True}, method


def rows_of_steps():
    """The rows of the guide's table of steps without a rate: passes to three levels, with a star where a rule loses."""
    found = result("step_sizes")
    rules = "barzilai_borwein", "ad_gd", "polyak, lowest known", "polyak", "cdat"
    for name, of in found["problems"].items():
        assert all(best["is_inside"] is not False for best in of["best"])
        cells = [
            ", ".join(
                f"{'–' if passes is None else f'{passes:,}'}{'*' if holds is False else ''}"
                for passes, holds in zip(of["rules"][rule]["passes"], of["rules"][rule]["holds"], strict=True)
            )
            for rule in rules
        ]
        best = ", ".join("–" if each["passes"] is None else f"{each['passes']:,}" for each in of["best"])
        yield row(name, ", ".join(f"{share:.0e}".replace("e-0", "e-") for share in of["shares"]), best, *cells)


def test_steps_without_a_rate():
    text = (ROOT / "docs" / "guides" / "without_a_learning_rate.md").read_text()
    for each in rows_of_steps():
        assert each in text
    settings = result("step_sizes")["settings"]
    assert f"at most {settings['passes']:,} passes" in " ".join(text.split())
    assert f"more than {settings['bound']} times the passes" in " ".join(text.split())


def rows_of_cdat(found):
    """The rows of the guide's table of CDAT on a network: median, lowest and highest loss of the starts."""
    losses, best = found["losses"], found["best_rate"]
    rates = [each for name, each in losses.items() if name.startswith("rate")]
    rows = {
        "the best constant rate of each start": [min(each) for each in zip(*rates, strict=True)],
        f"a rate of {best:g}, the best one": losses[f"rate {best:g}"],
        **{f"`CDAT(scale={scale})`": losses[f"scale {scale:g}"] for scale in (2.0, 1.5, 2.5)},
        "`CDAT(smoothing=0)`": losses["no averages"],
    }
    for name, each in rows.items():
        yield row(name, f"{statistics.median(each):.3g}", f"{min(each):.3g} to {max(each):.3g}")


def test_cdat_on_a_network():
    found = result("cdat")
    text = " ".join((ROOT / "docs" / "guides" / "without_a_learning_rate.md").read_text().split())
    for each in rows_of_cdat(found):
        assert each in text
    assert (found["holds"], found["best_rate_is_inside"]) == (False, True)
    kinds = "cdat_to_best_rate", "cdat_to_best_rate_best_scale", "cdat_to_best_rate_same_updates"
    own, tuned, halved = (f"{found[kind]['mean']:.2f}" for kind in kinds)
    assert f"{own} times the loss of the best rate of its start" in text
    assert f"{tuned} times with the best of three scales" in text
    assert f"After as many updates as that rate it has {halved} times its loss" in text
    off = found["curvature"]
    assert f"a tenth of them within {off['tenth']:.0%}".replace("%", " %") in text
    assert f"half within {off['median']:.0%} and nine tenths within {off['nine_tenths']:.0%}".replace("%", " %") in text


def test_equations():
    """By medians of five seeds; on Burgers' equation at most 1e-4, a fiftieth of L-BFGS-B and a tenth of BFGS."""
    found, text = result("equations"), page("guides/equations")
    assert (found["adam"], found["evaluations"], found["seeds"]) == (500, 2400, 5)
    for name, of in found["equations"].items():
        medians = {method: statistics.median(errors) for method, errors in of["errors"].items()}
        ours, others = medians["SelfScaledBroyden"], (medians["BFGS"], medians["L-BFGS-B"])
        cells = " | ".join(f"{each:.1e}" for each in (medians["Adam"], ours, *others))
        assert f"| `{name}` | {cells} |" in text
        assert ours < min(others)
    burgers = found["equations"]["burgers"]["medians"]
    assert burgers["SelfScaledBroyden"] <= 1e-4
    assert burgers["BFGS"] >= 10 * burgers["SelfScaledBroyden"]
    assert burgers["L-BFGS-B"] >= 50 * burgers["SelfScaledBroyden"]


def test_ends_of_epochs():
    found = result("autotune")
    text = " ".join(page("full_batch").split())
    arrays, tuned = (found["beside_full_batches"][name] for name in ("arrays", "full_batches, tuned"))
    assert f"{found['epochs']} epochs of half a second took {arrays['ratio_of_all']:.2f} times" in text
    assert f"{tuned['ratio_of_all']:.2f} times with `full_batches` that are tuned" in text
    assert f"{arrays['late']} and {tuned['late']} of the {found['epochs']} were longer than any" in text
    assert 0.4 < sorted(found["seconds"]["full_batches"])[found["epochs"] // 2] < 0.6


def test_clippers():
    found = result("exploding")["clippings"]
    text = page("clipping")
    for name, of in found.items():
        accuracies = " ".join(f"{100 * each:.0f}" for each in of["accuracies"])
        end = "ten epochs" if of["epochs"] == 10 else "diverged in the first epoch"
        assert f"| `{name}` | {accuracies} | {end} | {of['clipped_share']:.0%} |".replace("%", " %") in text
    diverged = {name for name, of in found.items() if of["epochs"] == 1}
    assert diverged == {"none", "auto_clip", "z_clip", "centralize"}
    middle = {name: sorted(of["accuracies"])[1] for name, of in found.items()}
    assert max(middle, key=middle.get) == "by_block_rms:0.001"
    assert max(middle["by_global_norm:1.0"], middle["normalize"], middle["soft:1.0"]) < 0.15
    assert f"({found['by_value:0.01']['exploding_layers_at_first']:.0f} of 21 under" in text


def test_optimizers_side_by_side():
    found = result("comparison_digits")
    text = " ".join(page("comparison").split())
    for each in found["means"]:
        rate = "" if each["learning_rate"] is None else f"{each['learning_rate']:.3g}"
        spread = "{:.1f} ({:.1f} to {:.1f})".format(*(100 * each[name] for name in ("mean", "low", "high")))
        loss = "{loss:.2f} ({loss_low:.2f} to {loss_high:.2f})".format(**each)
        counts = *(f"{each[name]:g}" for name in ("updates", "epochs")), f"{each['seconds']:.1f}"
        reached = [
            words(each[name]) for name in ("seconds_to_target", "passes_to_target_loss", "seconds_to_target_loss")
        ]
        cells = f"`{each['contender']}`", rate, spread, loss, *counts, f"{each['peak_mib']:.0f}", *reached
        assert row(*cells).replace("|  |", "| |") in text
        assert each["n"] == found["seeds"] == 5
    assert (found["budget"], found["target"], found["target_loss"]) == ("seconds=8", 0.95, 1)
    assert f"Holm over the {len(found['differences'])} pairs" in text


def words(number):
    """How often or how long it took, as the page has it."""
    return "-" if number is None else f"{number:g}" if isinstance(number, int) else f"{number:.1f}"


def test_who_is_ahead_after_eight_seconds():
    found = result("comparison_digits")
    of = {each["contender"]: each for each in found["means"]}
    full = {name: each for name, each in of.items() if name.startswith("batch")}
    small = {"momentum", "nesterov", "rmsprop", "adam", "muon", "sign_momentum"}
    reached = {name: each["seconds_to_target"] for name, each in of.items() if each["seconds_to_target"] is not None}
    assert {*reached} == small
    assert (round(min(reached.values())), round(max(reached.values()))) == (4, 6)
    assert (min(each["passes"] for each in full.values()), max(each["passes"] for each in full.values())) == (19, 31)
    assert {name: each["passes_to_target_loss"] for name, each in full.items() if each["passes_to_target_loss"]} == {
        "batch_muon": 19
    }
    ranked = sorted(full, key=lambda name: -full[name]["mean"])
    assert ranked[:2] == ["batch_muon", "batch_lbfgs"]
    assert (percent(full["batch_muon"]["mean"]), percent(full["batch_lbfgs"]["mean"])) == ("95.3 %", "74.0 %")
    assert max(full[name]["mean"] for name in ranked[2:]) > full["batch_lbfgs"]["low"]
    assert full["batch_muon"]["low"] > max(full[name]["high"] for name in ranked[1:])
    apart = [{each["a"], each["b"]} for each in found["differences"] if not each["within_noise"]]
    assert all({other, each} in apart for other in ("batch", "batch_nesterov", "batch_cg") for each in small)
    assert of["stochastic"]["epochs"] == 1
    assert of["adam"]["seconds"] > 1.45 * of["batch_nesterov"]["seconds"]


def test_full_batches_of_the_digits_side_by_side():
    found, text = result("comparison_full_batch"), page("comparison")
    of = {each["contender"]: each for each in found["means"]}
    for name, each in of.items():
        rate = "" if each["learning_rate"] is None else f"{each['learning_rate']:.3g}"
        spread = "{:.1f} ({:.1f} to {:.1f})".format(*(100 * each[key] for key in ("mean", "low", "high")))
        reached = "-" if each["passes_to_target_loss"] is None else f"{each['passes_to_target_loss']:g}"
        assert row(f"`{name}`", rate, spread, reached) in text
        assert (each["n"], each["passes"]) == (5, 30)
    assert (found["budget"], found["trials"], found["target_loss"]) == ("epochs=30", 6, 1)
    apart = [{each["a"], each["b"]} for each in found["differences"] if not each["within_noise"]]
    for other in ("batch", "batch_nesterov", "batch_lbfgs", "batch_cg"):
        assert {"batch_muon", other} in apart
    assert found["means"][0]["contender"] == "batch_muon"
    assert {f"{of[name]['loss']:.2f}" for name in ("batch_muon", "batch_lbfgs")} == {"0.80"}


def rows_of_methods(problems):
    """The rows of a page's tables of methods, with the seconds where they have been taken."""
    for found in problems.values():
        for method, of in found.items():
            rate = "" if "rate" not in of else f"{of['rate']:.3g}, {of['schedule']}"
            medians = [each["median"] for each in of["passes_to"].values()]
            cells = ["-" if each is None else f"{each:g}" for each in medians]
            yield row(method, rate, *cells, *seconds_in_words(of))


def test_methods_of_full_batches_side_by_side():
    text, found = page("comparison"), result("full_batch_methods")
    for each in rows_of_methods(found["problems"]):
        assert each in text
    for name, problem in found["problems"].items():
        assert f"{found['settings'][name]['passes']:,} passes" in text
        assert not any(of.get("is_at_an_end") for of in problem.values())


def test_who_is_first_of_the_methods_of_full_batches():
    text, problems = " ".join(page("comparison").split()), result("full_batch_methods")["problems"]
    kinds = {name: list(found["L-BFGS"]["passes_to"]) for name, found in problems.items()}
    passes = {
        (name, kind): {method: of["passes_to"][kind]["median"] or math.inf for method, of in problems[name].items()}
        for name in problems
        for kind in kinds[name]
    }
    order = {key: sorted(of, key=of.get) for key, of in passes.items()}
    lowest = ("tanh regression", "1e-05")
    assert {methods[0] for methods in order.values()} == {"self-scaled Broyden"}
    assert {methods[1] for key, methods in order.items() if key not in (lowest, ACCURACY)} == {"L-BFGS"}
    assert order[lowest][1:3] == ["BFGS", "L-BFGS"]
    for key in (lowest, ("softmax regression", "0.001")):
        rated = [method for method in order[key] if "rate" in problems[key[0]][method]]
        assert rated[0] == "Muon"
        ratio = passes[key]["Muon"] / passes[key]["L-BFGS"]
        assert f"{ratio:.1f} times as many" in text or f"{ratio:.2f} times" in text
    assert {
        method for method, each in passes[lowest].items() if each < math.inf and "rate" in problems[lowest[0]][method]
    } == {"Muon"}
    assert passes["tanh regression", "0.001"]["descent"] == math.inf
    told = [passes[ACCURACY][method] for method in ("self-scaled Broyden", "L-BFGS", "Nesterov", "descent", "Muon")]
    assert told == [30, 35, 35, 45, 70]
    assert passes["softmax regression", "0.001"]["Muon"] < 70
    assert problems["softmax regression"]["Muon"]["lowest"] == 0


def test_passes_of_the_preset_of_full_batches():
    found = result("full_batch_digits")
    reached = [each["passes_to_95_percent"] for each in found["rows"]]
    told = f"after {found['passes_to_95_percent']} passes (median of 5 seeds, {min(reached)} to {max(reached)})"
    test = percent(found["test_accuracy"]) + " ± " + percent(found["test_accuracy_deviation"])
    assert (found["preset"], found["n"], found["passes"]) == ("muon", 5, 30)
    assert found["passes_to_95_percent"] <= 30
    for text in (page("comparison"), (ROOT / "recipes" / "cifar10_cnn.py").read_text()):
        assert told in " ".join(text.split())
        assert test in " ".join(text.split())


def test_gans_on_cifar10():
    results = ROOT / "benchmarks" / "results"
    found, speed = (json.loads((results / f"{name}.json").read_text()) for name in ("gan_models", "gan_speed"))
    text, speeds = " ".join(page("gan").split()), speed["images_a_second"]
    assert f"{speeds['cifar10_gan']:.0f} images a second) and the DCGAN ({speeds['keras.io']:.0f})" in text
    for each in found["means"]:
        rows = [row for row in found["rows"] if row["contender"] == each["contender"]]
        if rows:
            epoch = 49_984 / speeds["keras.io" if each["contender"] == "keras.io" else "cifar10_gan"]  # seconds
            line = " | ".join(f"{at(rows, minutes * 60 / epoch):.2f}" for minutes in (5, 15, 30, 60))
            best = ", ".join(f"{row['distance']:.2f}" for row in rows)
            assert f"| {line} | {best} |" in text
    of = {(row["contender"], row["seed"]): row for row in found["rows"]}
    both = [row["distance"] for row in found["rows"] if row["contender"] == "cgan_pd"]
    claim = f"to {sum(both) / 2:.2f} on CIFAR-10 (cpu60; two seeds, {both[0]:.2f} and {both[1]:.2f}"
    assert claim in " ".join((ROOT / "recipes" / "cifar10_gan.py").read_text().split())
    assert f"finds {of['cgan_pd', 1]['label_accuracy']:.0%}".replace("%", " %") in text
    for contender, floor in (("cgan_pd", "0.026"), ("sndcgan", "0.032")):
        assert f"{of[contender, 1]['distance_floor']:.3f}" == floor
        assert floor in text
    last = [row["curve"][-1] for row in found["unfinished"]]
    assert (
        "after {} and {} of 40 epochs, at {:.2f} and {:.2f}".format(
            *(each["epoch"] for each in last), *(each["distance"] for each in last)
        )
        in text
    )
    beside = [row for row in found["rows"] if row["contender"] == "dcgan"]
    assert f"`dcgan` had {at(beside, 20):.2f} after 20" in text


def test_an_hour_by_the_clock():
    found = result("gan_clock")
    text = " ".join(page("gan").split())
    ours, theirs = found["rows"]
    near = [min(ours["curve"], key=lambda point: abs(point["seconds"] / 60 - minutes)) for minutes in (5, 15, 30, 60)]
    cells = [f"{point['distance']:.2f} ({point['seconds'] / 60:.1f})" for point in near]
    assert (
        f"| `cgan_pd`, told the classes | {' | '.join(cells)} | {ours['distance']:.2f} | {ours['epochs']:.1f} |" in text
    )
    cells = [f"{found['distances'][1][f'{minutes} min']:.2f}" for minutes in (5, 15, 30, 60)]
    cells += [f"{theirs['distance']:.2f}", f"{theirs['epochs']:.1f}"]
    assert f"| DCGAN after keras.io, Adam 1e-4 | {' | '.join(cells)} |" in text
    assert (ours["dtype"], theirs["dtype"]) == ("float32", "float32")
    assert 0.9 < ours["seconds"] / 3600 < theirs["seconds"] / 3600 < 1.01
    assert f"{ours['label_accuracy']:.0%}".replace("%", " %") + " of the labels of the best" in text


def at(rows, epochs):
    """The mean over the seeds of the last judgement by then."""
    curves = [[point["distance"] for point in row["curve"] if point["epoch"] <= epochs] for row in rows]
    return sum(curve[-1] for curve in curves) / len(curves)


def test_gans_on_the_digits():
    found = result("gan_digits")
    text, medians = " ".join(page("gan").split()), found["medians"]
    of = {name: [row for row in found["rows"] if row["contender"] == name] for name in medians}
    for name, each in medians.items():
        assert each["n"] == 3
        distances = [row["distance"] for row in of[name]]
        assert f"{each['distance']:.2f} | {min(distances):.2f} to {max(distances):.2f} |" in text
        assert f"| {percent(each['class_entropy'])} | {percent(each['confidence'])} |" in text
        assert f"| {each['seconds']:.0f} |" in text
    first, classes = medians["sndcgan"], medians["cgan_pd"]
    ahead = medians["keras.io"]["distance"] / first["distance"]
    assert f"The same convolutions, {ahead:.1f} times nearer" in text
    assert ahead > 3
    own, *_, best = sorted(found["rates"].values(), reverse=True)
    assert f"(keras.io's own 1e-4 gets to {own:.1f} in half of that time)" in text
    assert best == found["rates"]["adam 1e-3, beta 0.5"]
    assert (first["distance_over_floor"] < 4, first["class_entropy"] > 0.985, first["confidence"] > 0.85) == (True,) * 3
    assert (classes["distance_over_floor"] < 3, classes["label_accuracy"] > 0.98) == (True, True)
    near = [row["nearest_training_image"] / row["nearest_training_image_of_test_images"] for row in of["cgan_pd"]]
    assert f"at least {min(near):.2f} times as far" in text
    assert min(near) > 0.95
    pair = "{generated_images} generated images to {reference_images} of the training images"
    told = "({generated_images} to {reference_images} with classes)"
    assert f"{pair.format(**of['sndcgan'][0])} {told.format(**of['cgan_pd'][0])}" in text
    for row in (of["sndcgan"][0], of["cgan_pd"][0]):
        assert f"{row['distance_floor']:.2f} ± {row['distance_floor_deviation']:.2f}" in text
    assert len({row["classifier_hash"] for name in ("sndcgan", "cgan_pd") for row in of[name]}) == 1
    assert of["sndcgan"][0]["classifier_hash"] in text


def test_what_a_step_of_a_gan_costs():
    found = result("gan_step")
    text = " ".join(page("gan").split())
    assert f"medians of {found['faces']['rounds']} and {found['digits']['rounds']} turns" in text
    for row, name in (
        ("`GAN`", "GAN"),
        ("`GAN(simultaneous=True)`", "GAN, simultaneous"),
        ("the same with `Minimax`", "GAN, simultaneous, minimax"),
    ):
        columns = [f"{name}, Keras's layers", name, f"{name}, bfloat16"]
        cells = [times(found[of]["contenders"], each) for of in ("faces", "digits") for each in columns]
        assert f"| {row} | {' | '.join(cells)} |" in text
    spreads = [found[of]["contenders"]["GAN"]["times_as_fast_as_keras"] for of in ("faces", "digits")]
    told = " and ".join("{min:.2f} to {max:.2f}".format(**spread) for spread in spreads)
    assert told.replace(" and", " times as fast (faces) and") in text


def times(contenders, name):
    return f"{contenders[name]['times_as_fast_as_keras']['median']:.2f} x" if name in contenders else "-"


def test_flipped_kernels():
    found = result("flipped")
    assert found["machine"]["instructions"] == ["avx2"]
    for name, of in found["contenders"].items():
        times = "{median:.2f} x ({min:.2f} to {max:.2f})".format(**of["times_as_fast"])
        assert f"| `{name}` | {of['batch']} | {times} |" in page("gan")
        assert of["times_as_fast"]["median"] > 1


def test_optimizers_for_gans():
    found = result("gan_optimizers")
    text, medians = page("gan"), found["medians"]
    assert f"{found['epochs']} epochs" in text
    table = text.partition("## Which optimizer")[2].partition("## What a step")[0]
    for each in medians.values():
        assert each["n"] == 3
        distances = f"{each['distance']:.2f} | {each['lowest']:.2f} to {each['highest']:.2f}"
        assert f"| {each['learning_rate']:g} | {distances} |" in table
    assert table.count("\n|") == len(medians) + 2
