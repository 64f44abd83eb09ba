from recipes import classification, models
from recipes.classification import Augmented, Blockwise, Regularized
from recipes.machine.processor import slower_by_xla
from recipes.settings import choice

WHITENED = 5000  # training images, at most, that the whitening is of


class Cifar10Fast(Augmented, Blockwise, Regularized):
    """The networks of the speed runs on CIFAR-10, trained in mini-batches of changed images.

    airbench94's network, by Muon:

        python -m recipes train cifar10_fast --data cifar10

    reached 90.9 % ± 0.2 % on the 10,000 test images of a JPEG copy of CIFAR-10 (3 seeds, six views of each image) after
    6.3 minutes of training on two CPU cores with AMX. That of the DAWNBench runs, by SGD with Nesterov momentum:

        python -m recipes train cifar10_fast --data cifar10 --variant resnet9

    All figures are in benchmarks/results/cifar10_cnn.csv, where these were variants of cifar10_cnn.

    Reference:
        Jordan, 94 % on CIFAR-10 in 3.29 seconds on a single GPU, 2024, arXiv:2404.00498.
    """

    variants = {"fast": "fast", "resnet9": "resnet9"}
    variant: str = choice("fast", "network", names=variants)
    activation: str = choice("relu", names=("relu", "gelu", "silu", "elu"))

    drops_remainder = True
    default_dtype = "auto"
    presets = {
        "fast": {
            "optimizer": "muon:size=none,others=momentum,ns_steps=3,ns_dtype=bfloat16,exclude=head/",
            "gradient_accumulation_steps": "1",
            "learning_rate": 0.24,
            "schedule": "linear",
            "momentum": 0.6,
            "clipping": "none",
            "weight_decay": 0.05,
            "exclude_from_weight_decay": "beta$|head/",
            "learning_rate_multipliers": "beta$=250,head/=5",
            "label_smoothing": 0.2,
            "flip": "alternating",
            "translate": 2,
            "batch_size": 500,
            "epochs": 12,
            "validation_split": 0.0,
            "test_time_augmentation": "flip_shift",
        },
        "resnet9": {
            "optimizer": "nesterov",
            "gradient_accumulation_steps": "1",
            "learning_rate": 0.4,
            "schedule": "linear:warmup=0.2,start=0",
            "clipping": "none",
            "weight_decay": 0.0005,
            "weight_decay_mode": "coupled",
            "flip": "random",
            "translate": 4,
            "cutout": 8,
            "batch_size": 500,
            "epochs": 24,
            "validation_split": 0.0,
            "test_time_augmentation": "flip",
        },
        "smoke": {"train_images": 300, "epochs": 3},
    }

    @property
    def jit_compile(self):
        return False if slower_by_xla() else "auto"

    def network(self, data):
        x, normalize = data.train[0], classification.statistics(data.train[0])
        options = {"normalize": normalize, "activation": self.activation}
        if self.variant == "resnet9":
            return models.resnet9(self.shape, len(data.classes), self.regularizer, **options)
        network = models.fast(self.shape, len(data.classes), self.regularizer, **options)
        mean, deviation = normalize
        some = x[:: -(-len(x) // WHITENED)]  # of all classes: folders are read one after the other
        network.get_layer("whitening").adapt((some - mean) / deviation)
        return network
