"""Models, losses, data and lists of callbacks with which micro-batches have to give what all samples at once give.

Each is held to Keras's SGD with all samples in one batch, or to a closed form in NumPy, or has to be refused.
"""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import BlockGradient, FullBatch, GradientMonitor, SharpnessAware
from custom_optimizers import Accumulate, BatchGD
from tests.small import flat, relative

BACKEND = keras.backend.backend()
N, BATCH, RATE, MOMENTUM, EPOCHS = 20, 8, 0.1, 0.9, 3  # batches of 8, 8 and 4
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 3)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
LABELS = RNG.integers(3, size=N)
STEPS = RNG.normal(size=(N, 5, 3)).astype("float32")  # (samples, steps, features)
LABELS_OF_STEPS = RNG.integers(3, size=(N, 5))
TOKENS = np.sort(RNG.integers(9, size=(N, 5)), axis=0)  # sorted, so that no micro-batch has all of them
BYTES = RNG.integers(256, size=(N, 6, 6, 3)).astype("uint8")
WEIGHTS, WEIGHTS_OF_STEPS = (RNG.uniform(0.2, 3, size).astype("float32") for size in (N, (N, 5)))
FIT = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
EAGERLY = BACKEND != "jax"  # where nothing is asked of compiled code; JAX would compile each operation by itself


def error(ours, whole, start):
    """The relative difference of what training has changed."""
    return relative(flat(ours) - start, flat(whole) - start)


# Models and losses


def dense(*more, **options):
    return keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh", **options), *more, layers.Dense(2)])


def two_heads():
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, "tanh")(inputs)
    return keras.Model(inputs, {"z": layers.Dense(2)(hidden), "a": layers.Dense(3, "softmax")(hidden)})


class UsedTwice(keras.Model):
    """Keras learns its shapes by a call."""

    def __init__(self):
        super().__init__()
        self.first, self.shared, self.last = layers.Dense(4, "tanh"), layers.Dense(4, "tanh"), layers.Dense(2)

    def call(self, x):
        return self.last(self.shared(self.shared(self.first(x))))


class Tied(keras.Model):
    """Its outputs are products with the table that its inputs are looked up in."""

    def __init__(self):
        super().__init__()
        self.table, self.hidden = layers.Embedding(9, 3), layers.Dense(3, "tanh")

    def call(self, tokens):
        return self.hidden(ops.mean(self.table(tokens), axis=1)) @ ops.transpose(self.table.embeddings)


def of_tokens(table):
    """Classes of sequences of tokens, which a layer makes vectors."""
    return keras.Sequential([*table, layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")])


def embedding():
    return of_tokens([keras.Input((5,), dtype="int32"), layers.Embedding(9, 3, embeddings_initializer="ones")])


def recurrent():
    lstm = layers.LSTM(3, return_sequences=True)
    return keras.Sequential([keras.Input((5, 3)), layers.Bidirectional(lstm), layers.GRU(3), layers.Dense(2)])


def attention():
    inputs = keras.Input((5, 3))
    hidden = layers.Dense(4)(inputs)
    hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(2, 2)(hidden, hidden))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden)))


def of_bytes():
    convolutions = [layers.Conv2D(4, 3, activation="relu"), layers.GroupNormalization(2), layers.DepthwiseConv2D(3)]
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    return keras.Sequential(
        [inputs, layers.Rescaling(1 / 255), *convolutions, layers.Flatten(), layers.Dense(3, "softmax")]
    )


def rematerialised():
    with keras.RematScope(mode="full"):
        return dense(layers.Dense(4, "tanh"))


def frozen():
    model = dense(layers.Dense(4, "tanh"))
    model.layers[1].trainable = False
    return model


def constrained():
    model = dense(kernel_regularizer="l2", bias_regularizer="l1")
    model.layers[-1].kernel.constraint = keras.constraints.MaxNorm(1.0)
    return model


def of_steps():
    return keras.Sequential([keras.Input((5, 3)), layers.Dense(4, "tanh"), layers.Dense(3, "softmax")])


