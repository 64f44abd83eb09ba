"""Pages that `make docs` makes: what was measured, from the result files, and the reference, from the packages.

A public name that the reference lacks, since it has no docstring, ends the build; so does a method of its own that has
none.
"""

import importlib
import inspect
import json
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from recipes.run.tables import rows_of

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ("search", "comparison")
REFERENCE = {  # page: title, packages whose names it has
    "custom_optimizers": ("Optimizers", ["custom_optimizers"]),
    "clipping": ("Clippers", ["custom_optimizers.clipping"]),
    "schedules": ("Schedules", ["custom_optimizers.schedules"]),
    "line_search": ("Line searches", ["custom_optimizers.line_search"]),
    "callbacks": ("Callbacks", ["callbacks"]),
    "recipe": ("Recipes", ["recipes.recipe", "recipes.classification"]),
    "settings": ("Settings", ["recipes.settings"]),
    "training": ("Training", ["recipes.training"]),
    "data": ("Data", ["recipes.data"]),
    "layers": ("Layers and networks", ["recipes.layers", "recipes.models"]),
    "tuning": ("Searches", ["recipes.tuning"]),
    "physics": ("Differential equations", ["recipes.physics"]),
    "gan": ("GANs", ["recipes.gan", "recipes.gan.losses", "recipes.gan.penalties", "recipes.gan.metrics"]),
    "report": ("Pages and pictures", ["recipes.report", *(f"recipes.report.pictures.{name}" for name in PICTURES)]),
}
SHOWN = {  # columns of a recipe's table
    "mean": "mean",
    "standard_deviation": "deviation",
    "n": "seeds",
    "data": "data",
    "variant": "variant",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "backend": "backend",
    "train_images": "images",
    "epochs": "epochs",
    "updates": "updates",
}


def on_files(files, config):
    made = {"results.md": results()}
    made |= {f"reference/{name}.md": reference(*of) for name, of in REFERENCE.items()}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_post_build(config):
    of_pages = [(page, name) for page, (_, packages) in REFERENCE.items() for name in names(packages)]
    missing = [name for page, name in of_pages if not _has(config, page, canonical(name))]
    missing += [
        f"{name}.{own}" for _, name in of_pages for own in methods(name) if not inspect.getdoc(method(name, own))
    ]
    if missing:
        raise PluginError(f"no docstring, so not in the reference: {', '.join(missing)}")


def _has(config, page, identifier):
    html = (pathlib.Path(config["site_dir"]) / "reference" / f"{page}.html").read_text()
    return f'id="{identifier}"' in html


def names(packages):
    """Of the classes and functions that are public: `custom_optimizers.BatchGD` and so on."""
    every = [f"{package}.{name}" for package in packages for name in _public(importlib.import_module(package))]
    return [name for name in every if inspect.isclass(thing_of(name)) or inspect.isfunction(thing_of(name))]


def _public(module):
    """What a package exports; of a module, what it defines."""
    if hasattr(module, "__all__"):
        return module.__all__
    mine = {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__}
    return [name for name in mine if not name.startswith("_")]


def canonical(name):
    """Where a name is defined: `custom_optimizers.batch_gd.BatchGD`."""
    return f"{thing_of(name).__module__}.{name.rpartition('.')[2]}"


def thing_of(name):
    package, _, last = name.rpartition(".")
    return getattr(importlib.import_module(package), last)


def method(name, own):
    return inspect.getattr_static(thing_of(name), own)


def methods(name):
    """What a public class has that its base classes have not, such as those of Keras: methods and properties."""
    thing = thing_of(name)
    if not inspect.isclass(thing):
        return []
    of_bases = {own for base in thing.__mro__[1:] for own in vars(base)}
    kinds = (classmethod, staticmethod, property)
    return [
        own
        for own, value in vars(thing).items()
        if own not in of_bases and not own.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    ]


def reference(title, packages):
    parts = [f"# {title}"]
    for package in packages:
        parts.append(inspect.getdoc(importlib.import_module(package)) or "")
        for name in names([package]):
            members = f"\n    options: {{members: [{', '.join(methods(name))}]}}" if methods(name) else ""
            parts.append(f"::: {canonical(name)}{members}")
    return "\n\n".join(parts) + "\n"


def results():
    """Every result file: tables of the recipes, and of the benchmarks what they compare, when and on what."""
    parts = [
        "# Results",
        "What the figures of these pages come from: `benchmarks/results`. Recipes, by `train … --seeds N`:",
    ]
    for path in sorted(RESULTS.glob("*.csv")):
        if not path.with_suffix(".json").exists():
            parts += [f"## {path.stem}", _table(path)]
    parts += [
        "## Benchmarks",
        "\n".join(["| file | what | date | processor, cores |", "|---|---|---|---|", *_benchmarks()]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(path):
    rows = rows_of(path)
    columns = {name: title for name, title in SHOWN.items() if any(row.get(name) for row in rows)}
    lines = [columns.values(), ["---"] * len(columns)]
    lines += [[_short(row.get(name) or "") for name in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(text):
    """A number to four digits; of `muon:size=none,…` the name."""
    return f"{float(text):.4g}" if re.fullmatch(r"-?\d*\.\d+(e-?\d+)?", text) else text.partition(":")[0]


def _benchmarks():
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        machine = found.get("machine", {})
        what = f"{machine.get('processor', '')}, {machine.get('cores', '')}"
        yield f"| `{path.name}` | {_purpose(path.stem)} | {found.get('date', '')} | {what.strip(', ')} |"


def _purpose(name):
    """The first sentence of the benchmark's docstring, of the module with the longest name that begins the file's."""
    modules = [path.stem for path in (ROOT / "benchmarks").glob("*.py") if name.startswith(path.stem)]
    if not modules:
        return ""
    source = (ROOT / "benchmarks" / f"{max(modules, key=len)}.py").read_text()
    return source.split('"""')[1].strip().splitlines()[0].rstrip(".")
