"""What docs/articles.md says of the articles, computed. The numbers in names and parameters are those of its items."""

import csv
import itertools
import json
import pathlib
import re

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.signal
import tensorflow as tf
from scipy.special import expit, log_softmax

import callbacks
import custom_optimizers
import recipes.data
import recipes.models
from callbacks import FullBatch
from custom_optimizers import Accumulate, BatchGD, OptimisticGD
from custom_optimizers.clipping import ByGlobalNorm, ByValue
from recipes import linear_regression
from recipes.commands import parse
from recipes.optimization import make_schedule

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("articles.md", "articles.zh.md")}
ITEM = r"^- \*\*(\d\.\d+) ([^*]+?)[.。]\*\*"
VERDICTS = {"holds": "对", "half": "半对", "wrong": "错", "empty": "空", "unchecked": "未查"}


@pytest.fixture(autouse=True)
def fresh_keras():
    """The seed alone: to clear Keras's session before each of so many small tests would take most of their time."""
    keras.utils.set_random_seed(0)


# The pages.


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_items_are_numbered_in_order(page):
    numbers = [tuple(map(int, number.split("."))) for number, _ in re.findall(ITEM, page, re.M)]
    counts = [sum(article == a for a, _ in numbers) for article in range(1, 6)]
    assert numbers == [(a + 1, i + 1) for a, count in enumerate(counts) for i in range(count)]
    assert min(counts) > 0


def test_both_pages_have_the_same_items_and_verdicts():
    english, chinese = (re.findall(ITEM, page, re.M) for page in PAGES.values())
    assert [(number, VERDICTS[verdict]) for number, verdict in english] == chinese


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_items_that_are_referred_to_exist(page):
    there = {number for number, _ in re.findall(ITEM, page, re.M)}
    lists = re.findall(r"[(（]([1-5]\.\d+(?:[,、]\s*[1-5]\.\d+)*)[)）]", page)
    assert len(lists) > 20
    assert {number for each in lists for number in re.findall(r"\d\.\d+", each)} <= there
    here = pathlib.Path(__file__).read_text(encoding="utf-8")
    names = " ".join(re.findall(r"def (test_\w+)", here))
    tested = {f"{a}.{i}" for a, i in re.findall(r"_([1-5])_(\d+)(?=_)", names)}
    tested |= set(re.findall(r'"([1-5]\.\d+) [A-Za-z]', here))
    assert len(tested) > 50
    assert tested <= there


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_names_commands_and_files_are_there(page):
    scope = {"custom_optimizers": custom_optimizers, "callbacks": callbacks, "recipes": recipes, "keras": keras}
    for name in set(re.findall(r"`((?:custom_optimizers|callbacks|recipes|keras)(?:\.\w+)+)`", page)):
        assert eval(name, scope)
    for command in set(re.findall(r"python -m recipes ([^`]+)`", page)):
        parse(command.split())
    for path in set(re.findall(r"`((?:benchmarks|recipes|tests)/[\w/.]+)`", page)):
        assert (ROOT / path).exists()