@dataclasses.dataclass
class Use:
    """What a model is trained on, and how."""

    network: object
    x: object
    y: object
    loss: object
    data: dict = dataclasses.field(default_factory=dict)  # weights of samples or classes
    options: dict = dataclasses.field(default_factory=dict)  # of `compile`
    optimizer: dict = dataclasses.field(default_factory=dict)
    is_compiled: bool = False
    is_built: bool = True  # before `fit`


CLASSES = "sparse_categorical_crossentropy"
HEADS = {"z": Y, "a": LABELS}
OF_HEADS = {"loss_weights": {"z": 0.3, "a": 2.0}, "metrics": {"a": ["accuracy"]}}


def classes_of_steps(reduction):
    return keras.losses.SparseCategoricalCrossentropy(reduction=reduction)


USES = {
    "weights of outputs and of their samples": Use(
        two_heads,
        X,
        HEADS,
        {"z": "mse", "a": CLASSES},
        {"sample_weight": {"z": WEIGHTS, "a": WEIGHTS[::-1].copy()}},
        OF_HEADS,
        is_compiled=True,
    ),
    "a layer used twice": Use(UsedTwice, X, Y, "mae"),
    "built by its first step": Use(UsedTwice, X, Y, "mse", is_compiled=True, is_built=False),
    "a tied table": Use(Tied, TOKENS, TOKENS[:, 0], keras.losses.SparseCategoricalCrossentropy(True), is_compiled=True),
    "a table": Use(embedding, TOKENS, LABELS, CLASSES, is_compiled=True),
    "a table with weight decay": Use(
        embedding, TOKENS, LABELS, CLASSES, optimizer={"weight_decay": 0.1}, is_compiled=True
    ),
    "recurrent": Use(recurrent, STEPS, Y, "mse"),
    "attention": Use(attention, STEPS, Y, "huber"),
    "convolutions of bytes": Use(of_bytes, BYTES, LABELS, CLASSES),
    "computed twice for less memory": Use(rematerialised, X, Y, "mse"),
    "a frozen layer": Use(frozen, X, Y, "mse"),
    "regularisers, a constraint and class weights": Use(
        constrained,
        X,
        LABELS % 2,
        keras.losses.SparseCategoricalCrossentropy(True),
        {"class_weight": {0: 3.0, 1: 0.2}},
        is_compiled=True,
    ),
    **{
        f"weights of steps under {reduction}": Use(
            of_steps,
            STEPS,
            LABELS_OF_STEPS,
            classes_of_steps(reduction),
            {"sample_weight": WEIGHTS_OF_STEPS},
            optimizer={"learning_rate": 0.001} if reduction == "sum" else {},
        )
        for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "sum")
    },
}


if BACKEND != "torch":  # which Keras lets make one
    USES["three steps in one call"] = Use(dense, X, Y, "mse", options={"steps_per_execution": 3}, is_compiled=True)


def made(network, x=None):
    """A model with the same weights at each call, built if some inputs are given."""
    keras.utils.set_random_seed(1)
    model = network()
    if x is not None and not model.built:
        model(x[:1])
    return model


# each of these is compiled for seconds
SLOW = ("recurrent", "weights of outputs and of their samples", "computed twice for less memory")
SLOW += ("attention", "convolutions of bytes", "a tied table", "a layer used twice") * (BACKEND == "jax")
SLOW *= BACKEND != "torch"


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in USES])
def test_micro_batches_are_the_whole(name):
    use = USES[name]
    options = {"learning_rate": RATE, "momentum": MOMENTUM, **use.optimizer}
    start = flat(made(use.network, use.x))
    ours, whole = made(use.network, use.x if use.is_built else None), made(use.network, use.x)
    ours.compile(BatchGD(**options), use.loss, run_eagerly=EAGERLY and not use.is_compiled, **use.options)
    ours.fit(use.x, use.y, epochs=EPOCHS, callbacks=[FullBatch()], **FIT, **use.data)
    whole.compile(
        keras.optimizers.SGD(**options), use.loss, run_eagerly=EAGERLY, **{**use.options, "steps_per_execution": 1}
    )
    for _ in range(EPOCHS):
        whole.train_on_batch(use.x, use.y, **use.data)
    assert error(ours, whole, start) < 1e-5
    assert int(ours.optimizer.iterations) == EPOCHS


