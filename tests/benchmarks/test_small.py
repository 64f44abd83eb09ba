"""Every benchmark that README and docs name, small: it runs, and writes what it promises.

Each has a process of its own, since some set TensorFlow's threads; what they start in turn runs in that process, with a
classifier of a few updates.
"""

import json
import os
import pathlib
import re

import keras
import pytest

from tests import warm

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MENTIONS, BENCHMARK = (PAGES, [ROOT / "Makefile"]), re.compile(r"python -m benchmarks\.(\w+)")
if keras.backend.backend() != "tensorflow":
    pytest.skip("they compare with TensorFlow's", allow_module_level=True)

SMALL = {  # arguments; what is smaller; keys of what is written
    "autotune": ("", "ROUNDS, EPOCHS, IMAGES = 1, 1, 128", ["beside_full_batches"]),
    "cdat": (
        "--rows rows.jsonl",
        "DATA, IMAGES, MICRO_BATCH, WIDTHS, PASSES, LOOKS = 'digits', 20, 10, (8, 8, 8), 6, 2; "
        "SEEDS, RATES, SCALES = (0,), (0.1, 0.2), (2.0,)",
        ["losses", "curvature"],
    ),
    "dense_update": (
        "",
        "ROUNDS, CALLS, PASSES, SIZES, EXECUTIONS = 1, 2, 2, {9: 2}, {'': 'auto'}",
        ["problems", "matrices"],
    ),
    "equations": (
        "",
        "SEEDS, ADAM, EVALUATIONS, CALL, EQUATIONS = (0,), 2, 4, 2, {'burgers': Burgers}; "
        "SETTINGS = {'points': 20, 'width': 4, 'depth': 1}",
        ["equations"],
    ),
    "exploding": ("", "CLIPPINGS, EPOCHS, SEEDS, LAYERS = ('none', 'by_norm:0.1'), 1, 1, 3", ["clippings"]),
    "flipped": (
        "",
        "ROUNDS, STEPS = 1, 1; CONTENDERS = {'gan': (Cifar10GAN, {'width': 4, 'discriminator_width': 4, "
        "'variant': 'cgan_pd', 'batch_size': 2}, 'smoke')}",
        ["contenders"],
    ),
    "full_batch": (
        "small --data digits --workers 1 --runs .",
        "PRESETS = dict(sgd=('--epochs=1',), fb=('--epochs=1',)); "
        "STUDIES = dict(small=(('sgd', 'fb'), 1, ('--train-images=64', '--width=8'), ()))",
        ["means", "rows"],
    ),
    "full_batch_digits": (
        "--runs .",
        "SEEDS, SETTINGS = (0,), {'train_images': 64, 'epochs': 2, 'batch_size': 32}",
        ["preset", "rows"],
    ),
    "full_batch_methods": (
        "--rows rows.jsonl",
        "PROBLEMS = {'softmax regression': PROBLEMS['softmax regression']._replace(passes=10)}; "
        "STEPS, SEEDS, WITH_A_RATE, WITHOUT = STEPS[:1], (1,), {'Muon': Muon}, {'BFGS': BFGS}",
        ["settings", "problems"],
    ),
    "functions": (
        "",
        "FUNCTIONS = {name: FUNCTIONS[name] for name in ('matyas', 'eggholder')}; "
        "OURS = {name: OURS[name] for name in ('strong_wolfe', 'nonlinear_cg')}",
        ["functions", "summary"],
    ),
    "full_batch_cost": (
        "",
        "UPDATES, IMAGES, BLOCK, WIDTH = 1, 32, 16, 8; CONTENDERS = {'in blocks': (16, (BlockGradient(16),))}",
        ["contenders"],
    ),
    "gan": (
        "--runs .",
        "PRESET, SEEDS, VARIANTS, RATES = 'smoke', (1,), ('sndcgan',), dict(list(RATES.items())[:1])",
        ["medians", "rates", "rows"],
    ),
    "gan_clock": (
        "--data-dir tfds --runs .",
        "PRESET, SECONDS, TIMES = 'smoke', 2, 2; gan_speed.BATCHES, gan_speed.ROUNDS = 2, 1",
        ["distances", "rows"],
    ),
    "gan_models": (
        "--data digits --runs .",
        "PRESET, SECONDS, TIMES, VARIANTS = 'smoke', 2, 2, ('sndcgan',)",
        ["means", "rows", "unfinished"],
    ),
    "gan_optimizers": (
        "--runs .",
        "EPOCHS, JUDGED_EVERY, SEEDS, METHODS = 1, 1, (1,), {'normalized_gd': (0.1,)}",
        ["medians", "rows"],
    ),
    "gan_speed": ("--data-dir tfds", "PRESET, BATCHES, ROUNDS = 'smoke', 2, 1", ["images_a_second"]),
    "gan_step": ("", "NETWORKS = dict(digits=(NETWORKS['digits'][0], (2, 32, 32, 1), 1, 1, ('GAN',)))", ["digits"]),
    "kills": (
        "linear",
        "KILLS = 1; CONTENDERS = dict(linear=('linear_regression --preset smoke --epochs 400'.split(), (0.1, 0.2)))",
        ["linear"],
    ),
    "lbfgs": (
        "",
        "STARTS, NETWORKS = 1, {'softmax regression': (softmax, digits, CROSS_ENTROPY, (10.0,), 30, 15)}",
        ["networks"],
    ),
    "lbfgs_update": (
        "",
        "SAMPLES, ROUNDS, CALLS, EVALUATIONS, NETWORKS = 20, 1, 2, 5, {'perceptron': (perceptron, 3)}",
        ["networks"],
    ),
    "passes": (
        "",
        "MODELS, COUNTS, CALLS = {'mlp': MODELS['mlp']}, (), 3; UPDATES['mlp'], ROUNDS['mlp'], EPOCHS['mlp'] = 2, 1, 4",
        ["mlp"],
    ),
    "step_sizes": ("", "CALL, CALLS, PROBLEMS = 20, 1, {'Matyas': PROBLEMS['Matyas']}", ["problems", "loses"]),
}
RUN = """
import pathlib, runpy, sys
from benchmarks import record
record.DIRECTORY = pathlib.Path("benchmarks/results")
import benchmarks.{name} as benchmark
exec({smaller!r}, vars(benchmark))
sys.argv[1:] = {arguments!r}.split()
if {in_turn}:
    import concurrent.futures, contextlib, io, subprocess
    from unittest import mock
    import recipes.gan.classifier
    from recipes.__main__ import main

    class OneAfterTheOther(concurrent.futures.ThreadPoolExecutor):
        map = lambda self, function, *of, **_: map(function, *of)

    def here(command, **_):
        if command[1] == "-c":
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(command[2], {{}})
            return subprocess.CompletedProcess(command, 0, said.getvalue(), "")
        module, *words = command[2:]
        if module == "recipes":
            assert main(words) == 0
        else:
            with mock.patch.object(sys, "argv", [module, *words]):
                runpy.run_module(module, run_name="__main__")

    from recipes.commands import pages

    pages.write_page = lambda directory: None
    recipes.gan.classifier.UPDATES = recipes.gan.classifier.FEWEST = 2
    subprocess.run, concurrent.futures.ThreadPoolExecutor = here, OneAfterTheOther
benchmark.main()
"""
IN_TURN = ("full_batch", "gan", "gan_clock", "gan_models", "gan_optimizers")
WRITTEN = {
    **{"gan": "gan_digits", "full_batch": "full_batch_small"},
    **{name: f"{name}_tensorflow" for name in ("dense_update", "functions", "lbfgs", "lbfgs_update", "passes")},
}
NEEDED = ("gan_digits", "gan_speed")  # results that `gan_models` begins with


