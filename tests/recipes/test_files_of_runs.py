"""The files of a run are named, read and written in `recipes/run` alone."""

import ast
import re

from recipes.run import names
from tests.recipes.test_imports import sources

ENDINGS = ("csv", "db", "h5", "html", "json", "keras", "md", "npz", "onnx", "png")
FILE_NAME = re.compile(rf"[\w-]+\.({'|'.join(ENDINGS)})\b")
OWN = "a recipe's own file, which it writes by `Run.write` and reads by `Run.model`; recipes import no runs"
EXCEPTIONS = {  # file names outside of recipes/run, and why they are not there
    ("recipes/cifar10_gan.py", "best.keras"): OWN,
    ("recipes/cifar10_gan.py", "classifier.keras"): OWN,
    ("recipes/gan/judged.py", "best.keras"): OWN,
    ("recipes/classification/classification.py", "confusion.npz"): "the same, and `recipes.run.read_arrays` reads it",
    ("recipes/physics/equation.py", "fields.npz"): "the same",
    ("recipes/commands/generate.py", "grid.png"): "an example of a file that a user names",
    ("recipes/classification/classification.py", "photo.png"): "an example of a file that a user names",
    ("recipes/data/tfds_images.py", "dataset_info.json"): "of a prepared set of images",
    ("recipes/data/tfds_images.py", "features.json"): "of a prepared set of images",
    ("recipes/data/tfds_images.py", "keras_descent_source.json"): "of a prepared set of images",
    ("recipes/report/model_card.py", "model_card.md"): "the template in this package",
    ("recipes/report/page.py", "page.html"): "the template in this package",
    ("recipes/tuning/hypermodel_work.py", "weights.h5"): "of a trial of a hypermodel, which is no run",
}


def docstrings(tree):
    """The nodes of all docstrings of a module."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(tree) if isinstance(node, owners) and ast.get_docstring(node) is not None]
    return {id(node.body[0].value) for node in found}


def file_names(tree):
    """Names of files in the strings of a module, docstrings aside."""
    aside = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in aside:
            yield from (match[0] for match in FILE_NAME.finditer(node.value))


def test_files_of_runs_are_named_in_one_room():
    found = {
        (path, name) for path, tree in sources() if not path.startswith("recipes/run/") for name in file_names(tree)
    }
    assert found == set(EXCEPTIONS)


def test_a_name_of_a_file_is_found_in_strings_and_not_in_docstrings():
    tree = ast.parse('"""a.json"""\ndef f(x):\n    """b.csv"""\n    return f"{x}/c.npz", "d.keras or .png"')
    assert sorted(file_names(tree)) == ["c.npz", "d.keras"]


def test_each_name_of_a_file_is_said_once():
    said = [value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)]
    said += names.EXPORTS.values()
    assert len(set(said)) == len(said)
    twice = [
        (path, name)
        for path, tree in sources()
        if path.startswith("recipes/run/") and not path.endswith("/names.py")
        for name in file_names(tree)
        if name in said
    ]
    assert twice == []
