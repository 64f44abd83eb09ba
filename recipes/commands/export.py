import importlib.util
import pathlib
import shutil
import tempfile
import warnings

from recipes.commands.keras_session import start_keras
from recipes.errors import CommandError, WorldError

FORMATS = {"saved_model": "saved_model", "onnx": "model.onnx"}  # name: file or directory in the run's own
NEEDS = {"saved_model": ("tensorflow",), "onnx": ("tf2onnx", "onnxruntime")}
TOLERANCE = 1e-4  # largest difference of an output, relative to the largest output


def export(run, formats):
    """Write the model of a finished run as SavedModel and ONNX, and compare what they compute with Keras.

    Args:
        run: `SavedRun`.
        formats: sequence of "saved_model" and "onnx".

    Raises:
        CommandError: an exported model is there already, or a package is missing.
        WorldError: an exported model computes something else.
    """
    for name in formats:
        _check_can(name, run.directory / FORMATS[name])
    start_keras()
    import numpy as np

    model = run.model()
    samples = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:])).astype(model.inputs[0].dtype)
    expected = np.asarray(model(samples))  # also what Keras needs before it exports
    for name in formats:
        with tempfile.TemporaryDirectory(dir=run.directory, prefix=".part-") as part:
            made = pathlib.Path(part, FORMATS[name])
            outputs = _written(name, model, made, samples)
            difference = float(np.abs(outputs - expected).max() / np.abs(expected).max())
            if not difference <= TOLERANCE:
                raise WorldError(f"the {name} model differs from Keras by {difference:.1e}; it was not kept")
            shutil.move(made, run.directory / FORMATS[name])
        print(f"{run.directory / FORMATS[name]}: outputs differ from Keras by {difference:.1e} of the largest")


def _check_can(name, path):
    if path.exists():
        raise CommandError(f"{path} is there already")
    missing = [each for each in NEEDS[name] if importlib.util.find_spec(each) is None]
    if missing:
        raise CommandError(f"exporting to {name} needs {' and '.join(missing)}: pip install keras-descent[export]")


def _written(name, model, path, samples):
    """Write a model, and give what the written one makes of the samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's and tf2onnx's own making
        model.export(path, format="tf_saved_model" if name == "saved_model" else name, verbose=False)
        if name == "saved_model":
            import tensorflow as tf

            loaded = tf.saved_model.load(str(path))
            return loaded.serve(samples).numpy()
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: samples})[0]