def rows(name):
    with open(ROOT / "benchmarks" / "results" / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def one(name, **where):
    (found,) = (row for row in rows(name) if all(row[key] == value for key, value in where.items()))
    return found


ACCURACIES = [
    ("1.14 full batch", {"data": "cifar10", "optimizer": "batch_gd"}),
    ("1.14 mini-batches", {"data": "cifar10", "optimizer": "sgd", "train_images": "5000"}),
    ("3.1 full batch", {"data": "digits", "optimizer": "batch_gd", "backend": "tensorflow"}),
    ("3.1 mini-batches", {"data": "digits", "optimizer": "sgd"}),
    ("5.19 with the decay", {"variant": "basic", "schedule": "inverse_time:0.01"}),
    ("5.19 without", {"variant": "basic", "schedule": "constant"}),
]


def texts(item):
    """What an item says in each language, in one line."""
    pattern = rf"^- \*\*{re.escape(item.split()[0])} .*?(?=^- \*\*|^## |\Z)"
    return [" ".join(re.search(pattern, page, re.M | re.S)[0].split()) for page in PAGES.values()]


@pytest.mark.parametrize(("item", "where"), ACCURACIES, ids=[item for item, _ in ACCURACIES])
def test_accuracies_are_those_of_the_results(item, where):
    found = one("cifar10_cnn", **where)
    for text in texts(item):
        assert f"{100 * float(found['mean']):.1f} % ± {100 * float(found['standard_deviation']):.1f} %" in text


@pytest.mark.parametrize("batch_size", ["100", "10", "1"])
def test_2_2_distances_are_those_of_the_results(batch_size):
    found = one("linear_regression", loss="mse", batch_size=batch_size)
    for text in texts("2.2"):
        assert f"{float(found['mean']):.1e}" in text


# Shapes.

NETWORK = [(32, 3, 3, 32), (32, 32, 32, 64), (64, 64, 64, 128), (128, 128, 128, 256), (256, 256, 256, 512)]
NETWORK += [(512, 512, 512, 10)]


def small(shape):
    """A shape of the article's network in which every size but 3 and 10 is 2."""
    return tuple(size if size in (3, 10) else 2 for size in shape)


def forward(x, weights):
    """The article's forward pass: what it returns, and what each layer is given."""
    layers = []
    for weight in weights:
        layers.append(x)
        z = np.dot(x, weight)
        x = np.maximum(0, z)
    return z, layers


def as_in_the_article():
    """Its network and its batch, small."""
    weights = [np.random.randn(*small(shape)) for shape in NETWORK]
    return weights, np.random.randn(*small((32, 32, 3, 3))), np.random.randint(0, 10, 2)


def test_1_8_the_network_needs_84_gigabytes():
    numbers = sum(np.prod(shape) for shape in NETWORK)
    assert numbers == 10_504_643_584
    assert f"{numbers * 8 / 1e9:.0f}" == "84"
    model = recipes.models.basic((32, 32, 3), 10)
    assert np.prod(model.layers[2].kernel.shape) == 864
    assert model.count_params() == 72_906


def test_1_9_the_forward_pass_fits_in_shape_and_in_nothing_else():
    weights, x, _ = as_in_the_article()
    z, layers = forward(x, weights)
    assert [a.ndim for a in layers[1:]] + [z.ndim] == [6, 8, 10, 12, 14, 16]
    large = keras.KerasTensor((32, 32, 3, 3))
    for shape, layer in zip(NETWORK[:2], layers[1:], strict=False):
        large = keras.ops.dot(large, keras.KerasTensor(shape))  # by Keras's rule of shapes, in no memory
        assert small(large.shape) == layer.shape
    assert f"{np.prod(large.shape) * 8 / 1e9:.1f}" == "154.6"


def test_1_9_the_convolution_that_is_meant():
    image, kernel = np.random.rand(8, 8, 3), np.random.rand(3, 3, 3, 4)
    meant = [scipy.signal.correlate(image, kernel[..., k], mode="valid")[..., 0] for k in range(4)]
    layer = keras.layers.Conv2D(4, 3, dtype="float64")
    layer.build((None, 8, 8, 3))
    layer.set_weights([kernel, np.zeros(4)])
    np.testing.assert_allclose(np.stack(meant, -1), layer(image[None])[0], atol=1e-6)


def loss_of_the_network():
    weights, x, y = as_in_the_article()
    return forward(x, weights)[0] - y


def backward_of_the_network():
    weights, x, _ = as_in_the_article()
    return np.dot(forward(x, weights)[0], weights[5].T)


def update_of_the_first_layer():
    x, weights, y = dense()
    weights[0] -= 0.01 * as_printed_backward(x, weights, y)


X, Y = np.array([[0], [1], [2], [3]]), np.array([0, 1, 0, 1])  # of the third article


def of_squares(theta, x, y):
    """Its gradient of the sum of squares."""
    return 2 * np.dot(x.T, (x * theta - y))


def batch_descent():
    theta = np.random.randn(1)
    theta -= 0.01 * of_squares(theta, X, Y)


LAYERS = [np.ones((3, 4)), np.ones((4, 2))]  # gradients of two layers

RAISES = [
    ("1.10 loss of the network", loss_of_the_network, "broadcast"),
    ("1.11 backward pass", backward_of_the_network, "not aligned"),
    ("1.12 update of the first layer", update_of_the_first_layer, "broadcast"),
    ("3.6 batch descent", batch_descent, "broadcast"),
    ("4.3 sum over layers", lambda: LAYERS[0] * sum(LAYERS), "broadcast"),
    ("4.5 sum over layers", lambda: LAYERS[1] + sum(g * g for g in LAYERS), "broadcast"),
    ("5.19 lr", lambda: keras.optimizers.SGD(lr=0.01, momentum=0.9), "not recognized"),
]


@pytest.mark.parametrize(("item", "as_printed", "said"), RAISES, ids=[case[0] for case in RAISES])
def test_as_printed_it_raises(item, as_printed, said):
    with pytest.raises(ValueError, match=said):
        as_printed()


def test_3_6_a_column_less_a_row_is_a_table():
    theta = np.ones(1)
    assert (X * theta - Y).shape == (4, 4)
    right = of_squares(theta, X, Y[:, None])
    assert right.shape == (1, 1)
    numerical = scipy.optimize.approx_fprime(theta, lambda t: np.sum((X[:, 0] * t - Y) ** 2))
    assert right.item() == pytest.approx(numerical.item(), rel=1e-6)


def test_2_6_the_gradient_by_the_prediction_has_its_shape():
    samples = linear_regression.LinearRegression().load()
    by_prediction = scipy.optimize.approx_fprime(
        samples.x[:, 0] * 0.5, lambda prediction: np.mean((samples.y[:, 0] - prediction) ** 2)
    )
    assert by_prediction.shape == (100,)
    by_theta = scipy.optimize.approx_fprime(
        np.array([0.5]), lambda theta: np.mean((samples.y - samples.x * theta) ** 2)
    )
    assert samples.x[:, 0] @ by_prediction == pytest.approx(by_theta.item(), rel=1e-6)


# Gradients.


def dense(units=(3, 5, 4, 2), n=7):
    """A plain network of matrices: inputs, weights, targets."""
    random = np.random.default_rng(0)
    weights = [random.normal(size=shape) for shape in itertools.pairwise(units)]
    return random.normal(size=(n, units[0])), weights, random.normal(size=(n, units[-1]))


def as_printed_backward(x, weights, y):
    delta = forward(x, weights)[0] - y
    for weight in weights[:0:-1]:
        delta = np.dot(delta, weight.T)
    return delta


def right_backward(x, weights, y):
    z, layers = forward(x, weights)
    delta, gradients = 2 / z.size * (z - y), []
    for weight, a in zip(weights[::-1], layers[::-1], strict=True):
        gradients.insert(0, a.T @ delta)
        delta = (delta @ weight.T) * (a > 0)
    return gradients


def test_1_11_the_right_backward_pass_is_the_derivative_and_the_printed_one_is_none():
    x, weights, y = dense()

    def loss(flat, k):
        changed = [flat.reshape(w.shape) if i == k else w for i, w in enumerate(weights)]
        return np.mean((forward(x, changed)[0] - y) ** 2)

    for k, gradient in enumerate(right_backward(x, weights, y)):
        numerical = scipy.optimize.approx_fprime(weights[k].ravel(), loss, 1e-7, k)
        np.testing.assert_allclose(gradient.ravel(), numerical, atol=1e-6)
    assert as_printed_backward(x, weights, y).shape == (7, 5)  # samples by units, as no weight is


def line():
    samples = linear_regression.LinearRegression().load()
    return samples.x, samples.y


def log_loss(theta, x=2.0, y=1.0):
    return y * np.log(x * theta[0]) + (1 - y) * np.log(1 - x * theta[0])


def printed_of_log_loss(theta, x=2.0, y=1.0):
    return -y / x * (1 - y * theta) + y * (1 - y) * theta / (1 - x * theta)


def logistic(theta):
    """The right log-loss of the third article's data."""
    p = expit(X[:, 0] * theta[0])
    return -np.mean(Y * np.log(p) + (1 - Y) * np.log(1 - p))


def square_of_line(theta):
    return np.mean((line()[1] - line()[0] * theta[0]) ** 2)


def printed_of_line(theta):
    x, y = line()
    return (1 / 100) * np.dot(x.T, (y - np.dot(x, theta[None])))[0]


GRADIENTS = [  # item, loss, its gradient, the number that makes the gradient right, or None if there is none
    ("2.12 as printed", square_of_line, printed_of_line, -2),
    ("3.7 of the sum", lambda t: np.sum((X * t - Y[:, None]) ** 2), lambda t: of_squares(t, X, Y[:, None]), 1),
    ("3.12 as printed, a one", log_loss, printed_of_log_loss, None),
    ("3.12 as printed, a zero", lambda t: log_loss(t, y=0.0), lambda t: printed_of_log_loss(t, y=0.0), None),
    ("3.12 right", logistic, lambda t: np.mean((expit(X[:, 0] * t) - Y) * X[:, 0]), 1),
]


@pytest.mark.parametrize(("item", "loss", "gradient", "times"), GRADIENTS, ids=[case[0] for case in GRADIENTS])
def test_gradients_beside_numerical_ones(item, loss, gradient, times):
    points = [np.array([0.1]), np.array([0.45])]
    numerical = np.array([scipy.optimize.approx_fprime(p, loss, 1e-7).item() for p in points])
    stated = np.array([np.ravel(gradient(p)).item() for p in points])
    if times is None:
        assert np.ptp(numerical / np.where(stated == 0, 1e-9, stated)) > 1  # no number makes it right
    else:
        np.testing.assert_allclose(times * stated, numerical, rtol=1e-6)


LOSSES = [  # item, the article's or the right formula in NumPy, the loss of Keras
    ("5.3 two classes", lambda y, p: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), "BinaryCrossentropy", {}),
    ("5.4 squares", lambda y, p: np.mean((y - p) ** 2), "MeanSquaredError", {}),
    ("2.11 the line's loss", lambda y, p: (1 / 20) * np.sum((y - p) ** 2), "MeanSquaredError", {}),
    ("5.5 absolute values", lambda y, p: np.mean(abs(y - p)), "MeanAbsoluteError", {}),
    (
        "3.11 right",
        lambda y, z: -np.mean(y * np.log(expit(z)) + (1 - y) * np.log(1 - expit(z))),
        "BinaryCrossentropy",
        {"from_logits": True},
    ),
]


