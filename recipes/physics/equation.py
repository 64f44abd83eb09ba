import abc

from recipes import data as sets
from recipes import optimization, physics
from recipes.machine import dtypes, strategies
from recipes.recipe import Recipe, Signature
from recipes.settings import (
    choice,
    clipping,
    line_search,
    number,
    optimizer,
    passes_per_epoch,
    schedule,
    whole,
)
from recipes.settings import optimizers as names
from recipes.settings.declare import check_method
from recipes.settings.quantities import counted

ACTIVATIONS = ("tanh", "sin", "silu")
PRESETS = {  # of each equation
    "broyden": {},
    "lbfgs": {"optimizer": "switch:adam,then=lbfgs,after=500"},
    "adam": {"optimizer": "accumulate:adam"},
    "smoke": {
        "optimizer": "switch:adam,then=self_scaled_broyden,after=10",
        "points": 200,
        "epochs": 3,
        "passes_per_epoch": 10,
    },
}


class Equation(Recipe, is_base=True):
    """What recipes of differential equations share: a network is trained until its residual is zero.

    A recipe has the domain, the equation, and a reference solution. Initial and boundary values are built in: whatever
    the network gives, `solution` has them.

    ```python
    class Poisson(Equation):
        \"\"\"u'' = -sin(x), zero at both ends.\"\"\"

        domain = {"x": (0.0, math.pi)}                   # the name of a coordinate is one letter
        orders = {"x": 2}                                # the highest derivatives by each that the equation has
        grid = (200,)                                    # where the solution is held against the reference

        def solution(self, network, x):
            return x * (math.pi - x) * network           # of `Series` in training, of tensors in the model that is kept

        def residual(self, u, x):
            return u.d("xx") + physics.sin(x.value)      # of derivatives, which are tensors

        def reference(self, x):
            return np.sin(x)                             # of arrays
    ```

    Derivatives are those of Taylor arithmetic, `recipes.physics.Series`, on each backend. All is computed in float64.
    """

    optimizer: str = optimizer("switch:adam,then=self_scaled_broyden,after=500")
    line_search: str = line_search()
    learning_rate: float = number(0.001, "highest learning rate", above=0, below=1e38, changes="schedule")
    schedule: str = schedule("constant")
    momentum: float = number(None, "for optimizers that have it; 0.9 for batch_gd and sgd", of_optimizer=True)
    clipping: str = clipping("none")
    width: int = whole(20, "units of each hidden layer", most=8192)
    depth: int = whole(3, "hidden layers", most=64)
    activation: str = choice("tanh", "of hidden layers", names=ACTIVATIONS)
    points: int = whole(2000, "points at which the equation has to hold", changes="data", is_searched=False)
    batch_size: int = whole(2000, "points in memory at once, the micro-batch of a full batch", changes="data")
    epochs: int = whole(
        100, "epochs, each of as many passes over the points as passes_per_epoch says", is_searched=False
    )
    passes_per_epoch: int = passes_per_epoch(100)

    score = "error"
    objectives = {"val_loss": "min"}
    dtypes = ("float64",)

    def __init_subclass__(cls, is_base=False, **options):
        super().__init_subclass__(is_base=is_base, **options)
        if not is_base:
            _check(cls)

    @property
    @abc.abstractmethod
    def domain(self):
        """The coordinates, a dict from their names to pairs of the numbers between which they lie."""

    @property
    @abc.abstractmethod
    def orders(self):
        """The highest order of derivatives by each coordinate, a dict."""

    @property
    @abc.abstractmethod
    def grid(self):
        """How many values of each coordinate make the grid on which it is judged, a tuple."""

    @abc.abstractmethod
    def solution(self, network, *coordinates):
        """The solution of what the network gives, with initial and boundary values built in.

        Args:
            network: what it gives, a `recipes.physics.Series` or a tensor.
            coordinates: the same.
        """

    @abc.abstractmethod
    def residual(self, u, *coordinates):
        """What is zero where the equation holds, a tensor `(n, 1)`.

        Args:
            u: the solution, a `recipes.physics.Series`.
            coordinates: the same.
        """

    @abc.abstractmethod
    def reference(self, *coordinates):
        """The solution to many more digits than a network has, an array.

        Args:
            coordinates: arrays that have the shape of a grid together.
        """

    def check(self):
        names.check_momentum(self.optimizer, self.momentum)

    @property
    def steps(self):
        return names.accumulated_steps(self.optimizer, "auto")

    def load(self, data_dir=None, download=False):
        """The points: float64, spread over the domain as `placed` says, others for each seed."""
        return physics.Points.halton(self.name(), self.domain, self.points, self.seed, self.placed)

    def placed(self, *coordinates):
        """Where points lie that are spread evenly over the domain: as they are, or denser where a solution is steep.

        Args:
            coordinates: arrays `(n,)`.

        Returns:
            A sequence of as many arrays.
        """
        return coordinates

    def network(self):
        """The network that is trained, a `keras.Sequential` of `keras.layers.Dense`."""
        import keras

        activation = keras.ops.sin if self.activation == "sin" else self.activation
        layers = [keras.layers.Dense(self.width, activation, dtype="float64") for _ in range(self.depth)]
        inputs = keras.Input((len(self.domain),), dtype="float64")
        return keras.Sequential([inputs, *layers, keras.layers.Dense(1, dtype="float64")], name="network")

    def model(self, data):
        """The residual of the equation, compiled to become zero."""
        import keras

        keras.utils.set_random_seed(self.seed)
        is_alone = keras.backend.backend() == "tensorflow" and strategies.replicas() == 1  # XLA knows no other device
        jit = {"jit_compile": True} if is_alone else {}
        with dtypes.floatx("float64"):  # to which Keras rounds the losses that it adds up
            model = physics.Residual(self.network(), self)
            model.compile(self.make_optimizer(data), physics.SumOfSquares(self._together(data)), **jit)
        return model

    def make_optimizer(self, data):
        """What the model is compiled with."""
        optimizer = names.with_line_search(self.optimizer, self.line_search)
        return optimization.make_optimizer(
            optimizer,
            learning_rate=optimization.make_schedule(self.schedule, self.learning_rate, self.updates(data)),
            momentum=names.default_momentum(optimizer) if self.momentum is None else self.momentum,
            clipping=self.clipping,
        )

    def _together(self, data):
        """How many points an update goes by."""
        return data.train_size if self.steps == "epoch" else min(self.batch_size, data.train_size)

    def batches(self, data):
        import numpy as np

        zeros = np.zeros((data.train_size, 1))
        if self.steps == "epoch":
            return sets.full_batches(data.train, zeros, self.batch_size, reduction="sum")
        # a smaller last batch would have a smaller sum
        return sets.ShuffledBatches(data.train, zeros, self._together(data), self.seed, drop_remainder=True)

    def updates(self, data):
        if self.steps == "epoch":
            return super().updates(data)
        return self.epochs * (data.train_size // self._together(data))

    def validation(self, data):
        """Other points, whose loss is a mean, too: Keras takes the mean of the batches, each of which is a sum."""
        import numpy as np

        n = len(data.validation)
        steps = -(-n // min(self.batch_size, n))
        weight = np.full(n, steps * self._together(data) / n)
        zeros = np.zeros((n, 1))
        return {"x": sets.full_batches(data.validation, zeros, self.batch_size, sample_weight=weight, reduction="sum")}

    def validate(self, model, data):
        return {"val_loss": float((physics.residuals(self, model, data.validation) ** 2).mean())}

    def coordinates(self, points):
        """The columns of points `(n, coordinates)`, a list of `recipes.physics.Series`."""
        columns = [points[:, i : i + 1] for i in range(len(self.domain))]
        named = zip(columns, self.domain, strict=True)
        return [physics.Series.coordinate(column, name, self.orders) for column, name in named]

    def residual_of(self, network, points):
        """The residual of a network at points, a tensor `(n, 1)`."""
        coordinates = self.coordinates(points)
        return self.residual(self.solution(physics.through(network, coordinates), *coordinates), *coordinates)

    def solution_of(self, network, points):
        """The solution of a network at points, a tensor `(n, 1)`."""
        coordinates = [points[:, i : i + 1] for i in range(len(self.domain))]
        plain = [physics.Series(each, {}) for each in coordinates]
        return self.solution(physics.through(network, plain), *plain).value

    def trained(self, model, run):
        """The solution as a model of Keras's own layers and operations, from points to values."""
        import keras

        inputs = keras.Input((len(self.domain),), dtype="float64", name="points")
        columns = [inputs[:, i : i + 1] for i in range(len(self.domain))]
        return keras.Model(inputs, self.solution(model.network(inputs), *columns), name="solution")

    def judge(self, model, data, run):
        """How far the solution is from the reference on the grid.

        Returns:
            A dict: `error` (of the L2 norm, relative to that of the reference), `largest_error`, `residual` (the
            root of its mean square on the grid), `grid_points`.
        """
        found = physics.judged(self, model)
        run.write_arrays("fields.npz", **found.fields)
        return found.figures

    def signature(self, classes):
        ends = ", ".join(f"{name} in {low:g} to {high:g}" for name, (low, high) in self.domain.items())
        middle = ", ".join(str((low + high) / 2) for low, high in self.domain.values())
        make, use = (f"inputs = np.array([[{middle}]])",), ("print(outputs)",)
        return Signature(f"points, float64 (n, {len(self.domain)}): {ends}", "u, float64 (n, 1)", make=make, use=use)

    def summary(self, result):
        return (
            f"Relative L2 error {result['error']:.2g} on {result['grid_points']:,} points, largest error "
            f"{result['largest_error']:.2g}, residual {result['residual']:.2g}, "
            f"after {counted(result['updates'], 'update')}."
        )


def _check(cls):
    """Raise a TypeError for a domain, orders, a grid or methods that do not go together."""
    if not all(len(name) == 1 for name in cls.domain):
        raise TypeError(f"{cls.__name__}: coordinates have names of one letter, as in u.d('xx'); {list(cls.domain)}")
    if cls.orders.keys() != cls.domain.keys() or len(cls.grid) != len(cls.domain):
        raise TypeError(f"{cls.__name__}: `orders` and `grid` must have an entry for each of {', '.join(cls.domain)}")
    for name, first in {"solution": ["network"], "residual": ["u"], "reference": [], "placed": []}.items():
        check_method(cls, name, ["self", *first, *cls.domain])
