import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import pathlib
import shutil
import tempfile
import warnings

from recipes import run as runs
from recipes.commands.parser import add_command, add_saved_run
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras
from recipes.machine.leaving import cleaned_up

FORMATS = {"saved_model": "saved_model", "onnx": "model.onnx"}  # name: file or directory in the run's own
RECORD = "exported.json"  # SHA-256 of the model.keras that each was made from
NEEDS = {"saved_model": ("tensorflow",), "onnx": ("tensorflow", "tf2onnx", "onnxruntime")}
TOLERANCE = 1e-4  # largest difference of an output, relative to the largest output


def add(commands, name):
    """Add the parser of `export`."""
    parser = add_command(commands, name, _export, "write a finished run's model as SavedModel and ONNX")
    add_saved_run(parser)
    parser.add_argument(
        "--format", metavar="FORMAT", choices=(*FORMATS, "all"), default="all", help="saved_model, onnx, all"
    )


def _export(asked):
    export(runs.SavedRun(asked.run_dir, "export"), list(FORMATS) if asked.format == "all" else [asked.format])


def export(run, formats):
    """Write the model of a finished run as SavedModel and ONNX, in float32, and compare what they compute with Keras.

    A model that was trained in bfloat16 or float16 has float32 weights; few runtimes compute its layers in less.

    Args:
        run: `recipes.run.SavedRun`.
        formats: sequence of "saved_model" and "onnx".

    Raises:
        CommandError: an exported model is there already, or a package is missing.
        WorldError: an exported model computes something else.
    """
    with open(run.directory / "model.keras", "rb") as file:
        of = hashlib.file_digest(file, "sha256").hexdigest()
    for name in formats:
        _check_can(name, run.directory, of)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # which writes both formats; a model is of no backend
    start_keras(float64=run.recipe.needs_float64)
    import numpy as np

    model = _in_float32(run.model())
    samples = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:])).astype(model.inputs[0].dtype)
    expected = np.asarray(model(samples))  # also what Keras needs before it exports
    for name in formats:
        part = tempfile.mkdtemp(dir=run.directory, prefix=".part-")
        with cleaned_up(lambda part=part: shutil.rmtree(part, ignore_errors=True)):
            made = pathlib.Path(part, FORMATS[name])
            outputs = _written(name, model, made, samples)
            difference = float(np.abs(outputs - expected).max() / np.abs(expected).max())
            if not difference <= TOLERANCE:
                raise WorldError(f"the {name} model differs from Keras by {difference:.1e}; it was not kept")
            shutil.move(made, run.directory / FORMATS[name])
        _record(run.directory, name, of)
        print(f"{run.directory / FORMATS[name]}: outputs differ from Keras by {difference:.1e} of the largest")


def _in_float32(model):
    """The same model with layers that compute in float32."""
    import keras

    if all(layer.compute_dtype in ("float32", "float64") for layer in model.layers):
        return model
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    )
    copy.set_weights(model.get_weights())
    return copy


def _check_can(name, directory, of):
    path = directory / FORMATS[name]
    if path.exists():
        same = (runs.read_json(directory / RECORD) or {}).get(name) == of
        raise CommandError(f"{path} is there already" + ("" if same else ", of another model; remove it first"))
    missing = [each for each in NEEDS[name] if importlib.util.find_spec(each) is None]
    if missing:
        raise CommandError(f"exporting to {name} needs {' and '.join(missing)}: pip install keras-descent[export]")


def _record(directory, name, of):
    """Write down which model was exported: a run that goes on has another one later."""
    exported = {**(runs.read_json(directory / RECORD) or {}), name: of}
    runs.write_file(directory / RECORD, lambda part: part.write_text(json.dumps(exported, indent=2) + "\n"))


def _written(name, model, path, samples):
    """Write a model, and give what the written one makes of the samples."""
    with warnings.catch_warnings(), _no_logging():
        warnings.simplefilter("ignore")  # of TensorFlow's and tf2onnx's own making
        model.export(path, format="tf_saved_model" if name == "saved_model" else name, verbose=False)
        if name == "saved_model":
            import tensorflow as tf

            loaded = tf.saved_model.load(str(path))
            return loaded.serve(samples).numpy()
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: samples})[0]


@contextlib.contextmanager
def _no_logging():
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