@pytest.mark.parametrize(("item", "formula", "name", "options"), LOSSES, ids=[case[0] for case in LOSSES])
def test_losses_beside_those_of_keras(item, formula, name, options):
    random = np.random.default_rng(0)
    y, p = random.integers(0, 2, (20, 1)).astype("float64"), random.uniform(0.1, 0.9, (20, 1))
    loss = getattr(keras.losses, name)(**options, dtype="float64")
    assert float(loss(y, p)) == pytest.approx(formula(y, p), rel=1e-6)


def test_5_3_ten_classes_need_another_formula():
    z, y = np.random.default_rng(0).normal(size=(6, 10)), np.arange(6)
    p, one_hot = np.exp(log_softmax(z, axis=1)), np.eye(10)[y]
    right = -np.mean(np.sum(one_hot * log_softmax(z, axis=1), axis=1))
    assert float(keras.losses.CategoricalCrossentropy(dtype="float64")(one_hot, p)) == pytest.approx(right, rel=1e-6)
    printed = -np.mean(np.sum(one_hot * np.log(p) + (1 - one_hot) * np.log(1 - p), axis=1))
    assert printed > 1.1 * right


def test_1_10_the_right_loss_is_that_of_keras():
    z, y = np.random.default_rng(0).normal(size=(6, 10)), np.arange(6)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    assert float(loss(y, z)) == pytest.approx(-np.mean(log_softmax(z, axis=1)[np.arange(6), y]), rel=1e-6)


