from recipes.classification.classification import Classification
from recipes.errors import CommandError
from recipes.settings import choice, number, whole
from recipes.settings.beside_search import has_search
from recipes.settings.fields import option_of
from recipes.settings.nearest import nearest_multiple

METHODS = ("differences", "hessian")


class Blockwise(Classification, is_base=True):
    """A classifier that may take its gradients block by block: a penalty on each, or weights moved along each.

    Blocks are made of images in a random order that stays: sets that come class by class would give blocks of one
    class, whose statistics tell the class.

    Reference:
        Geiping et al., Stochastic Training is Not Necessary for Generalization, 2021, arXiv:2109.14119.
    """

    block_size: int = whole(None, "images that are normalised and regularised together; batches are multiples")
    remainder: str = choice(
        "drop",
        "images behind the last whole block: left out, or a block of their own",
        names=("drop", "smaller"),
        changes="data",
    )
    gradient_regularizer: float = number(0.0, "strength of a penalty on each block's gradient", least=0, below=1e38)
    gradient_regularizer_method: str = choice(
        "differences", "differences of gradients, or products with the hessian", names=METHODS
    )
    sharpness_aware: float = number(
        0.0, "how far weights are moved to where each block's gradient is taken", least=0, below=1e38
    )

    always_in_blocks = False  # whether images are in the order of blocks though there is no `block_size`

    def check(self):
        super().check()
        size = self.block_size
        if size is not None and (nearest := nearest_multiple(self.batch_size, size)) != self.batch_size:
            raise CommandError(
                f"--batch-size must be a multiple of --block-size {size}, such as {nearest}; it is {self.batch_size}"
            )
        self._check_remainder()
        self._check_search()
        if self.gradient_regularizer and self.sharpness_aware:
            raise CommandError("--gradient-regularizer and --sharpness-aware: give one of them")
        if self.gradient_regularizer_method != METHODS[0] and not self.gradient_regularizer:
            raise CommandError(
                "--gradient-regularizer-method is without effect: give --gradient-regularizer, such as 0.5"
            )

    def _check_remainder(self):
        if self.remainder == "drop":
            return
        if self.block_size is None:
            raise CommandError("--remainder is without effect: give --block-size, such as 32")
        if self.steps != "epoch":
            raise CommandError("--remainder smaller is of full batches, in which it is the same at each update")

    def _check_search(self):
        """Raise a CommandError where a line search would go by a loss that the gradient is not that of."""
        changed = next((name for name in ("gradient_regularizer", "sharpness_aware") if getattr(self, name)), None)
        if changed is not None and has_search(self):
            raise CommandError(
                f"{option_of(changed)} {getattr(self, changed):g}: the gradient is not that of the loss, by which the "
                f"line search of {self.optimizer} goes; give {option_of(changed)} 0"
            )

    def callbacks(self, data, run):
        from callbacks import BlockGradient, GradientRegularizer, SharpnessAware

        size, found = self.block_size, super().callbacks(data, run)
        if self.gradient_regularizer:
            method = self.gradient_regularizer_method
            return [GradientRegularizer(self.gradient_regularizer, method, block_size=size), *found]
        if self.sharpness_aware:
            return [SharpnessAware(self.sharpness_aware, size), *found]
        return found if size is None else [BlockGradient(size), *found]

    def trained_on(self, data):
        import numpy as np

        x, y = data.train
        if self.block_size is None and not self.always_in_blocks:
            return x, y
        rows = np.random.default_rng([self.seed, 2]).permutation(len(x))[: self.count(data)]
        return x[rows], y[rows]

    def count(self, data):
        n, size = len(data.train[0]), self.block_size
        return n if size is None or self.remainder == "smaller" or n < size else n // size * size
