"""What theory says of the optimizers, measured in float64 on problems with known answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from custom_optimizers import AcceleratedGD, BatchGD, OptimisticGD

CURVATURES = np.array([0.5, 2.0, 9.0, 40.0])  # eigenvalues of a quadratic's Hessian; L is the largest


def minimized(optimizer, gradient, start, steps, read=lambda w: w):
    """`(steps + 1, n)`: what `read` sees of the parameters before each update and after the last."""
    w = keras.Variable(np.asarray(start, "float64"), dtype="float64")
    optimizer.build([w])

    @tf.function
    def path():
        seen = tf.TensorArray(tf.float64, steps + 1, infer_shape=False)
        for i in tf.range(steps):
            seen = seen.write(i, read(w.value))
            optimizer.apply([gradient(w.value)], [w])
        return seen.write(steps, read(w.value)).stack()

    return path().numpy()


def on_quadratic(optimizer, steps=300, start=None):
    start = np.ones(len(CURVATURES)) if start is None else start
    return minimized(optimizer, lambda w: CURVATURES * w, start, steps)


def companion(curvature, rate, momentum, nesterov):
    """The matrix that takes (w_k, w_{k-1}) to the next pair, for one eigenvalue. With Nesterov w is the look-ahead."""
    step = 1 - rate * curvature
    if nesterov:
        return np.array([[(1 + momentum) * step, -momentum * step], [1, 0]])
    return np.array([[1 + momentum - rate * curvature, -momentum], [1, 0]])


def spectral_radius(rate, momentum, nesterov=False):
    return max(max(abs(np.linalg.eigvals(companion(c, rate, momentum, nesterov)))) for c in CURVATURES)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.03])
def test_rate_of_convergence_is_the_spectral_radius(rate, momentum, nesterov):
    norms = np.linalg.norm(on_quadratic(BatchGD(rate, momentum, nesterov)), axis=1)
    measured = (norms[300] / norms[250]) ** (1 / 50)
    assert measured == pytest.approx(spectral_radius(rate, momentum, nesterov), rel=0.05)


def test_descent_diverges_just_above_2_over_L_and_converges_just_below():
    norms = [np.linalg.norm(on_quadratic(BatchGD(f * 2 / CURVATURES[-1]), 600)[-1]) for f in (0.99, 1.01)]
    assert norms[0] < 1e-2
    assert norms[1] > 1e3


@pytest.mark.parametrize(("momentum", "factor"), [(0.5, 1.5), (0.9, 1.9)])
def test_momentum_moves_the_edge_of_stability(momentum, factor):
    """Heavy ball is stable up to (2 + 2 * momentum) / L."""
    edge = 2 * factor / CURVATURES[-1]
    below, above = (np.linalg.norm(on_quadratic(BatchGD(f * edge, momentum), 2000)[-1]) for f in (0.99, 1.01))
    assert below < 1e-2
    assert above > 1e3


def least_squares(condition, n=20, seed=0):
    """`(Hessian, minimum)` of f(w) = (w - minimum)' H (w - minimum) / 2 with L = 1."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return basis @ np.diag(np.logspace(-np.log10(condition), 0, n)) @ basis.T, rng.normal(size=n)


def excess(path, hessian, minimum):
    """f - min f along a path."""
    return 0.5 * np.einsum("ki,ij,kj->k", path - minimum, hessian, path - minimum)


@pytest.mark.parametrize("condition", [10, 1e3, 1e5])
def test_accelerated_gradient_keeps_its_bound(condition):
    hessian, minimum = least_squares(condition)
    optimizer = AcceleratedGD(1.0, gradient_accumulation_steps=None)
    start = np.zeros(len(minimum))

    def both(w):  # the iterate, and the point ahead of it that the model holds
        return tf.concat([w - tf.convert_to_tensor(optimizer.slots[0][0].value), w], 0)

    path = minimized(optimizer, lambda w: tf.linalg.matvec(hessian, w - minimum), start, 400, both)
    k = np.arange(1, 401)
    bound = 2 * np.sum((start - minimum) ** 2) / (k + 1) ** 2
    for points in np.split(path, 2, axis=1):
        assert (excess(points, hessian, minimum)[1:] <= bound * (1 + 1e-9)).all()


@pytest.mark.parametrize("condition", [10, 100, 1e3, 1e4])
def test_accelerated_gradient_needs_at_most_twice_the_steps_of_tuned_nesterov(condition):
    hessian, minimum = least_squares(condition)
    root = condition**0.5
    contenders = [
        AcceleratedGD(1.0, gradient_accumulation_steps=None),
        BatchGD(1.0, momentum=(root - 1) / (root + 1), nesterov=True),
    ]
    steps = []
    for optimizer in contenders:
        path = minimized(
            optimizer, lambda w: tf.linalg.matvec(hessian, w - minimum), np.zeros(len(minimum)), int(40 * root)
        )
        steps.append(int(np.argmax(excess(path, hessian, minimum) < 1e-8)))
    assert 0 < steps[0] <= 2 * steps[1]


def distance_after_a_game(make, alternating=False, steps=1000):
    """From the solution of min over x, max over y of x * y, begun at (1, 1)."""
    x, y = (keras.Variable(np.float64([1.0]), dtype="float64") for _ in range(2))
    players = make(), make()
    for player, variable in zip(players, (x, y), strict=True):
        player.build([variable])

    @tf.function
    def play():
        for _ in tf.range(steps):
            of_x, of_y = y.value + 0, -x.value
            players[0].apply([of_x], [x])
            players[1].apply([-x.value if alternating else of_y], [y])

    play()
    return np.hypot(float(x[0]), float(y[0]))


GAME = [  # computed apart from this package, learning rate 0.1
    ("simultaneous descent", lambda: BatchGD(0.1), False, 204.74),
    ("alternating descent", lambda: BatchGD(0.1), True, 1.399),
    ("momentum 0.5", lambda: BatchGD(0.1, momentum=0.5), False, 3.2e19),
    ("alternating, momentum -0.5", lambda: OptimisticGD(0.1, momentum=-0.5, optimism=0.0), True, 0.3164),
    ("optimistic", lambda: OptimisticGD(0.1), False, 0.00892),
]


@pytest.mark.parametrize(("make", "alternating", "distance"), [case[1:] for case in GAME], ids=[c[0] for c in GAME])
def test_bilinear_game(make, alternating, distance):
    digits = 2e-2 if distance == 3.2e19 else 1e-3  # the figure has two digits there
    assert distance_after_a_game(make, alternating) == pytest.approx(distance, rel=digits)