def test_3_11_the_printed_loss_is_highest_for_the_best_model_and_is_no_number_elsewhere():
    assert log_loss([0.49]) > log_loss([0.1])  # x = 2, y = 1: the higher x * theta, the better
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(log_loss([1.0], y=0.0))  # the logarithm of -1


def test_3_13_the_first_point_makes_it_nan():
    with pytest.warns(RuntimeWarning, match="invalid value"):
        theta = np.ones(1) - 0.01 * printed_of_log_loss(np.ones(1), X[0], Y[0])
    assert np.isnan(theta)
    assert np.isnan(theta - 0.01 * printed_of_log_loss(theta, X[1], Y[1]))
    assert scipy.optimize.minimize(logistic, [0.0]).x.item() == pytest.approx(0.300, abs=1e-3)


def test_1_17_and_4_6_the_exact_gradient_is_the_mean_of_those_of_single_samples():
    theta = np.array([0.7])
    single = np.array([of_squares(theta, x, y).item() for x, y in zip(X, Y, strict=True)])
    full = scipy.optimize.approx_fprime(theta, lambda t: np.mean((X[:, 0] * t - Y) ** 2)).item()
    assert single.mean() == pytest.approx(full, rel=1e-6)
    pairs = np.array([[(a + b) / 2 for a in single] for b in single])  # every mini-batch of two, drawn independently
    assert pairs.mean() == pytest.approx(full, rel=1e-6)
    assert pairs.var() == pytest.approx(single.var() / 2)


# Descents.


def path(optimizer, gradient, start, updates):
    """`(updates + 1, n)`: the parameters before each update and after the last, in float64."""
    w = keras.Variable(np.asarray(start, "float64"), dtype="float64")
    optimizer.build([w])

    @tf.function
    def descend():
        seen = tf.TensorArray(tf.float64, updates + 1, infer_shape=False)
        for i in tf.range(updates):
            seen = seen.write(i, w.value)
            optimizer.apply([tf.convert_to_tensor(gradient(w.value), tf.float64)], [w])
        return seen.write(updates, w.value).stack()

    return descend().numpy()


CURVATURES = np.array([0.5, 4.0])
QUADRATIC = {"gradient": lambda w: CURVATURES * w, "start": [1.0, 1.0]}


def value(points):
    return np.sum(CURVATURES * points**2, axis=-1) / 2


def test_1_7_and_3_3_and_5_9_the_update_is_the_formula_and_that_of_keras():
    ours, theirs = (path(cls(0.1), **QUADRATIC, updates=5) for cls in (BatchGD, keras.optimizers.SGD))
    formula = (1 - 0.1 * CURVATURES) ** np.arange(6)[:, None]
    np.testing.assert_allclose(ours, formula, rtol=1e-6)
    np.testing.assert_allclose(theirs, formula, rtol=1e-6)


EDGE = 2 / CURVATURES.max()


