"""The house: which room may import from which, read from the source by the standard library's `ast`."""

import ast
import functools
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PACKAGES = ("recipes", "callbacks", "custom_optimizers")
HEAVY = ("numpy", "scipy", "keras", "tensorflow", "jax", "torch", "matplotlib", "keras_tuner")
LONGEST_FILE = 350  # lines
MEDIAN, NINTH_DECILE, LONGEST = 5, 14, 46  # lines of functions, without signature and docstring

_BASE = ("settings", "errors")
_MACHINE = ("machine", *_BASE)
_PARTS = ("classification", "data", "gan", "layers", "models", "optimization", "physics")
ALLOWED = {  # what each room may import from; recipes are the modules that stand at the top
    "errors": (),
    "settings": ("errors",),
    "machine": _BASE,
    "recipe": _MACHINE,  # code that is not of this package may import Keras, for which the backend is chosen first
    "find": ("recipe", *_MACHINE),
    "layers": _MACHINE,
    "models": ("layers", *_MACHINE),
    "data": _MACHINE,
    "optimization": _BASE,
    "gan": ("data", "layers", *_MACHINE),
    "classification": ("data", "optimization", "recipe", *_MACHINE),
    "physics": ("data", "optimization", "recipe", *_MACHINE),
    "RECIPES": ("recipe", *_PARTS, *_MACHINE),
    "run": ("find", "recipe", *_MACHINE),
    "training": ("run", "recipe", *_MACHINE),
    "workers": ("training", "run", "recipe", *_MACHINE),
    "tuning": ("workers", "training", "run", "recipe", "optimization", *_MACHINE),
    "comparison": ("tuning", "workers", "training", "run", "recipe", *_MACHINE),
    "report": ("classification", "comparison", "tuning", "workers", "training", "run", "recipe", *_MACHINE),
    "commands": ("report", "comparison", "tuning", "training", "run", "find", "recipe", *_PARTS, *_MACHINE),
    "__main__": ("commands", *_MACHINE),
}
LOCAL = {  # imports of own modules in functions, and why they are not at the top of the file
    ("recipes/__main__.py", "recipes.commands"): "a package that is not installed is told in one line",
    (
        "recipes/run/files.py",
        "callbacks.write_whole",
    ): "callbacks import Keras, and a run that is done needs none",
    ("recipes/run/state.py", "callbacks.exact_resume"): "the same",
    ("recipes/run/run.py", "recipes.run.event_files"): "importing it imports TensorBoard and Keras",
    (
        "recipes/classification/blockwise.py",
        "callbacks",
    ): "parsing a command line imports this, without Keras",
    ("recipes/cifar10_full_batch.py", "callbacks"): "the same",
}


@functools.cache
def sources():
    """The modules of the recipes: pairs of a path in the repository and the tree of its source."""
    paths = sorted((ROOT / "recipes").rglob("*.py"))
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in paths]


def room_of(path):
    """The room of a module: a folder of `recipes`, or a file that stands beside them."""
    first = path.split("/")[1].removesuffix(".py")
    return first if first in ALLOWED else "RECIPES"


def imported(node, path):
    """The own modules that an import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif node.level:
        raise AssertionError(f"{path}:{node.lineno}: write the whole name")
    elif node.module == "recipes":
        names = [f"recipes.{alias.name}" for alias in node.names]
    else:
        names = [node.module]
    return [name for name in names if name.partition(".")[0] in PACKAGES]


def imports(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_rooms_import_in_one_direction():
    wrong = []
    for path, tree in sources():
        mine = room_of(path)
        for node in imports(tree):
            for name in imported(node, path):
                if not name.startswith("recipes."):
                    continue
                theirs = room_of(name.replace(".", "/"))
                if (theirs != mine and theirs not in ALLOWED[mine]) or (theirs == mine == "RECIPES"):
                    wrong.append(f"{path}:{node.lineno} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_nothing_below_imports_recipes():
    for package in PACKAGES[1:]:
        for path in (ROOT / package).rglob("*.py"):
            for node in imports(ast.parse(path.read_text())):
                assert not any(name.startswith("recipes") for name in imported(node, path)), path
    for path in (ROOT / "custom_optimizers").rglob("*.py"):
        for node in imports(ast.parse(path.read_text())):
            assert not any(name.startswith("callbacks") for name in imported(node, path)), path


def test_imports_in_functions_are_few_and_each_has_its_reason():
    found = {
        (path, name)
        for path, tree in sources()
        for function in functions(tree)
        for node in imports(function)
        for name in imported(node, path)
    }
    assert found == set(LOCAL)
    assert len(found) <= 15


def test_files_and_functions_are_short():
    lengths = {}
    for path, tree in sources():
        lines = len((ROOT / path).read_text().splitlines())
        assert lines <= LONGEST_FILE, f"{path} has {lines} lines"
        for function in functions(tree):
            body = function.body[1:] if ast.get_docstring(function) is not None else function.body
            lengths[f"{path}:{function.lineno}"] = body[-1].end_lineno - body[0].lineno + 1 if body else 0
    ordered = sorted(lengths.values())
    assert ordered[-1] <= LONGEST, max(lengths, key=lengths.get)
    assert ordered[len(ordered) // 2] <= MEDIAN
    assert ordered[len(ordered) * 9 // 10] <= NINTH_DECILE


PARSED = (
    ["--help"],
    ["train", "--help"],
    ["train", "cifar10_cnn", "--help"],
    ["tune", "cifar10_fast", "--help"],
    ["compare", "linear_regression", "--help"],
    ["list"],
    ["list", "--optimizers"],
    ["show", "cifar10_gan"],
    ["train", "cifar10_full_batch", "--epochs", "none"],
    ["tune", "cifar10_cnn", "--space", "widht=1|2"],
    ["compare", "cifar10_cnn", "--optimizers", "adm"],
)


@pytest.mark.parametrize("words", PARSED, ids=" ".join)
def test_a_command_line_is_understood_without_what_computes(words):
    code = (
        "import sys; from recipes.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print('IMPORTED', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "IMPORTED"