ONE_HOT = np.eye(9, dtype="float32")[TOKENS]


def product():
    """`embedding` as a product with what is 1 at a token, which has no sparse gradient."""
    table = layers.Dense(3, use_bias=False, kernel_initializer="ones")
    return of_tokens([keras.Input((5, 9)), table])


CLIPPED = [(clipper, BATCH, False) for clipper in ("global_clipnorm", "clipnorm", "clipvalue")]


@pytest.mark.parametrize(
    ("clipper", "batch_size", "monitored"),
    [*CLIPPED, ("global_clipnorm", N, False), ("global_clipnorm", N, True)],
)
def test_the_gradient_of_a_table_is_clipped_as_a_whole(clipper, batch_size, monitored):
    """On TensorFlow it is sparse, and Keras clips a row that occurs twice as if it were two."""
    bound = {clipper: 0.002 if clipper == "clipvalue" else 0.01}
    ours, whole = made(embedding), made(product)
    start = flat(ours)
    whole.layers[-1].set_weights(ours.layers[-1].get_weights())
    ours.compile(BatchGD(RATE, MOMENTUM, **bound), CLASSES, run_eagerly=EAGERLY)
    callbacks = [FullBatch()] * (batch_size < N) + [GradientMonitor()] * monitored
    ours.fit(TOKENS, LABELS, epochs=EPOCHS, callbacks=callbacks, **{**FIT, "batch_size": batch_size})
    whole.compile(keras.optimizers.SGD(RATE, MOMENTUM, **bound), CLASSES, run_eagerly=EAGERLY)
    for _ in range(EPOCHS):
        whole.train_on_batch(ONE_HOT, LABELS)
    assert error(ours, whole, start) < 1e-5


# Branches: micro-batches that reach other variables each

DECAY, LAST = 0.2, 2  # the last head is never used


class Heads(keras.Model):
    """A body and three heads, of which each batch has one."""

    def __init__(self):
        super().__init__()
        self.body, self.heads = layers.Dense(3, "tanh"), [layers.Dense(1) for _ in range(3)]

    def build(self, shape):
        self.body.build((None, 2))
        for head in self.heads:
            head.build((None, 3))

    def call(self, x):
        return self.heads[self.head_of(x)](self.body(x[:, :2]))


class ByData(Heads):
    def head_of(self, x):
        try:
            return int(x[0, 2])
        except (TypeError, RuntimeError):  # nothing but shapes is asked for
            return 0


class BySize(Heads):
    """Of a size that is not known before the step runs, it is the second head too."""

    def head_of(self, x):
        return 0 if x.shape[0] == BATCH else 1


def gradient_of(weights, rows, head):
    """The gradient of the mean square in float64, by variables; None for those that it does not reach."""
    w, b, v, c = (weights[i] for i in (0, 1, 2 + 2 * head, 3 + 2 * head))
    x, y = X[rows, :2].astype("float64"), Y[rows, :1]
    hidden = np.tanh(x @ w + b)
    of_out = 2 * (hidden @ v + c - y) / len(x)
    of_inside = of_out @ v.T * (1 - hidden**2)
    found = [x.T @ of_inside, of_inside.sum(0)] + [None] * 6
    found[2 + 2 * head], found[3 + 2 * head] = hidden.T @ of_out, of_out.sum(0)
    return found