@pytest.mark.parametrize(("of_edge", "falls"), [(0.9, True), (1.02, False), (1.5, False)])
def test_1_1_and_1_18_and_3_5_and_4_7_and_5_25_the_edge(of_edge, falls):
    """The loss falls at each update below 2 / curvature, and grows from just above on."""
    values = value(path(BatchGD(of_edge * EDGE), **QUADRATIC, updates=200))
    assert (np.diff(values) < 0).all() == falls
    assert (values[-1] < 1e-6) if falls else (values[-1] > 1e3)


def test_5_25_the_bound_for_convex_losses():
    rate = 1 / CURVATURES.max()
    values = value(path(BatchGD(rate), **QUADRATIC, updates=50))
    assert (values[1:] <= 2 / (2 * rate * np.arange(1, 51))).all()  # the start is at distance sqrt(2)


@pytest.mark.parametrize(("copies", "converges"), [(1, True), (10, False)])
def test_3_7_the_stable_rate_of_a_sum_shrinks_with_the_data(copies, converges):
    x, y = np.tile(X, (copies, 1)), np.tile(Y, copies)[:, None]
    assert 0.01 * 2 * np.sum(x**2) < 2 or not converges
    theta = np.ones(1)
    for _ in range(200):
        theta = theta - 0.01 * of_squares(theta, x, y)[0]
    assert (abs(theta.item() - 2 / 7) < 1e-6) == converges
    assert converges or abs(theta.item()) > 1e6


def test_1_2_a_constant_rate_jumps_around_a_kink():
    points = path(BatchGD(0.1), tf.sign, [0.95], 50)[-10:, 0]
    np.testing.assert_allclose(abs(np.diff(points)), 0.1)
    assert points.min() < 0 < points.max()


def test_1_4_descent_leaves_the_solution_of_a_game():
    def game(w):
        return tf.stack([w[1], -w[0]])

    distances = np.linalg.norm(path(BatchGD(0.1), game, [1.0, 1.0], 500), axis=1)
    np.testing.assert_allclose(distances[1:] / distances[:-1], np.sqrt(1 + 0.1**2), rtol=1e-6)
    assert np.linalg.norm(path(OptimisticGD(0.1), game, [1.0, 1.0], 500)[-1]) < 0.2


def two_minima(w):
    """The derivative of w**4 - 2 * w**2 + 0.3 * w, which is lowest at -1.036 and has a worse minimum at 0.960."""
    return 4 * w**3 - 4 * w + 0.3


REMEDIES = [
    ("1.15 descent", lambda: BatchGD(0.01)),
    ("1.15 momentum", lambda: keras.optimizers.SGD(0.01, momentum=0.9)),
    ("1.15 RMSprop", lambda: keras.optimizers.RMSprop(0.01)),
    ("1.15 Adam", lambda: keras.optimizers.Adam(0.01)),
    ("2.16 clipping", lambda: BatchGD(0.01, clipping=ByGlobalNorm(0.5))),
]


@pytest.mark.parametrize(("item", "make"), REMEDIES, ids=[case[0] for case in REMEDIES])
def test_they_end_in_the_worse_minimum(item, make):
    worse = max(np.roots([4, 0, -4, 0.3]))
    assert path(make(), two_minima, [1.5], 600)[-1].item() == pytest.approx(worse, abs=0.01)


def test_3_18_too_high_a_rate_may_leave_the_global_minimum_and_stay_at_the_other():
    best, _, worse = np.sort(np.roots([4, 0, -4, 0.3]))
    rate = 0.25
    assert 12 * worse**2 - 4 < 2 / rate < 12 * best**2 - 4  # curvatures
    assert abs(path(BatchGD(rate), two_minima, [worse + 1e-3], 300)[-1].item() - worse) < 1e-6
    assert abs(path(BatchGD(rate), two_minima, [best + 1e-3], 300)[-1].item() - best) > 0.01


def test_1_3_the_length_of_the_gradient_is_the_steepest_growth():
    at, angles = np.array([-1.2, 1.0]), np.linspace(0, 2 * np.pi, 1000)
    gradient = scipy.optimize.approx_fprime(at, scipy.optimize.rosen)
    growth = [(scipy.optimize.rosen(at + 1e-6 * u) - scipy.optimize.rosen(at)) / 1e-6 for u in unit_vectors(angles)]
    assert max(growth) == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    np.testing.assert_allclose(unit_vectors(angles)[np.argmax(growth)], gradient / max(growth), atol=1e-2)


