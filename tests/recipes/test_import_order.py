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
    if not module.name.endswith(("__main__", "._jax"))
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


def imported(module, known):
    """The modules that a module imports when it is imported."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text()).body:
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