ELSEWHERE = {"cutest"}  # in an environment of its own; `test_cutest` has its parts


def test_all_that_pages_name_are_here():
    by_pages, by_make = ({name for page in pages for name in BENCHMARK.findall(page.read_text())} for pages in MENTIONS)
    assert by_pages - ELSEWHERE <= set(SMALL)
    assert set(SMALL) <= by_pages | by_make


@pytest.mark.slow_cases(
    "autotune",
    "cdat",
    "dense_update",
    "equations",
    "exploding",
    "full_batch",
    "full_batch_cost",
    "full_batch_digits",
    "full_batch_methods",
    "flipped",
    "functions",
    "gan",
    "gan_clock",
    "gan_models",
    "gan_optimizers",
    "gan_speed",
    "gan_step",
    "kills",
    "lbfgs",
    "lbfgs_update",
    "passes",
    "step_sizes",
)
@pytest.mark.parametrize("name", SMALL)
def test_it_runs(name, tmp_path):
    arguments, smaller, keys = SMALL[name]
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    if name == "gan_models":
        for needed in NEEDED:
            (results / f"{needed}.json").write_text((ROOT / "benchmarks" / "results" / f"{needed}.json").read_text())
    if name in ("gan_speed", "gan_clock"):
        from tests.recipes.data.prepared import prepare  # TensorFlow's

        prepare(tmp_path / "tfds", "cifar10", (32, 32, 3), {"train": 400, "test": 40})
    code = RUN.format(name=name, smaller=smaller, arguments=arguments, in_turn=name in IN_TURN)
    error = warm.run(code, tmp_path, {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert error is None, error[-3000:]
    found = json.loads((results / f"{WRITTEN.get(name, name)}.json").read_text())
    assert all(found[key] or key == "unfinished" for key in keys)
    assert found["machine"]["cores"] >= 1