def unit_vectors(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_2_18_descent_ends_at_a_saddle():
    end = path(BatchGD(0.1), lambda w: tf.stack([2 * w[0], -2 * w[1] + 2 * w[1] ** 3]), [1.0, 0.0], 200)[-1]
    np.testing.assert_allclose(end, [0, 0], atol=1e-9)
    assert 0.5**4 / 2 - 0.5**2 < 0  # lower beside it


# The line of the second article.


def printed_regression():
    np.random.seed(0)
    x = np.random.rand(100, 1)
    y = 2 * x + 1 + np.random.randn(100, 1) * 0.1
    theta = np.zeros((1, 1))
    for _ in range(1000):
        indices = np.random.choice(x.shape[0], 10, replace=False)
        x_batch, y_batch = x[indices], y[indices]
        theta = theta - 0.01 * (1 / 10) * np.dot(x_batch.T, (y_batch - np.dot(x_batch, theta)))
    return theta.item(), np.mean(y**2), np.mean((y - x * theta) ** 2)


def test_2_13_the_printed_regression_climbs():
    theta, before, after = printed_regression()
    assert f"{theta:.1f} {before:.1f} {after:,.0f}" == "-70.6 4.2 1,686"


def lines():
    """The best line through the origin and the best line, as (slope, intercept), and the points."""
    x, y = line()
    slope = np.linalg.lstsq(x, y, rcond=None)[0].item()
    return (slope, 0.0), tuple(np.linalg.lstsq(np.hstack([x, np.ones_like(x)]), y, rcond=None)[0][:, 0]), (x, y)


def error(slope_and_intercept, x, y):
    slope, intercept = slope_and_intercept
    return np.mean((y - slope * x - intercept) ** 2)


def test_2_8_a_line_needs_an_intercept():
    through_origin, best, points = lines()
    assert f"{through_origin[0]:.2f} {error(through_origin, *points):.3f}" == "3.57 0.293"
    assert "{:.2f} {:.2f} {:.4f}".format(*best, error(best, *points)) == "1.99 1.02 0.0099"
    exact = linear_regression.exact(linear_regression.LinearRegression().load(), "mse")
    np.testing.assert_allclose(exact, best, rtol=1e-6)


def test_2_14_the_test_asks_for_what_was_not_shown():
    through_origin, best, (x, _) = lines()
    x_test = np.linspace(-1, 1, 1000)[:, None]
    assert x.min() >= 0
    assert np.mean(x_test < 0) == 0.5
    errors = [error(each, x_test, 2 * x_test + 1) for each in (through_origin, best)]
    assert "{:.2f} {:.4f}".format(*errors) == "1.82 0.0005"


def test_2_9_a_thousand_updates_at_that_rate_are_too_few():
    _, best, (x, _) = lines()
    matrix = np.hstack([x, np.ones_like(x)])
    hessian = 2 * matrix.T @ matrix / 100
    assert f"{np.linalg.eigvalsh(hessian)[-1]:.2f}" == "2.48"
    ends = {}
    for rate, updates in ((0.01, 1000), (0.7, 300)):
        end = path(BatchGD(rate), lambda w: tf.linalg.matvec(hessian, w - np.array(best)), [0.0, 0.0], updates)[-1]
        ends[rate] = abs(end - best).max()
    assert f"{ends[0.01]:.2f}" == "0.31"
    assert ends[0.7] < 1e-6
    assert 0.80 < 2 / np.linalg.eigvalsh(hessian)[-1] < 0.81


def test_2_10_ten_draws_see_two_thirds():
    assert f"{1 - (1 - 10 / 100) ** 10:.2f}" == "0.65"
    random = np.random.default_rng(0)
    seen = [len({i for _ in range(10) for i in random.choice(100, 10, replace=False)}) for _ in range(300)]
    assert np.mean(seen) == pytest.approx(65, abs=1)


def test_3_8_the_best_lines_through_the_four_points():
    assert np.linalg.lstsq(X, Y, rcond=None)[0].item() == pytest.approx(2 / 7)
    np.testing.assert_allclose(np.polyfit(X[:, 0], Y, 1), [0.2, 0.2])


def test_3_14_stochastic_descent_scatters():
    x, y, theta, seen = X[:, 0], Y, 0.0, []
    a, b = 1 - 0.02 * x**2, 0.02 * x * y  # theta = a * theta + b for a sample
    mean = b.mean() / (1 - a.mean())
    square = ((b * b).mean() + 2 * (a * b).mean() * mean) / (1 - (a * a).mean())
    assert mean == pytest.approx(2 / 7)
    assert f"{np.sqrt(square - mean**2):.2f}" == "0.04"
    for i in np.random.default_rng(0).integers(0, 4, 20000):
        theta = theta - 0.01 * of_squares(theta, X[i], Y[i]).item()
        seen.append(theta)
    assert np.std(seen[500:]) == pytest.approx(np.sqrt(square - mean**2), rel=0.1)


def test_3_19_coupled_decay_is_l2():
    decay, x, y = 0.3, X.astype("float64"), Y.astype("float64")
    optimizer = BatchGD(0.1, weight_decay=decay, weight_decay_mode="coupled")
    end = path(optimizer, lambda w: 2 * tf.linalg.matvec(x.T, tf.linalg.matvec(x, w) - y) / 4, [0.0], 300)[-1]
    assert end == pytest.approx(np.linalg.solve(x.T @ x / 4 + decay / 2 * np.eye(1), x.T @ y / 4), rel=1e-6)


# The rules of the fourth article.


def test_4_3_the_printed_rule_is_no_gradient_step():
    target = np.array([2.0, -1.0])

    def printed(w, times=1.0):
        gradients = [times * (w - target), times * (w + target)]  # two layers of one shape
        return gradients[0] * sum(gradients)

    w = np.array([0.5, 3.0])
    np.testing.assert_allclose(printed(w, times=2.0), 4 * printed(w))
    np.testing.assert_array_equal(printed(target), 0)  # the first layer's minimum


@pytest.mark.parametrize(("start", "printed_converges"), [(3.0, False), (-3.0, True)])
def test_4_5_the_coupling_pushes_upwards(start, printed_converges):
    w = np.array([start, start])  # two layers of one weight; the loss is half the square of both
    for _ in range(60):
        w = np.minimum(w - 0.1 * w + 0.1 * np.sum(w * w), 1e100)
    assert (abs(w) < 0.1).all() == printed_converges
    assert abs(path(BatchGD(0.1), lambda w: w, [start, start], 60)[-1]).max() < 0.01


def rosenbrock(w):
    return tf.stack([-400 * w[0] * (w[1] - w[0] ** 2) - 2 * (1 - w[0]), 200 * (w[1] - w[0] ** 2)])


def test_4_5_the_right_rule_steps_by_the_derivative():
    start = np.array([-1.2, 1.0])
    numerical = scipy.optimize.approx_fprime(start, scipy.optimize.rosen)
    step = np.diff(path(BatchGD(1e-3), rosenbrock, start, 1), axis=0)[0]
    np.testing.assert_allclose(step, -1e-3 * numerical, rtol=1e-5)


@pytest.mark.parametrize(
    ("item", "make", "of_keras"),
    [
        ("1.1 full batch", lambda: BatchGD(0.1), lambda: keras.optimizers.SGD(0.1)),
        (
            "4.9 Adam on full batches",
            lambda: Accumulate(keras.optimizers.Adam(0.1)),
            lambda: keras.optimizers.Adam(0.1),
        ),
    ],
)
def test_full_batches_are_those_of_all_samples(item, make, of_keras):
    x, y = np.random.rand(10, 2), np.random.rand(10, 1)
    weights = []
    for optimizer, size, extra in ((make(), 4, [FullBatch()]), (of_keras(), 10, [])):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=size, epochs=2, callbacks=extra, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(*weights, atol=1e-6)


# Momentum and clipping.

READINGS = [  # v at t from v at t - 1 and the gradient
    ("5.13 v is the gradient", lambda v, g: g),
    ("5.13 v sums gradients", lambda v, g: 0.9 * v + g),
    ("5.13 v averages gradients", lambda v, g: 0.9 * v + 0.1 * g),
]


@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.1, 1.0])
@pytest.mark.parametrize(("item", "velocity"), READINGS, ids=[case[0] for case in READINGS])
def test_momentum_as_printed_diverges_at_every_rate(item, velocity, rate):
    theta, v = 1.0, 0.0
    for _ in range(400):
        before, v = v, velocity(v, 2 * theta)  # curvature 2
        theta = theta - rate * v - 0.9 * before
    assert abs(theta) > 1e3


