"""The family: every optimizer and clipper, a line each, with what the tests hold it to.

What is exported and not listed here fails `tests/backends/test_family.py`. As a program it writes the golden table, or
trains each for 20 updates on the backend of KERAS_BACKEND and writes the weights:

    python -m tests.family tests/backends/golden.json
    KERAS_BACKEND=jax python -m tests.family weights.npz
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from custom_optimizers import (
    AcceleratedGD,
    Accumulate,
    AggregatedMomentum,
    BatchGD,
    Lookahead,
    Muon,
    NormalizedGD,
    OptimisticGD,
    QuasiHyperbolic,
    SignMomentum,
)
from custom_optimizers.clipping import (
    AGC,
    AdaGC,
    AutoClip,
    ByBlockRMS,
    ByGlobalNorm,
    ByNorm,
    ByValue,
    Centralize,
    Normalize,
    Soft,
    ZClip,
)
from tests import references as of
from tests.small import flat, loss, samples

RATE = 0.1
START = np.array([[1.0, -2.0], [3.0, 4.0], [0.5, 0.1]])  # a Dense kernel (inputs, units)
FIRST = np.array([[0.6, 0.0], [-0.8, 2.4], [0.0, 3.2]])  # its gradient: columns of norm 1 and 4, all of norm 17 ** 0.5
GRADIENTS = [FIRST * scale + shift for scale, shift in ((1, 0), (0.5, 0.1), (-0.3, 0.2), (2, -0.4), (8, 0.3))]


@dataclasses.dataclass(frozen=True)
class Case:
    """An optimizer, or a clipper in one.

    Args:
        cls: the class that is tested.
        arguments: dict, of it.
        change: the change of START by FIRST at RATE, calculated by hand, entry by entry or for all.
        reference: rule of `tests.references`.
        tolerance: relative difference of what training changed, between two ways of the same arithmetic. Continuous
            rules keep 1e-5; rules with a sign, a restart or a percentile run away from each other once rounding puts
            an entry on the other side, and those that make small gradients large do so with their rounding.
        wrong: arguments that are refused, each a dict of one.
        other: dict, values that are no defaults, of arguments that no case of the class gives another one: for what
            saves them.
        wraps: makes the optimizer that is wrapped, of its learning rate and other arguments.
    """

    cls: type
    arguments: dict
    change: object
    reference: Callable
    tolerance: float = 1e-5
    wrong: tuple = ()
    other: dict = dataclasses.field(default_factory=dict)
    wraps: Callable | None = None
    name: str = ""

    @property
    def is_clipper(self):
        return self.cls.__module__.startswith("custom_optimizers.clipping")

    def optimizer(self, rate=RATE, **options):
        if self.is_clipper:
            return BatchGD(rate, momentum=0.9, clipping=self.cls(**self.arguments), **options)
        if self.wraps is not None:  # what is wrapped has the decay
            inner = {name: options.pop(name) for name in ("weight_decay",) if name in options}
            return self.cls(self.wraps(rate, **inner), **self.arguments, **options)
        if self.cls is AcceleratedGD:  # every batch is the full batch, unless the test says otherwise
            options = {"gradient_accumulation_steps": None, **options}
        return self.cls(rate, **self.arguments, **options)

    def __str__(self):
        return self.name or self.cls.__name__


def ball(clip):
    """What `Case.optimizer` has behind a clipper."""
    return of.clipped(clip, of.heavy_ball(0.9))


OPTIMIZERS = [
    Case(BatchGD, {}, -0.1 * FIRST, of.gradient_descent, wrong=({"momentum": 1.5}, {"velocity": "tf"})),
    Case(BatchGD, {"momentum": 0.9}, -0.1 * FIRST, of.heavy_ball(0.9), name="BatchGD-momentum"),
    Case(
        BatchGD,
        {"momentum": 0.9, "nesterov": True},
        -0.19 * FIRST,
        of.heavy_ball(0.9, nesterov=True),
        wrong=({"nesterov": 1},),
        name="BatchGD-nesterov",
    ),
    Case(
        BatchGD,
        {"momentum": 0.9, "nesterov": True, "velocity": "torch"},
        -0.19 * FIRST,
        of.torch_sgd(0.9, nesterov=True),
        name="BatchGD-torch",
    ),
    Case(
        QuasiHyperbolic,
        {"momentum": 0.9, "nu": 0.7},
        -0.1 * (0.3 + 0.7 * 0.1) * FIRST,
        of.qhm(0.9, 0.7),
        other={"nu": 0.5},
        wrong=({"momentum": 1.0}, {"momentum": -0.1}, {"nu": 1.1}, {"nu": "0.5"}),
    ),
    Case(
        AggregatedMomentum,
        {"momenta": [0.0, 0.9, 0.99]},
        -0.1 * FIRST,
        of.aggmo([0.0, 0.9, 0.99]),
        other={"momenta": [0.5]},
        wrong=({"momenta": []}, {"momenta": 0.9}, {"momenta": [0.9, 1.0]}),
    ),
    Case(
        AcceleratedGD,
        {},
        -0.1 * FIRST,
        of.fista,
        tolerance=1e-3,
        wrong=({"gradient_accumulation_steps": 4},),
    ),
    Case(
        NormalizedGD,
        {"momentum": 0.9},
        -0.1 / 17**0.5 * FIRST,
        of.normalized(0.9),
        other={"eps": 1e-3},
        wrong=({"momentum": 1.0}, {"per": "layer"}, {"eps": 0}),
    ),
    Case(
        NormalizedGD,
        {"momentum": 0.0, "per": "variable"},
        -0.1 / 17**0.5 * FIRST,
        of.normalized(0.0),
        name="NormalizedGD-variable",
    ),
    Case(
        SignMomentum,
        {"momentum": 0.9},
        -0.1 * np.array([[1, 0], [-1, 1], [0, 1]]),
        of.signum(0.9),
        other={"momentum": 0.5},
        tolerance=0.05,
        wrong=({"momentum": 1.0},),
    ),
    Case(
        OptimisticGD,
        {"momentum": -0.3},
        -0.1 * FIRST,
        of.optimistic(-0.3),
        other={"optimism": 0.5},
        wrong=({"momentum": -1.0}, {"momentum": 1}, {"optimism": -0.1}),
    ),
    Case(
        Muon,
        {},
        None,  # an iteration of matrices is not calculated by hand
        of.orthogonal_momentum(0.95),
        tolerance=2e-3,  # products of matrices in float32, five times over
        other={
            **{"momentum": 0.9, "nesterov": False, "ns_steps": 3, "size": "none", "others": "momentum"},
            **{"exclude": ["head"], "beta_1": 0.8, "beta_2": 0.99, "eps": 1e-6, "ns_dtype": "bfloat16"},
        },
        wrong=(
            {"momentum": 1.0},
            {"nesterov": 1},
            {"ns_steps": 0},
            {"ns_dtype": "float16"},
            {"size": 0.2},
            {"others": "sgd"},
            {"exclude": "head"},
        )
        + ({"beta_1": 1.0}, {"beta_2": -0.1}, {"eps": 0.0}),
    ),
    Case(
        Accumulate,
        {},
        -0.1 * np.sign(FIRST),
        of.adam,
        tolerance=1e-3,  # entries whose gradient is rounding alone move by the rate, either way
        wraps=keras.optimizers.Adam,
        wrong=({"weight_decay": 0.1}, {"learning_rate": 0.1}),
    ),
    Case(
        Lookahead,
        {"sync_period": 2, "slow_step_size": 0.5},
        -0.1 * FIRST,
        of.lookahead(of.heavy_ball(0.9), 2, 0.5),
        other={"slow_step_size": 0.25},
        wraps=lambda rate, **options: BatchGD(rate, momentum=0.9, **options),
        wrong=({"sync_period": 0}, {"sync_period": 2.0}, {"slow_step_size": 0}, {"slow_step_size": 1.5}),
    ),
]
CLIPPERS = [
    Case(ByValue, {"limit": 1.0}, -0.1 * np.clip(FIRST, -1, 1), ball(of.by_value(1.0)), wrong=({"limit": 0},)),
    Case(ByNorm, {"limit": 2.0}, -0.2 / 17**0.5 * FIRST, ball(of.by_norm(2.0)), wrong=({"limit": -1},)),
    Case(ByGlobalNorm, {"limit": 2.0}, -0.2 / 17**0.5 * FIRST, ball(of.by_norm(2.0)), wrong=({"limit": None},)),
    Case(
        ByBlockRMS,
        {"limit": 0.5},
        -0.05 / (17 / 6) ** 0.5 * FIRST,
        ball(of.by_block_rms(0.5)),
        wrong=({"limit": "1"},),
    ),
    Case(
        AGC,
        {"limit": 0.2},
        -0.1 * FIRST * np.array([0.2 * 10.25**0.5, 0.2 * 20.01**0.5 / 4]),
        ball(of.agc(0.2)),
        other={"eps": 0.01, "exclude": ["head"]},
        wrong=({"limit": 0}, {"eps": 0}, {"exclude": "head"}, {"exclude": ["("]}),
    ),
    Case(
        AutoClip,
        {"percentile": 30},
        -0.1 * FIRST,
        ball(of.auto_clip(30)),
        other={"window": 5},
        tolerance=1e-4,
        wrong=({"percentile": 101}, {"percentile": -1}, {"window": 0}, {"window": 2.5}),
    ),
    Case(
        ZClip,
        {"threshold": 1.0, "decay": 0.9, "warmup": 3},
        -0.1 * FIRST,
        ball(of.z_clip(1.0, 0.9, 3)),
        other={"eps": 0.01},
        tolerance=1e-4,
        wrong=({"threshold": 0}, {"decay": 1.0}, {"warmup": 0}, {"eps": -1e-6}),
    ),
    Case(
        AdaGC,
        {"warmup": 2},
        -0.1 / 17**0.5 * FIRST,
        ball(of.ada_gc(1.0, 1.05, 0.98, 2)),
        other={"absolute": 2.0, "relative": 1.5, "decay": 0.5},
        wrong=({"absolute": 0}, {"relative": -1}, {"decay": 1}, {"warmup": 1.5}),
    ),
    Case(
        Normalize,
        {},
        -0.1 / 17**0.5 * FIRST,
        ball(of.normalize),
        other={"eps": 0.01},
        tolerance=1e-3,
        wrong=({"per": "layer"}, {"eps": 0}),
    ),
    Case(
        Normalize,
        {"per": "variable"},
        -0.1 / 17**0.5 * FIRST,
        ball(of.normalize),
        tolerance=1e-3,
        name="Normalize-variable",
    ),
    Case(Soft, {"limit": 2.0}, -0.1 / (1 + 17**0.5 / 2) * FIRST, ball(of.soft(2.0)), wrong=({"limit": float("inf")},)),
    Case(Centralize, {}, -0.1 * (FIRST - np.array([-0.2 / 3, 5.6 / 3])), ball(of.centralize)),
]
FAMILY = OPTIMIZERS + CLIPPERS


def model_of(case, rate=0.02, **options):
    """A small network, with weights that are the same on every backend, compiled with a case's optimizer.

    It has no convolutions, which take XLA seconds to compile; those of Muon, AGC and Centralize have their own tests.
    """
    dense = [layers.Flatten(), layers.Dense(5, activation="tanh"), layers.Dense(4)]
    model, rng = keras.Sequential([keras.Input((8, 8, 1)), *dense]), np.random.default_rng(3)
    shapes = [w.shape for w in model.get_weights()]
    scale = [np.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.3 for shape in shapes]
    model.set_weights([rng.normal(scale=s, size=shape) for s, shape in zip(scale, shapes, strict=True)])
    model.compile(optimizer=case.optimizer(rate, **options), loss=loss())
    return model


def at_once(model, updates, n=50, seed=0):
    """Make some updates of a model, each on all samples at once, as `fit` does without compiling anything."""
    model.run_eagerly = True
    for _ in range(updates):
        model.train_on_batch(*samples(n, seed))
    model.optimizer.finalize_variable_values(model.trainable_variables)


def after_20_updates():
    """What compiled updates change of the weights, by name of the case; enough for rounding of them not to show."""
    return {str(case): trained(case, 20, rate=0.05) for case in FAMILY}


def trained(case, updates, **arguments):
    """What some updates of `fit` change of the weights, each on all samples at once."""
    model = model_of(case, **arguments)
    before = flat(model)
    model.fit(*samples(50), batch_size=50, epochs=updates, shuffle=False, verbose=0)
    return flat(model) - before


def path_of(optimizer, gradients, compiled=lambda function: function):
    """The values of START after each of several updates, `(updates, 3, 2)`.

    Args:
        optimizer: that makes an update of each gradient.
        gradients: arrays of the shape of START.
        compiled: makes a function of tensors another one that does the same.
    """
    w = keras.Variable(START.astype("float32"), name="kernel")
    optimizer.build([w])
    update = compiled(lambda gradient: optimizer.apply([gradient], [w]))
    path = []
    for gradient in gradients:
        update(ops.array(gradient, "float32"))
        path.append(ops.convert_to_numpy(w))
    return np.stack(path)


def golden():
    """The values of START after each of GRADIENTS, by the formulas of `tests.references`."""
    return {str(case): [w.tolist() for w in of.descend(case.reference)(START, GRADIENTS, RATE)] for case in FAMILY}


if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    if path.suffix == ".json":
        path.write_text(json.dumps(golden(), indent=0) + "\n")
    else:
        np.savez(path, **after_20_updates())
