"""Whatever is imported first: no module needs another one to have been imported before it."""

import ast
import graphlib
import importlib
import pkgutil

import recipes
from tests import warm
from tests.conftest import ROOT

MODULES = [
    module.name
    for module in pkgutil.walk_packages(recipes.__path__, "recipes.")
    if not module.name.endswith(("__main__", "._jax", "._torch"))
]
PACKAGES = [module.name for module in pkgutil.iter_modules(recipes.__path__, "recipes.") if module.ispkg]


def homes():
    """Where each name of a lazy package comes from: `recipes.training.train` from the module of that name."""
    found = {}
    for package in ["recipes", *(name for name in MODULES if hasattr(importlib.import_module(name), "__path__"))]:
        tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text())
        attached = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "submod_attrs"]
        for module, names in (ast.literal_eval(attached[0].value) if attached else {}).items():
            found |= {f"{package}.{name}": f"{package}.{module}" for name in names}
    return found


def path_of(module):
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module, known):
    """The modules that a module imports when it is imported."""
    for node in ast.parse(path_of(module).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "recipes":
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield known.get(whole, whole if whole in MODULES else node.module)


def test_no_module_imports_itself_by_way_of_others():
    known = homes()
    graph = {module: set(imported(module, known)) for module in MODULES}
    assert "recipes.settings.presets" in graph["recipes.recipe"]
    assert "recipes.training.train" in graph["recipes.training.seeds"]
    list(graphlib.TopologicalSorter(graph).static_order())  # a CycleError says which


def of_keras(module):
    """Whether a module imports Keras itself when it is imported, or what imports it."""
    named = [
        name
        for node in ast.parse(path_of(module).read_text()).body
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in getattr(node, "names", ())]
        )
    ]
    return any(str(name).partition(".")[0] in ("keras", "callbacks", "custom_optimizers") for name in named)


def test_what_starts_keras_does_not_import_it_before():
    """`start_keras` decides what is told to the backend before it is loaded, and hides what that logs."""
    known = homes()
    graph = {module: set(imported(module, known)) for module in MODULES}
    starts = [name for name in MODULES if "start_keras(" in path_of(name).read_text()]
    assert "recipes.training.dry_run" in starts
    for module in starts:
        seen, waiting = set(), [module]
        while waiting:
            each = waiting.pop()
            seen.add(each)
            waiting += [other for other in graph.get(each, ()) if other not in seen]
        assert not sorted(filter(of_keras, seen & set(MODULES))), module


ALL = f"""
import importlib, types

for name in {MODULES}:
    importlib.import_module(name)
for name in {PACKAGES}:
    package = importlib.import_module(name)
    for attribute in getattr(package, "__all__", ()):
        found = getattr(package, attribute)
        if isinstance(found, types.ModuleType):  # one without a function or class of its name
            assert not hasattr(found, attribute), (name, attribute)
"""


def test_a_name_of_a_package_is_not_its_module_of_the_same_name(tmp_path):
    assert warm.run(ALL, tmp_path, warm.ENVIRONMENT) is None