def test_5_13_the_right_momentum_is_that_of_keras_and_ours():
    theta, v, right = np.ones(2), np.zeros(2), [np.ones(2)]
    for _ in range(20):
        v = 0.9 * v - 0.05 * CURVATURES * theta
        theta = theta + v
        right.append(theta)
    for cls in (keras.optimizers.SGD, BatchGD):
        np.testing.assert_allclose(path(cls(0.05, momentum=0.9), **QUADRATIC, updates=20), right, atol=1e-6)


@pytest.mark.parametrize(("of_edge", "converges"), [(0.99, True), (1.01, False)])
def test_5_13_where_momentum_is_stable(of_edge, converges):
    rate = of_edge * 2 * (1 + 0.9) / CURVATURES.max()
    end = abs(path(keras.optimizers.SGD(rate, momentum=0.9), **QUADRATIC, updates=2000)[-1]).max()
    assert (end < 1e-3) if converges else (end > 1e3)


def test_5_14_momentum_needs_fewer_updates():
    curvatures, root = np.array([1.0, 25.0]), 5.0
    plain = BatchGD(2 / (1 + 25))
    momentum = BatchGD((2 / (1 + root)) ** 2, momentum=((root - 1) / (root + 1)) ** 2)
    errors = [abs(path(each, lambda w: curvatures * w, [1.0, 1.0], 250)).max(axis=1) for each in (plain, momentum)]
    assert [int(np.argmax(each < 1e-6)) for each in errors] == [173, 45]


