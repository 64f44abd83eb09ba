"""The devices that a training uses, by name: `--strategy`.

| name | TensorFlow | JAX | torch |
|---|---|---|---|
| cpu | the processor; beside GPUs OneDeviceStrategy | the processor | the processor |
| gpu | OneDeviceStrategy | the first GPU | the first GPU |
| mirrored | MirroredStrategy on all GPUs | keras.distribution.DataParallel | - |
| mirrored:N | the same on N of them, or on N parts of the processor where there is no GPU | the same | - |
| tpu | TPUStrategy | DataParallel | - |
| auto | all TPUs, or all GPUs, or the processor | all devices of all processes | the GPU, or the processor |

Several hosts: on JAX, the same command on each, with KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROCESSES
and KERAS_DISTRIBUTION_PROCESS_ID set.
"""

import contextlib
import json
import os
import typing

from recipes.errors import CommandError, WorldError, one_line
from recipes.settings.nearest import unknown

STRATEGIES = ("auto", "cpu", "gpu", "mirrored", "mirrored:N", "tpu")
MANY = (
    "`fit` of Keras 3 fails under MultiWorkerMirroredStrategy. Several hosts train on JAX: on each, set "
    "KERAS_BACKEND=jax, KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST:PORT of the first, KERAS_DISTRIBUTION_NUM_PROCESSES and "
    "KERAS_DISTRIBUTION_PROCESS_ID, and give --strategy auto"
)


class Strategy(typing.NamedTuple):
    """What a name stands for on this machine.

    `name` is one of cpu, gpu, mirrored, tpu; `devices` are the names of those that train; `scope()` is the context to
    build and train models in.
    """

    name: str
    devices: tuple
    scope: typing.Callable = contextlib.nullcontext


def parse_strategy(text):
    """`"mirrored:2"` as `("mirrored", 2)`, `"cpu"` as `("cpu", None)`.

    Raises:
        CommandError: there is no such strategy.
    """
    name, colon, count = text.partition(":")
    if name.replace("-", "").replace("_", "").lower().startswith("multiworker"):
        raise CommandError(f"--strategy {text}: {MANY}")
    if name not in STRATEGIES:
        raise CommandError(f"--strategy: {unknown('strategy', name, STRATEGIES)}")
    if not colon:
        return name, None
    if name != "mirrored" or not (count.isascii() and count.isdigit()) or not 2 <= int(count) <= 1024:
        raise CommandError(f"--strategy {text}: only mirrored takes a number of devices, 2 to 1024: mirrored:2")
    return name, int(count)


def check_hosts():
    """Raise a WorldError if this process is to be one of several and cannot be."""
    backend = os.environ["KERAS_BACKEND"]
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        workers = sum(len(cluster.get(role, ())) for role in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError) as error:
        raise WorldError(f"TF_CONFIG is not what TensorFlow takes: {one_line(error)}") from error
    if os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID") not in (None, "", "0") and not is_one_of_several():
        raise WorldError(
            "KERAS_DISTRIBUTION_PROCESS_ID is set, but neither KERAS_DISTRIBUTION_JOB_ADDRESSES nor "
            "KERAS_DISTRIBUTION_NUM_PROCESSES: set all three, or none"
        )
    if workers > 1 or (is_one_of_several() and backend != "jax"):
        raise WorldError(MANY)


def is_one_of_several():
    """Whether the environment says that this process is one of several that train together."""
    count = os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES")
    return count != "1" and bool(count or os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES"))


def resolve(text):
    """The `Strategy` that a name stands for here. Keras has been started, and no device used.

    Raises:
        CommandError: there is no such strategy.
        WorldError: the machine or the backend has no such devices; the message lists what there is.
    """
    import keras

    name, count = parse_strategy(text)
    here = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}[keras.backend.backend()]
    return here(name, count)


def replicas():
    """Number of devices that share a batch, those of other processes too, in the scope that is open."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def shares_of_a_loss():
    """Among how many devices Keras shares out the mean of a loss, in the scope that is open: TensorFlow's alone."""
    import keras

    return replicas() if keras.backend.backend() == "tensorflow" else 1


def process():
    """`(number of this process, how many there are)` in the scope that is open."""
    import keras

    distribution = keras.distribution.distribution()
    return (0, 1) if distribution is None else (distribution.data_shard_id, distribution.num_processes)