def by_formula(weights, updates):
    """Weights after updates, each of a list of `(share, rows, head)`, with velocity and decay.

    A variable without any gradient stays as it is. JAX does not know of any: there it is a gradient of zero.
    """
    velocities = [np.zeros(w.shape) for w in weights]
    for parts in updates:
        gradients = [(share, gradient_of(weights, rows, head)) for share, rows, head in parts]
        weights = list(weights)
        for i, velocity in enumerate(velocities):
            found = [share * gradient[i] for share, gradient in gradients if gradient[i] is not None]
            if found or BACKEND == "jax":
                velocities[i] = MOMENTUM * velocity - RATE * sum(found)
                weights[i] = weights[i] * (1 - RATE * DECAY) + velocities[i]
    return weights


def check_heads(model, before, updates):
    """By variables: the error of one that hardly moves is not to be lost among others."""
    after, wanted = model.get_weights(), by_formula([w.astype("float64") for w in before], updates)
    for variable, a, w, b in zip(model.trainable_variables, after, wanted, before, strict=True):
        assert np.linalg.norm(a - w) <= 1e-5 * np.linalg.norm(w - b), variable.path
    if BACKEND != "jax":
        assert [np.array_equal(a, b) for a, b in zip(after, before, strict=True)] == [False] * 6 + [True] * 2


def heads(cls):
    keras.utils.set_random_seed(2)
    model = cls()
    model.build((None, 3))
    for head in model.heads:
        head.bias.assign([0.5])  # which decay would change
    return model, BatchGD(RATE, MOMENTUM, weight_decay=DECAY)


def some_without_gradient():
    """Keras says once a step which variables have none, where that can be seen."""
    missing = pytest.warns(UserWarning, match="Gradients do not exist")
    return contextlib.nullcontext() if BACKEND == "jax" else missing


@pytest.mark.parametrize("order", [(0, 0, 1), (1, 0, 0), (0, 1, 0)])
def test_branches_by_data(order):
    """Two passes, in which the last micro-batch does not reach all variables that the others have reached."""
    model, optimizer = heads(ByData)
    rows = [np.arange(N)[start : start + BATCH] for start in range(0, N, BATCH)]
    x = np.c_[X[:, :2], np.repeat(order, [len(each) for each in rows])].astype("float32")
    before = model.get_weights()
    model.compile(optimizer, "mse", run_eagerly=True)
    with some_without_gradient():
        model.fit(x, Y[:, :1], epochs=2, callbacks=[FullBatch()], **FIT)
    parts = [(len(each) / N, each, head) for each, head in zip(rows, order, strict=True)]
    check_heads(model, before, [parts, parts])


SIZES = [[8, 4], [8, 8], [4, 8], [4, 4]]  # the micro-batches of each update, which count alike
UPDATES = [
    [(0.5, np.arange(start, start + size), int(size != BATCH)) for start, size in enumerate(sizes)] for sizes in SIZES
]
MICRO_BATCHES = [rows for parts in UPDATES for _, rows, _ in parts]


@pytest.mark.parametrize("jit_compile", [False, True] if BACKEND == "tensorflow" else [BACKEND == "jax"])
def test_branches_by_size(jit_compile):
    """Compiled code, which is another one for each size; on torch a loop of one's own."""
    model, optimizer = heads(BySize)
    optimizer.gradient_accumulation_steps = 2
    before = model.get_weights()
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    with some_without_gradient():
        for rows in MICRO_BATCHES:
            x, y = X[rows], Y[rows, :1]
            if BACKEND == "torch":
                model.zero_grad()
                ops.mean(ops.square(model(ops.array(x)) - ops.array(y))).backward()
                optimizer.apply([v.value.grad for v in model.trainable_variables], model.trainable_variables)
            else:
                model.train_on_batch(x, y)
    check_heads(model, before, UPDATES)


# Inputs that are not of samples


