"""The model card of a run: a Markdown file that begins with metadata for model hubs."""

import json
import pathlib

import jinja2

from recipes import run as runs
from recipes import training
from recipes.errors import WorldError
from recipes.machine.backend import start_keras
from recipes.report import usage, words
from recipes.report.repeat import training_command

PACKAGES = ("custom_optimizers", "recipes.layers")  # importing one registers all of its classes
TEMPLATE = pathlib.Path(__file__).parent / "model_card.md.jinja"
OF_IMAGES = {"part": "test images", "others": "images of another kind"}
OF_SAMPLES = {"part": "samples", "others": "other samples"}


def write_model_card(directory):
    """Write the model card of a run that is done, also if training diverged.

    Args:
        directory: path of the run.

    Returns:
        The path of the card.

    Raises:
        WorldError: there is no such run, one of its files is damaged, or the card cannot be written.
    """
    start_keras(touch=False)  # `write_file` imports Keras
    found = runs.read_directory(directory)
    if found.kind != "run" or not found.is_done:
        raise WorldError(f"{found.directory} holds no run that is done")
    with runs.may_be_damaged(found.directory):
        text = model_card(found)
    path = found.directory / runs.names.MODEL_CARD
    runs.write_file(path, lambda part: part.write_text(text, encoding="utf-8", errors="replace"))
    return path


def model_card(found):
    """The card as text.

    Args:
        found: `recipes.run.Directory` of a run that is done.
    """
    start, data = found.starts[-1] if found.starts else {}, found.config["trained_on"]
    signature = found.recipe.signature(data.get("classes", []))
    return _template().render(
        head={name: json.dumps(value) for name, value in _head(found).items()},  # JSON is valid YAML
        title=words.title_of(found),
        outcome=words.outcome_of(found),
        has_model=found.result["outcome"] != training.DIVERGED,
        signature=signature,
        use=usage.of_model(signature, _modules(found.directory)),
        exports=[usage.of_export(signature, name) for name in _exported(found.directory)],
        repeat=training_command(found),
        machine=words.value(start.get("machine", {})),
        versions=words.value(start.get("versions", {})),
        data=_in_words(data),
        results=_in_words({name: value for name, value in found.result.items() if name != "of"}),
        **(OF_IMAGES if "test" in data else OF_SAMPLES),
    )


def _exported(directory):
    """The formats that the model was exported to, a list."""
    if not (directory / runs.names.MODEL).exists():
        return []
    model_hash = runs.model_hash(directory)
    return [name for name in runs.names.EXPORTS if runs.is_export_of(directory, name, model_hash)]


def _modules(directory):
    """The modules to import before the model is loaded; those of a package that imports all of its own as one."""
    shown = {}
    for name in runs.modules_of(directory / runs.names.MODEL):
        whole = next((package for package in PACKAGES if name.startswith(f"{package}.")), name)
        shown[whole] = None
    return list(shown)


def _template():
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _head(found):
    """The metadata for model hubs, a dict."""
    variant = [found.recipe.variant] if found.recipe.variants else []
    tags = ["keras-descent", found.recipe.name(), *variant]
    return {"library_name": "keras", "tags": tags, "datasets": [found.config["trained_on"]["name"]]}


def _in_words(values):
    return {name: words.value(value) for name, value in values.items()}
