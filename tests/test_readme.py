import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert sum(bool(line) for line in code.splitlines()) == 10
    scope = {}
    exec(code, scope)
    assert scope["model"].optimizer.iterations.numpy() == 3
    assert scope["optimizer"].gradient_accumulation_steps == "epoch"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)|`((?:benchmarks|docs)/[^`]+)`", README))))
def test_what_it_points_to_is_there(path):
    assert (ROOT / (path[0] or path[1])).exists()


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_its_figures_are_those_of_the_result_files():
    steps = result("accumulation")["graph"]
    ours, theirs = (steps[f"{name} / forward and backward"]["median"] for name in ("BatchGD", "Keras SGD"))
    jit = result("accumulation")["jit"]
    under_xla = (jit[f"{name} / forward and backward"]["median"] for name in ("BatchGD", "Keras SGD"))
    assert "Keras's own accumulation | {:.2f} ×; {:.2f} ×".format(*under_xla) in README
    memory = result("memory")["median_mib"]
    digits = result("digits")["batch_gd"]
    assert f"forward and backward alone | {ours:.2f} ×" in README
    assert f"Keras's own accumulation | {theirs:.2f} ×" in README
    assert (
        f"{memory['BatchGD, full_batches'] / memory['Keras SGD, batch 500']:.2f} × | `benchmarks/results/mem" in README
    )
    assert f"{100 * digits['mean']:.1f} % ± {100 * digits['standard_deviation']:.1f} %" in README
