from recipes import classification, models
from recipes.classification import Augmented, Blockwise, Regularized
from recipes.machine.processor import slower_by_xla
from recipes.settings import choice, whole

_CLIP = {"learning_rate": 0.4, "block_size": 128, "gradient_regularizer": 0.0}
_LONG = {**_CLIP, "clipping": "none"}
_SHORT = {"learning_rate": 0.1, "epochs": 300, "gradient_regularizer": 0.0, "clipping": "none"}


class Cifar10FullBatch(Augmented, Blockwise, Regularized):
    """ResNet-18 with the whole training set behind every update, regularised as Geiping et al. do.

    On the embedded digits or on CIFAR-10:

        python -m recipes train cifar10_full_batch --preset fb_strong --data digits --width 8 --epochs 30
        python -m recipes train cifar10_full_batch --preset fb_strong --data cifar10

    The presets are the rows of the paper's tables: `sgd` in mini-batches, and in full batches `fb` (300 updates),
    `fb_long` (3,000), `fb_clip`, `fb_reg` and `fb_strong`, each with one remedy more: clipped gradients, a penalty on
    the gradient of each block of images, smaller blocks. docs/full_batch.md has what was measured.

    Reference:
        Geiping et al., Stochastic Training is Not Necessary for Generalization, 2021, arXiv:2109.14119.
    """

    width: int = whole(64, "channels of the first stage", least=8, most=4096, multiple_of=8)
    normalization: str = choice("batch", "over blocks if there are any, or of each image", names=("batch", "group"))
    activation: str = choice("relu", names=("relu", "gelu", "silu", "elu"))

    optimizer = "nesterov:velocity=torch"
    learning_rate = 0.8
    schedule = "cosine:period=4000,warmup=400,start=0"
    epochs = 3000
    clipping = "by_global_norm:0.25"
    weight_decay = 0.0005
    weight_decay_mode = "coupled"
    validation_split = 0.0
    block_size = 32
    gradient_regularizer = 0.5
    presets = {
        "sgd": {
            **_SHORT,
            "schedule": "cosine:warmup=0.0167,start=0",
            "gradient_accumulation_steps": "1",
            "block_size": None,
        },
        "fb": {**_SHORT, "schedule": "cosine:warmup=5,start=0", "block_size": 128},
        "fb_long": _LONG,
        "fb_clip": _CLIP,
        "fb_reg": {"block_size": 128},
        "fb_strong": {},
        "smoke": {"train_images": 300, "epochs": 3},
    }

    drops_remainder = always_in_blocks = True

    @property
    def jit_compile(self):
        return False if slower_by_xla() else "auto"

    def network(self, data):
        return models.resnet18(
            self.shape,
            len(data.classes),
            self.regularizer,
            normalize=classification.statistics(data.train[0]),
            activation=self.activation,
            width=self.width,
            normalization=self.normalization,
        )

    def callbacks(self, data, run):
        from callbacks import RecomputeStatistics

        found = super().callbacks(data, run)
        if self.normalization == "group":
            return found
        x = self.trained_on(data)[0]
        return [*found, RecomputeStatistics(x, min(self.block_size or self.batch_size, len(x)))]
