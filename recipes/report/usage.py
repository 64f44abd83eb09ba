"""Lines of Python that load a model of a run and use it, in Keras and as it was exported."""

from recipes.run.names import EXPORTS, MODEL

ONNX_OF_ONE = "outputs = session.run(None, {session.get_inputs()[0].name: inputs})[0]"
ONNX_OF_MORE = "outputs = session.run(None, {i.name: x for i, x in zip(session.get_inputs(), inputs)})[0]"


def of_model(signature, modules):
    """Lines for `model.keras`.

    Args:
        signature: `recipes.recipe.Signature`, or None.
        modules: list of str, what is imported before the model is loaded.

    Returns:
        Text of several lines.
    """
    imports = [f"import {', '.join(['keras', *modules])}"]
    load = f'model = keras.saving.load_model("{MODEL}")'
    if signature is None:
        return "\n".join([*imports, "", load])
    used = [*signature.make, "outputs = model.predict(inputs)", *signature.use]
    return "\n".join([*imports, *_imports(signature), "", load, *used])


def of_exports(signature, formats, directory):
    """What exported models take and give, and lines that load and use them.

    Args:
        signature: `recipes.recipe.Signature`, or None.
        formats: sequence of str, of `recipes.run.names.EXPORTS`.
        directory: path that they are in.

    Returns:
        Text of several lines.
    """
    loaded = "\n\n".join(of_export(signature, name, directory) for name in formats)
    if signature is None:
        return loaded
    made = "\n".join([*_imports(signature), "", *signature.make])
    about = f"Input: {signature.input}.\nOutput: {signature.output}."
    return "\n\n".join([about, made, loaded, "\n".join(signature.use)])


def of_export(signature, name, directory=None):
    """Lines that load an exported model, and make `outputs` of `inputs`.

    Args:
        signature: `recipes.recipe.Signature`, or None.
        name: str, of `recipes.run.names.EXPORTS`.
        directory: path that it is in; None for the working directory.

    Returns:
        Text of several lines.
    """
    path = EXPORTS[name] if directory is None else f"{directory}/{EXPORTS[name]}"
    if name == "saved_model":
        load = f'loaded = tf.saved_model.load("{path}")'  # a name keeps its variables alive
        return f"import tensorflow as tf\n\n{load}\noutputs = loaded.serve(inputs)"
    run = ONNX_OF_ONE if signature is None or signature.count == 1 else ONNX_OF_MORE
    return f'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{path}")\n{run}'


def _imports(signature):
    return ["import numpy as np", *signature.imports]
