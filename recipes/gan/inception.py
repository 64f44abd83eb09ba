import hashlib
import pathlib

import numpy as np

from recipes.errors import CommandError, WorldError, one_line
from recipes.gan.metrics import frechet_distance, kernel_distance

SIDE, AT_ONCE = 299, 50  # pixels, images
FEWEST = 10_000  # images; with fewer, the distance depends more on their number than on what they show
PIXELS, POOLED = "ExpandDims", "pool_3"  # nodes of the graph of 2015: images of 0 to 255, and their features
HARMLESS = frozenset(  # operations that neither read nor write files
    ("AvgPool", "BatchNormWithGlobalNormalization", "BiasAdd", "CheckNumerics", "Concat", "ConcatV2", "Const")
    + ("Conv2D", "FusedBatchNorm", "FusedBatchNormV3", "Identity", "MaxPool", "Mul", "Relu", "ResizeBilinear", "Sub")
)


class Inception:
    """Features of an InceptionV3, from which FID and KID are computed. The user has the file of its weights.

    | file | network | name of the distances |
    |---|---|---|
    | `.pb` | the graph of 2015, `classify_image_graph_def.pb` | FID, KID |
    | `.h5` | `keras.applications.InceptionV3` without top | of Keras's Inception: no FID |

    The graph of 2015 enlarges images to 299 x 299, bilinearly without antialiasing; its 2,048 features are those of
    the layer `pool_3`. Keras has other weights; for them `keras.ops.image.resize` enlarges the images.

    Args:
        path: of the file. A graph is refused if one of its operations could read or write files.

    Raises:
        CommandError: the file has neither of these endings.
        WorldError: there is no such file, it cannot be read, or it holds another network.

    References:
        Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
        arXiv:1706.08500.
        Bińkowski et al., Demystifying MMD GANs, 2018, arXiv:1801.01401.
    """

    def __init__(self, path):
        path = pathlib.Path(path)
        if not path.is_file():
            raise WorldError(f"--inception {path}: there is no such file")
        kinds = {".pb": (_graph, True), ".h5": (_keras, False)}
        if path.suffix not in kinds:
            raise CommandError(
                f"--inception {path}: give the graph of 2015 (.pb), or Keras's weights without top (.h5)"
            )
        load, self.is_standard = kinds[path.suffix]
        try:
            self._features = load(path)
        except (WorldError, MemoryError):
            raise
        except Exception as error:  # TensorFlow and h5py raise many kinds for a damaged file
            raise WorldError(f"--inception {path} is no such network, or damaged: {one_line(error)}") from error
        self._hash = hashlib.sha256(path.read_bytes()).hexdigest()[:12]

    def features(self, images):
        """Features of uint8 images `(n, height, width, 1 or 3)`: a float32 array `(n, 2048)`."""
        import keras

        progress = keras.utils.Progbar(len(images), unit_name="image")
        found = []
        for start in range(0, len(images), AT_ONCE):
            part = images[start : start + AT_ONCE].astype("float32")
            found.append(self._features(np.broadcast_to(part, (*part.shape[:3], 3))))
            progress.add(len(part))
        return np.concatenate(found).reshape(len(images), -1)

    def distances(self, gan, images, generated):
        """The distances of generated images from the training images, and how they were computed: a dict.

        Args:
            gan: object with the method `generate` of `recipes.gan.GAN`.
            images: `recipes.data.Images`.
            generated: int, how many images are generated; each class in turn if there are classes.
        """
        reference, made = (self.features(each) for each in (images.train[0], gan.generate(generated)))
        kernel, deviation = kernel_distance(reference, made)
        names = ("fid", "kid", "kid_deviation")
        names = (
            names if self.is_standard else [f"keras_inception_{name}" for name in ("frechet", "kernel", "deviation")]
        )
        values = (frechet_distance(reference, made), kernel, deviation)
        return {**dict(zip(names, values, strict=True)), "protocol": self._protocol(len(reference), len(made))}

    def _protocol(self, reference, made):
        network = "InceptionV3 of 2015, pool_3" if self.is_standard else "InceptionV3 of Keras, which makes it no FID"
        network += f" (SHA-256 {self._hash}...)"
        few = f"; fewer than {FEWEST} images of a kind make it too high" if min(reference, made) < FEWEST else ""
        return (
            f"{reference} training images and {made} generated ones, 8 bits a channel, enlarged to {SIDE} x {SIDE} "
            f"bilinearly without antialiasing, {network}; kernel distance of blocks of 1000{few}"
        )


def _graph(path):
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    needed = _needed({node.name: node for node in definition.node}, path)
    del definition.node[:]
    definition.node.extend(needed)
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, (None, None, None, 3))
        (pooled,) = tf.import_graph_def(definition, {f"{PIXELS}:0": pixels}, [f"{POOLED}:0"], name="")
    session = tf.compat.v1.Session(graph=graph)
    return lambda images: session.run(pooled, {pixels: images})


def _needed(nodes, path):
    """The nodes between pixels and features, if none of them can do harm."""
    if POOLED not in nodes or PIXELS not in nodes:
        raise WorldError(f"--inception {path}: its graph has no {PIXELS} and {POOLED}, which that of 2015 has")
    found, waiting = {}, [POOLED]
    while waiting:
        name = waiting.pop()
        if name in found or name == PIXELS:
            continue
        found[name] = nodes[name]
        if nodes[name].op not in HARMLESS:
            raise WorldError(f"--inception {path}: its graph has {nodes[name].op}, which that of 2015 has not")
        waiting += [each.lstrip("^").split(":")[0] for each in nodes[name].input]
    return list(found.values())


def _keras(path):
    import keras

    model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg")
    model.load_weights(path)

    def features(images):
        large = keras.ops.image.resize(images, (SIDE, SIDE), "bilinear")
        return keras.ops.convert_to_numpy(model(large / 127.5 - 1, training=False))

    return features