def _on_tensorflow(name, count):
    import tensorflow as tf

    def names(kind):
        return tuple(device.name.removeprefix("/device:") for device in tf.config.list_logical_devices(kind))

    if count and not tf.config.list_physical_devices("GPU"):
        _split_processor(count)
    if name == "auto" and os.environ.get("TPU_NAME"):
        name = "tpu"
    if name == "tpu":
        return _tpu_on_tensorflow()
    gpus, cpus = names("GPU"), names("CPU")
    if name == "auto" and len(gpus) < 2:  # as without tf.distribute, under which Keras does not compile by XLA
        return Strategy("gpu", gpus) if gpus else Strategy("cpu", cpus[:1])
    if name in ("auto", "mirrored"):
        name, chosen = "mirrored", _chosen(gpus or cpus, count)
        return Strategy(_full(name, count), chosen, lambda: tf.distribute.MirroredStrategy(list(chosen)).scope())
    if name == "cpu" and not gpus:  # there alone, and a strategy's iterators crash in a process under load (2.21)
        return Strategy("cpu", cpus[:1])
    device = cpus[0] if name == "cpu" else _first_gpu(gpus, cpus)
    return Strategy(name, (device,), lambda: tf.distribute.OneDeviceStrategy(device).scope())


def _split_processor(count):
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or ()) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise WorldError(f"--strategy mirrored:{count}: the processor is in use and cannot be split") from error


def _tpu_on_tensorflow():
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # whatever the absence of a TPU leads to
        there = _listed([device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()])
        raise WorldError(f"--strategy tpu: TensorFlow reaches no TPU; it has {there}") from error
    devices = tuple(device.name for device in tf.config.list_logical_devices("TPU"))
    return Strategy("tpu", devices, strategy.scope)


def _on_jax(name, count):
    import jax
    import keras

    def names(kind):
        try:
            return tuple(keras.distribution.list_devices(kind))
        except RuntimeError:  # JAX's answer where there are none
            return ()

    gpus, cpus, tpus = names("gpu"), names("cpu"), names("tpu")
    several = jax.process_count() > 1
    if name == "auto":
        found = keras.distribution.list_devices()  # the fastest kind
        name = "tpu" if tpus else "mirrored" if len(found) > 1 and (gpus or several) else "gpu" if gpus else "cpu"
    if several and name in ("cpu", "gpu"):
        raise WorldError(f"--strategy {name} trains on one device; {jax.process_count()} processes take auto")
    if name in ("mirrored", "tpu"):
        if name == "tpu" and not tpus:
            raise WorldError(f"--strategy tpu: JAX has {_listed(gpus or cpus)}")
        chosen = _chosen(tpus or gpus or cpus, count, enough=1 if name == "tpu" else 2)
        if several and len(chosen) < jax.device_count():
            raise WorldError(f"--strategy {name}:{count}: several processes train on all of their devices")
        return Strategy(_full(name, count), chosen, lambda: _data_parallel(chosen).scope())
    device = cpus[0] if name == "cpu" else _first_gpu(gpus, cpus)
    return Strategy(name, (device,), lambda: keras.device(device))


def _data_parallel(devices):
    import keras

    return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)


def _on_torch(name, count):
    import keras
    import torch

    gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if name in ("mirrored", "tpu"):
        raise WorldError(
            f"--strategy {_full(name, count)}: recipes train on one device with torch, and it has "
            f"{_listed(gpus or ('cpu',))}; for several: KERAS_BACKEND=jax or tensorflow"
        )
    if name == "auto":
        name = "gpu" if gpus else "cpu"
    device = "cpu" if name == "cpu" else _first_gpu(gpus, ("cpu",))
    return Strategy(name, (device,), lambda: keras.device(device))


def _chosen(devices, count, enough=2):
    """`count` of the devices, or all."""
    if len(devices) < (count or enough):
        raise WorldError(
            f"--strategy mirrored{f':{count}' if count else ''}: there is {_listed(devices)}"
            + ("" if count else "; mirrored:N splits a processor into N parts, to try it out")
        )
    return devices[: count or len(devices)]


def _full(name, count):
    return f"{name}:{count}" if count else name


def _first_gpu(gpus, cpus):
    if not gpus:
        raise WorldError(f"--strategy gpu: there is no GPU, only {_listed(cpus)}")
    return gpus[0]


def _listed(devices):
    return ", ".join(devices)