def step(optimizer, gradient):
    w = keras.Variable(np.zeros(len(gradient)), dtype="float64")
    optimizer.apply([tf.constant(gradient, tf.float64)], [w])
    return w.numpy()


def test_5_15_clipping_by_value_turns_and_by_norm_does_not():
    gradient = np.array([3.0, -0.5])
    by_value, by_norm = (step(BatchGD(1.0, clipping=each), gradient) for each in (ByValue(1.0), ByGlobalNorm(1.0)))
    np.testing.assert_allclose(by_value, [-1.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(by_norm, -gradient / np.linalg.norm(gradient), rtol=1e-6)
    parts = [np.array([3.0, 0.0]), np.array([-1.0, 0.0])]
    clipped_parts = sum(step(BatchGD(1.0, clipping=ByGlobalNorm(1.0)), part) for part in parts)
    clipped_sum = step(BatchGD(1.0, clipping=ByGlobalNorm(1.0)), sum(parts))
    assert abs(clipped_parts - clipped_sum).max() > 0.9


def test_2_16_and_5_28_clipping_never_lengthens():
    gradient = np.array([3e-9, -4e-9])
    np.testing.assert_array_equal(step(BatchGD(1.0, clipping=ByGlobalNorm(1.0)), gradient), -gradient)


@pytest.mark.parametrize(
    ("item", "make", "scale"),
    [
        ("5.29 momentum", lambda: keras.optimizers.SGD(0.1, momentum=0.9), 1e-6),
        ("5.29 Adam", lambda: keras.optimizers.Adam(0.1, epsilon=1e-15), 1.0),
    ],
)
def test_what_adapts_to_the_size_of_gradients(item, make, scale):
    large, small = (path(make(), lambda w, f=f: f * (1 + 0 * w), [0.0], 20)[-1].item() for f in (1.0, 1e-6))
    assert small == pytest.approx(scale * large, rel=1e-4)


def test_5_23_ten_sigmoids_leave_a_millionth():
    x = tf.Variable(np.float64(0.0))
    with tf.GradientTape() as tape:
        y = x
        for _ in range(10):
            y = tf.sigmoid(y)
    assert 0 < float(tape.gradient(y, x)) < 0.25**10
    assert f"{0.25**10:.0e}" == "1e-06"


def test_5_30_smaller_weights_give_smaller_gradients():
    chain = [scipy.optimize.approx_fprime(np.full(10, w), np.prod, 1e-7)[-1] for w in (1.0, 0.9)]
    assert f"{chain[1] / chain[0]:.2f}" == "0.39"


# The program of the fifth article.


def test_5_16_to_5_18_the_network_is_that_of_the_recipe():
    layers = keras.layers
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(32, 3, activation="relu")])
    for layer in (layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10, activation="softmax")):
        model.add(layer)
    recipe = recipes.models.basic((32, 32, 3), 10)
    assert model.count_params() == recipe.count_params() == 72_906
    recipe.set_weights(model.get_weights())
    images = np.random.randint(0, 256, (4, 32, 32, 3))
    logits = keras.ops.convert_to_numpy(recipe(images))
    np.testing.assert_allclose(keras.ops.log(model(images / 255)), log_softmax(logits, axis=1), atol=1e-4)
    with pytest.warns(UserWarning, match="input_shape"):
        layers.Conv2D(32, (3, 3), input_shape=(32, 32, 3))


def test_5_17_six_classes_of_a_thousand_are_not_sixty_thousand():
    assert 6 * 1000 == 6_000
    assert 10 * 6_000 == 50_000 + 10_000 == 60_000


def test_5_19_the_decay():
    with pytest.warns(UserWarning, match="decay"):
        keras.optimizers.SGD(learning_rate=0.01, decay=0.01, momentum=0.9)
    right = keras.optimizers.schedules.InverseTimeDecay(0.01, decay_steps=1, decay_rate=0.01)
    ours = make_schedule("inverse_time:0.01", 0.01, 15_630)
    assert -(-50_000 // 32) == 1_563
    for update, divisor in ((1_563, "16.6"), (15_630, "157.3")):
        assert f"{0.01 / float(right(update)):.1f}" == divisor
        assert float(ours(update)) == pytest.approx(float(right(update)), rel=1e-6)


def test_5_12_the_memory_is_that_of_the_results():
    median = json.loads((ROOT / "benchmarks" / "results" / "memory.json").read_text())["median_mib"]
    ratio = f"{median['BatchGD, full_batches'] / median['Keras SGD, batch 500']:.2f}"
    assert all(ratio in text for text in texts("5.12"))
