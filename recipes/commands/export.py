import contextlib
import importlib.util
import logging
import os
import warnings

from recipes import run as runs
from recipes.commands.parser import add_command, add_saved_run
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import backend_name, start_keras
from recipes.run.names import EXPORTS

NEEDS = {"saved_model": ("tensorflow",), "onnx": ("tensorflow", "tf2onnx", "onnxruntime")}
TOLERANCE = 1e-4  # largest allowed difference of an output, relative to the largest output


def add(commands, name):
    """Add the parser of `export`."""
    parser = add_command(commands, name, _export, "write a finished run's model as SavedModel and ONNX")
    add_saved_run(parser)
    parser.add_argument(
        "--format", metavar="FORMAT", choices=(*EXPORTS, "all"), default="all", help="saved_model, onnx, all"
    )


def _export(asked):
    # TensorFlow writes both formats, and loads models of any backend. The module of a recipe may import Keras.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    export(runs.SavedRun(asked.run_dir, "export"), list(EXPORTS) if asked.format == "all" else [asked.format])


def export(run, formats):
    """Write the model of a finished run as SavedModel and ONNX, in float32, and compare their outputs with Keras.

    A model that was trained in bfloat16 or float16 has float32 weights. Few runtimes compute in bfloat16 or float16.

    Args:
        run: `recipes.run.SavedRun`.
        formats: sequence of "saved_model" and "onnx".

    Raises:
        CommandError: an exported model is there already, or a package is missing.
        WorldError: the outputs of an exported model differ.
    """
    model_hash = run.model_hash()
    for name in formats:
        _check_is_new(name, run.directory, model_hash)
        _check_is_installed(name)
    start_keras(float64=run.recipe.needs_float64)
    if backend_name() != "tensorflow":
        raise WorldError(f"export writes with TensorFlow, and Keras has been imported on {backend_name()} here")
    import numpy as np

    model = _in_float32(run.model())
    samples = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:])).astype(model.inputs[0].dtype)
    expected = np.asarray(model(samples))  # Keras needs this call before it exports, too
    for name in formats:
        with runs.new_export(run.directory, name, model_hash) as path:
            outputs = _written(name, model, path, samples)
            difference = float(np.abs(outputs - expected).max() / np.abs(expected).max())
            if not difference <= TOLERANCE:
                raise WorldError(f"the {name} model differs from Keras by {difference:.1e}; it was not kept")
        path = runs.export_path(run.directory, name)
        print(f"{path}: outputs differ from Keras by {difference:.1e} of the largest")


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


def _check_is_new(name, directory, model_hash):
    """Raise a CommandError if the model was exported before, or another model of the run was."""
    path = runs.export_path(directory, name)
    if path.exists():
        same = runs.is_export_of(directory, name, model_hash)
        raise CommandError(f"{path} is there already" + ("" if same else ", of another model; remove it first"))


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