class Batches(keras.utils.PyDataset):
    """Batches whose inputs have parts of other lengths."""

    def __init__(self, pack, size):
        super().__init__()
        self.pack, self.size = pack, size

    def __len__(self):
        return -(-N // self.size)

    def __getitem__(self, index):
        rows = slice(self.size * index, self.size * (index + 1))
        return self.pack(X[rows]), Y[rows]


def with_a_constant(x):
    return {"anchor": np.float32([[1, -1, 2]]), "x": x}


def rows_of_a_table(x):
    """Of 31 rows in each batch, and which of them the samples are."""
    return np.r_[np.ones((31 - len(x), 3), "float32"), x], np.arange(31 - len(x), 31)[:, None]


class OfSeveral(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = layers.Dense(2)

    def build(self, shapes=None):
        self.out.build((None, 3))

    def call(self, inputs):
        if isinstance(inputs, dict):
            return self.out(inputs["x"] + inputs["anchor"])
        table, rows = inputs
        return self.out(ops.take(table, ops.reshape(rows, (-1,)), axis=0))


@pytest.mark.parametrize("pack", [with_a_constant, rows_of_a_table])
def test_a_batch_has_as_many_samples_as_targets(pack):
    models = []
    for optimizer, size, callbacks in ((BatchGD, BATCH, [FullBatch()]), (keras.optimizers.SGD, N, [])):
        keras.utils.set_random_seed(3)
        model = OfSeveral()
        model.build()
        start = flat(model)
        model.compile(optimizer(RATE, MOMENTUM), "mse", run_eagerly=EAGERLY and size == N)
        model.fit(Batches(pack, size), epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        models.append(model)
    assert error(*models, start) < 1e-5


# Masks, and losses that are no value for each sample


def masked(*recurrent):
    embedding = layers.Embedding(9, 3, mask_zero=True)
    return keras.Sequential([keras.Input((5,), dtype="int32"), embedding, *recurrent, layers.Dense(3, "softmax")])


def masked_recurrent():
    return masked(layers.LSTM(3, return_sequences=True))


def unmasked():
    return keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(9, 3), layers.Dense(3, "softmax")])


def ignoring():
    return keras.losses.SparseCategoricalCrossentropy(ignore_class=0)


def of_the_batch(true, predicted):
    return ops.mean(ops.square(ops.cast(true, predicted.dtype) - predicted[..., 0]))


INEXACT = {  # name: (model, loss, callbacks)
    "mask": (masked, lambda: CLASSES, FullBatch),
    "mask and blocks": (masked, lambda: CLASSES, FullBatch, BlockGradient),
    "mask and sharpness": (masked, lambda: CLASSES, lambda: SharpnessAware(0.1), FullBatch),
    "mask through a recurrent layer": (masked_recurrent, lambda: CLASSES, FullBatch),
    "ignored class": (unmasked, ignoring, FullBatch),
    "ignored class and blocks": (unmasked, ignoring, BlockGradient, FullBatch),
    "ignored class and mask": (masked, ignoring, FullBatch),
    "scalar": (unmasked, lambda: of_the_batch, FullBatch),
    "scalar and blocks": (unmasked, lambda: of_the_batch, FullBatch, BlockGradient),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("run_eagerly", [True] if BACKEND == "torch" else [False, True])
@pytest.mark.parametrize("name", INEXACT)
def test_means_over_other_numbers_than_that_of_samples_are_refused(name, run_eagerly, policy):
    network, loss, *callbacks = INEXACT[name]
    keras.config.set_dtype_policy(policy)
    model = network()
    model.compile(BatchGD(RATE), loss(), run_eagerly=run_eagerly)
    message = "does not return a value for each sample" if "scalar" in name else "is masked"
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(TOKENS, LABELS_OF_STEPS, callbacks=[each() for each in callbacks], **FIT)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("FullBatch: ")


# Lists of callbacks


def fitted(*callbacks, optimizer=BatchGD, k=None, **options):
    """`dense` after two passes, and the weights it began with."""
    model = made(dense)
    start = flat(model)
    more = {} if k is None else {"gradient_accumulation_steps": k}
    model.compile(optimizer(RATE, MOMENTUM, **more), "mse", run_eagerly=EAGERLY)
    model.fit(X, Y, epochs=2, **{"callbacks": list(callbacks), **FIT, **options})
    return model, start


def after_updates(*updates):
    """`dense` after updates of Keras's SGD, each on some rows at once."""
    model = made(dense)
    model.compile(keras.optimizers.SGD(RATE, MOMENTUM), "mse", run_eagerly=EAGERLY)
    for rows in updates:
        model.train_on_batch(X[rows], Y[rows])
    return model


ALL = slice(None)


@pytest.mark.parametrize("blocks_first", [False, True])
@pytest.mark.parametrize("k", [None, 2, 3])
def test_blocks_before_or_behind_full_batch(k, blocks_first):
    """Windows of two batches of 8, 8 and 4 samples: 8 + 8, 4 + 8, 8 + 4."""
    callbacks = [BlockGradient(), FullBatch()] if blocks_first else [FullBatch(), BlockGradient()]
    model, start = fitted(*callbacks, k=k)
    windows = [slice(16), np.r_[16:20, :8], slice(8, 20)] if k == 2 else [ALL, ALL]
    assert error(model, after_updates(*windows), start) < 1e-5


def test_two_full_batches_are_refused():
    with pytest.raises(ValueError, match="`callbacks` has two of them") as caught:
        fitted(FullBatch(), FullBatch())
    assert "\n" not in str(caught.value)


def test_one_full_batch_for_two_models():
    callback = FullBatch()
    whole = after_updates(ALL, ALL)
    for _ in range(2):
        model, start = fitted(callback)
        assert error(model, whole, start) < 1e-5


def test_a_list_of_callbacks_made_by_hand():
    """Keras does not tell its callbacks how many batches a pass has."""
    model = made(dense)
    start = flat(model)
    model.compile(BatchGD(RATE, MOMENTUM), "mse", run_eagerly=EAGERLY)
    callbacks = keras.callbacks.CallbackList([FullBatch()], add_history=True, model=model)
    model.fit(X, Y, epochs=2, callbacks=callbacks, **FIT)
    assert error(model, after_updates(ALL, ALL), start) < 1e-5


def test_blocks_under_an_optimizer_of_keras_that_scales_losses():
    model, start = fitted(
        BlockGradient(), optimizer=lambda *given: keras.optimizers.SGD(*given, loss_scale_factor=1024.0), batch_size=N
    )
    assert error(model, after_updates(ALL, ALL), start) < 1e-5


# Several optimizers in one


def several(first, other, *callbacks, run_eagerly=False):
    """`dense`, whose first kernel has an optimizer of its own."""
    model = made(dense)
    start = flat(model)
    optimizers = keras.optimizers.OptimizerMap(other)
    optimizers[model.trainable_variables[0].path] = first
    model.compile(keras.optimizers.MultiOptimizer(optimizers), "mse", run_eagerly=run_eagerly)
    model.fit(X, Y, epochs=2, callbacks=list(callbacks), **FIT)
    return model, start


@pytest.mark.skipif(not hasattr(keras.optimizers, "OptimizerMap"), reason="Keras does not have it before 3.13")
@pytest.mark.parametrize(
    "other", [keras.optimizers.Adam, lambda rate: Accumulate(keras.optimizers.Adam(rate))], ids=["Adam", "Accumulate"]
)
def test_optimizers_beside_others(other):
    whole, start = several(keras.optimizers.SGD(RATE, MOMENTUM), keras.optimizers.Adam(0.01), run_eagerly=EAGERLY)
    model, _ = several(BatchGD(RATE, MOMENTUM), other(0.01))
    assert error(model, whole, start) < 1e-5


@pytest.mark.skipif(not hasattr(keras.optimizers, "OptimizerMap"), reason="Keras does not have it before 3.13")
def test_full_batch_of_several_optimizers_is_refused():
    with pytest.raises(TypeError, match="MultiOptimizer") as caught:
        several(BatchGD(RATE), BatchGD(RATE), FullBatch())
    assert "\n" not in str(caught.value)
