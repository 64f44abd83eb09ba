from recipes import models
from recipes.classification import Augmented, Blockwise, Regularized
from recipes.settings import choice


class Cifar10CNN(Augmented, Blockwise, Regularized):
    """A small convolutional network for 32×32 images, trained with the whole training set behind every update.

    On the embedded digits (8×8 scans enlarged to 32×32, not CIFAR-10):

        python -m recipes train cifar10_cnn --data digits

    It reached 99.1 % ± 0.4 % on the 360 test images (mean and standard deviation of 5 seeds, 150 updates, 56 s of
    training on two CPU cores). The learning rate rises over the first tenth of the updates to --learning-rate (from ten
    updates on) and falls to 0 along a cosine.

    In fewer passes over the images, by steps of Muon that get shorter along a line:

        python -m recipes train cifar10_cnn --preset muon --data digits

    had 95 % of the validation images after 19 passes (median of 5 seeds, 16 to 26), and 97.5 % ± 0.3 % of the test
    images after its 30 (benchmarks/results/full_batch_digits.json).

    The network and settings of the articles, one convolution and SGD in batches of 32 with a decay at every update:

        python -m recipes train cifar10_cnn --data cifar10 --variant basic
        python -m recipes train cifar10_cnn --data cifar10 --variant basic --schedule constant

    reached 51.2 % ± 2.3 % on the 10,000 test images of a JPEG copy of CIFAR-10 in 10 epochs, and 57.2 % ± 0.3 % without
    the decay (3 seeds): by the end of the first epoch it has divided the rate by 15. All figures are in
    benchmarks/results/cifar10_cnn.csv.
    """

    variants = {"groupnorm": "full_batch", "basic": "article"}
    moved = {
        **dict.fromkeys(("fast", "resnet9"), "cifar10_fast"),
        **dict.fromkeys(("sgd", "fb", "fb_long", "fb_clip", "fb_reg", "fb_strong"), "cifar10_full_batch"),
    }
    variant: str = choice("groupnorm", "network", names=variants, moved={**moved, "full_batch": "cifar10_full_batch"})

    presets = {
        "full_batch": {},
        "article": {
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "schedule": "inverse_time:0.01",
            "clipping": "none",
            "batch_size": 32,
            "epochs": 10,
        },
        "muon": {
            "optimizer": "muon",
            "momentum": 0.8,
            "learning_rate": 0.05,
            "schedule": "linear",
            "epochs": 30,
        },
        "smoke": {"train_images": 300, "epochs": 3},
    }

    def network(self, data):
        make = models.groupnorm if self.variant == "groupnorm" else models.basic
        return make(self.shape, len(data.classes), self.regularizer)
