import contextlib
import importlib.util
import json
import logging
import os
import pathlib
import warnings

from recipes import run as runs
from recipes.commands import pages
from recipes.commands.parser import add_command, add_saved_run
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import backend_name, start_keras
from recipes.report import usage
from recipes.run.names import EXPORTS, SIGNATURE

NEEDS = {"saved_model": ("tensorflow",), "onnx": ("tensorflow", "tf2onnx", "onnxruntime")}
TOLERANCE = 1e-4  # largest allowed difference of an output, relative to the largest output
SAMPLES = 8  # inputs that the outputs are compared for


def add(commands, name):
    """Add the parser of `export`."""
    parser = add_command(
        commands, name, _export, "write a finished run's model as SavedModel and ONNX, as far as they are missing"
    )
    add_saved_run(parser)
    parser.add_argument(
        "--format", metavar="FORMAT", choices=(*EXPORTS, "all"), default="all", help="saved_model, onnx, all"
    )
    parser.add_argument("--force", action="store_true", help="write anew what is there already")


def _export(asked):
    # TensorFlow writes both formats, and loads models of any backend. The module of a recipe may import Keras.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    run = runs.SavedRun(asked.run_dir, "export")
    formats = list(EXPORTS) if asked.format == "all" else [asked.format]
    missing = formats if asked.force else _missing(run, formats)
    if missing:
        export(run, missing)
        pages.write_card(run.directory, is_kept=False)
    print("\n" + usage.of_exports(run.recipe.signature(run.data.get("classes", [])), formats, run.directory))


def _missing(run, formats):
    """The formats that the model of a run was not exported to yet.

    Raises:
        CommandError: another model of the run was exported: it has gone on since.
    """
    model_hash, missing = run.model_hash(), []
    for name in formats:
        path = runs.export_path(run.directory, name)
        if not path.exists():
            missing.append(name)
        elif runs.is_export_of(run.directory, name, model_hash):
            print(f"{path} is there already.")
        else:
            raise CommandError(f"{path} is there already, of another model; --force writes it anew")
    return missing


def export(run, formats):
    """Write the model of a finished run as SavedModel and ONNX, in float32, and compare their outputs with Keras.

    A model that was trained in bfloat16 or float16 has float32 weights. Few runtimes compute in bfloat16 or float16.
    Both formats say what they take and give: ONNX in its metadata, a SavedModel in `assets.extra/signature.json`.

    Args:
        run: `recipes.run.SavedRun`.
        formats: sequence of "saved_model" and "onnx"; what is there of them is replaced.

    Raises:
        CommandError: a package is missing.
        WorldError: the outputs of an exported model differ.
    """
    model_hash = run.model_hash()
    for name in formats:
        _check_is_installed(name)
    start_keras(float64=run.recipe.needs_float64)
    if backend_name() != "tensorflow":
        raise WorldError(f"export writes with TensorFlow, and Keras has been imported on {backend_name()} here")
    import numpy as np

    model = _in_float32(run.recipe.served(run.model()))
    if not getattr(model, "inputs", None):
        raise WorldError(f"the model of {run.directory} does not say what it takes: make it of keras.Input")
    samples = [_samples(each) for each in model.inputs]
    expected = np.asarray(model(_as_one(samples)))  # Keras needs this call before it exports, too
    about = _about(run)
    for name in formats:
        with runs.new_export(run.directory, name, model_hash) as path:
            outputs = _written(name, model, path, samples)
            difference = float(np.abs(outputs - expected).max() / np.abs(expected).max())
            if not difference <= TOLERANCE:
                raise WorldError(f"the {name} model differs from Keras by {difference:.1e}; it was not kept")
            _sign(name, path, about)
        path = runs.export_path(run.directory, name)
        print(f"{path}: outputs differ from Keras by {difference:.1e} of the largest")


def _samples(tensor):
    """Numbers that an input may take: of images 0 to 255, of other whole numbers 0 and 1, of all else around 0."""
    import numpy as np

    rng, shape = np.random.default_rng(0), (SAMPLES, *tensor.shape[1:])
    if len(shape) == 4 or "int" in tensor.dtype:
        return rng.integers(0, 256 if len(shape) == 4 else 2, shape).astype(tensor.dtype)
    return rng.normal(size=shape).astype(tensor.dtype)


def _as_one(arrays):
    return arrays if len(arrays) > 1 else arrays[0]


def _about(run):
    """What the model takes and gives, a dict of JSON."""
    classes = run.data.get("classes", [])
    signature = run.recipe.signature(classes)
    about = {"recipe": run.recipe.name(), "labels": classes}
    return about if signature is None else {"input": signature.input, "output": signature.output, **about}


def _sign(name, path, about):
    """Write into an exported model what it takes and gives."""
    if name == "saved_model":
        place = pathlib.Path(path, SIGNATURE)
        place.parent.mkdir()
        place.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(
        model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
    )
    onnx.save(model, path)


def _in_float32(model):
    """The same model, whose layers compute in float32."""
    import keras

    if all(layer.compute_dtype in ("float32", "float64") for layer in model.layers):
        return model
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    )
    copy.set_weights(model.get_weights())
    return copy


def _check_is_installed(name):
    """Raise a CommandError unless all packages that the format needs are installed."""
    missing = [each for each in NEEDS[name] if importlib.util.find_spec(each) is None]
    if missing:
        raise CommandError(f"exporting to {name} needs {' and '.join(missing)}: pip install keras-descent[export]")


def _written(name, model, path, samples):
    """Write a model in another format, and return the outputs of the written model for the samples."""
    with warnings.catch_warnings(), _no_logging():
        warnings.simplefilter("ignore")  # TensorFlow and tf2onnx warn of their own code
        model.export(path, format="tf_saved_model" if name == "saved_model" else name, verbose=False)
        if name == "saved_model":
            import tensorflow as tf

            loaded = tf.saved_model.load(str(path))
            return loaded.serve(_as_one(samples)).numpy()
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        named = zip(session.get_inputs(), samples, strict=True)
        return session.run(None, {each.name: array for each, array in named})[0]


@contextlib.contextmanager
def _no_logging():
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
