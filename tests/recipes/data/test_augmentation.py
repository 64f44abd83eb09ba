import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import chisquare

from recipes.data import Augmentation

N, HEIGHT, WIDTH = 23, 7, 9
X = np.random.default_rng(0).integers(0, 256, (N, HEIGHT, WIDTH, 3), np.uint8)
ROWS = np.arange(N)
KINDS = {
    "uint8": X,
    "grey": X[..., :1],
    "float32": X.astype("float32") / 255,
    "float64": X.astype("float64"),
    "one image": X[:1],
    "not in order in memory": X[::-1, :, ::-1],
    "transposed in memory": np.asfortranarray(X),
}
DEFAULTS = {"translate": 0, "cutout": 0, "flip": "none", "seed": 0}
ALL = {"translate": 2, "flip": "random", "cutout": 3}
CASES = [
    {"translate": 1},
    {"translate": 6},
    {"flip": "random"},
    {"flip": "alternating"},
    {"cutout": 1},
    {"cutout": 7},
    ALL,
    {**ALL, "flip": "alternating", "seed": 2**32 - 1},
]


def drawn(given, epoch, n):
    """Shifts, mirrors and corners as the docstring has them, from numpy's generator."""
    t, side, flip, seed = (given.get(name, default) for name, default in DEFAULTS.items())
    stream = lambda epoch, number: np.random.default_rng([seed, epoch, number])  # noqa: E731
    shifts = stream(epoch, 1).integers(0, 2 * t + 1, (n, 2)) - t
    coins = stream(0 if flip == "alternating" else epoch, 2).random(n) < 0.5
    mirrored = {"none": coins & False, "random": coins, "alternating": coins ^ (epoch % 2 == 1)}[flip]
    return shifts, mirrored, stream(epoch, 3).integers(0, (HEIGHT - side + 1, WIDTH - side + 1), (n, 2))


def slowly(x, given, epoch):
    """All images one by one: padded by numpy, sliced, mirrored, filled."""
    t, side = given.get("translate", 0), given.get("cutout", 0)
    colour = x.reshape(-1, x.shape[-1]).astype(np.float64).mean(axis=0)
    colour = np.rint(colour) if x.dtype.kind in "ui" else colour
    images = []
    for image, (dy, dx), mirrored, (top, left) in zip(x, *drawn(given, epoch, len(x)), strict=True):
        padded = np.pad(image, ((t, t), (t, t), (0, 0)), mode="reflect")
        image = padded[t + dy : t + dy + HEIGHT, t + dx : t + dx + WIDTH].copy()
        image = np.fliplr(image).copy() if mirrored else image
        if side:
            image[top : top + side, left : left + side] = colour
        images.append(image)
    return np.stack(images)


@pytest.mark.parametrize("x", KINDS.values(), ids=KINDS)
def test_a_slow_loop_gives_the_same(x):
    before = x.copy()
    for given in CASES:
        augmented = Augmentation(**given).of(x)
        for epoch in (0, 1, 4):
            images = augmented(np.arange(len(x)), epoch)
            assert images.dtype == x.dtype
            np.testing.assert_allclose(images, slowly(x, given, epoch), rtol=1e-6 if x.dtype.kind == "f" else 0)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("given", CASES, ids=str)
def test_neither_batches_nor_their_order_nor_what_was_drawn_before_matter(given):
    expected = Augmentation(**given).of(X)(ROWS, 3)
    augmented = Augmentation(**given).of(X)
    order = np.random.default_rng(0).permutation(N)
    for size in (1, 4, N):
        for epoch in (7, 0, 3):
            parts = [augmented(order[i : i + size], epoch) for i in range(0, N, size)]
        np.testing.assert_array_equal(np.concatenate(parts), expected[order])
    np.testing.assert_array_equal(augmented(np.array([5, 5, 2]), 3), expected[[5, 5, 2]])
    assert augmented(ROWS[:0], 3).shape == (0, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("given", [{"translate": 2}, {"flip": "random"}, {"flip": "alternating"}])
def test_what_an_image_becomes_does_not_depend_on_how_many_follow_it(given):
    few, many = (Augmentation(**given).of(x)(ROWS[:10], 3) for x in (X[:10], X))
    np.testing.assert_array_equal(few, many)


def test_seeds_and_epochs_differ_and_one_kind_leaves_the_others_as_they_are():
    seen = [Augmentation(**ALL, seed=seed).of(X)(ROWS, epoch).tobytes() for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(seen)) == 4
    alone, shifted = Augmentation(flip="random").of(X), Augmentation(translate=1, flip="random").of(X)
    np.testing.assert_array_equal(alone._draws_of(2).mirrored, shifted._draws_of(2).mirrored)


def test_nothing_to_do():
    assert Augmentation().changes_nothing
    assert not any(Augmentation(**given).changes_nothing for given in CASES)
    augmented = Augmentation(seed=3).of(X)
    np.testing.assert_array_equal(augmented(ROWS[::-1], 5), X[::-1])
    assert not np.shares_memory(augmented(ROWS, 5), X)


def is_mirrored(flip, n, epoch):
    """Which of `n` images of two pixels, 0 and 1, change sides."""
    x = np.tile(np.array([0, 1], np.uint8)[:, None], (n, 1, 1, 1))
    return Augmentation(flip=flip, seed=1).of(x)(np.arange(n), epoch)[:, 0, 0, 0] == 1


@pytest.mark.parametrize("flip", ["random", "alternating"])
@pytest.mark.parametrize("epoch", [0, 1, 6])
def test_half_of_the_images_are_mirrored(flip, epoch):
    assert abs(is_mirrored(flip, 10_000, epoch).mean() - 0.5) < 0.015  # 3 standard deviations


def test_alternating_shows_both_mirror_images_in_any_two_epochs_and_a_coin_does_not():
    for first in range(5):
        assert (is_mirrored("alternating", 1000, first) ^ is_mirrored("alternating", 1000, first + 1)).all()
        both = is_mirrored("random", 1000, first) ^ is_mirrored("random", 1000, first + 1)
        assert 0.4 < both.mean() < 0.6


def test_shifts_are_uniform():
    t, n = 2, 10_000
    x = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1).repeat(n, axis=0)
    corner = Augmentation(translate=t, seed=1).of(x)(np.arange(n), 1)[:, t, t, 0]  # its value is its place
    values, counts = np.unique(corner, return_counts=True)
    assert values.tolist() == [6 * row + column for row in range(2 * t + 1) for column in range(2 * t + 1)]
    assert chisquare(counts).pvalue > 0.01


def test_squares_are_whole_and_anywhere():
    side, n = 3, 10_000
    x = np.zeros((n, 5, 6, 1), np.float32)
    x[::2] = 2  # mean 1
    images = Augmentation(cutout=side, seed=1).of(x)(np.arange(n), 1)[..., 0]
    filled = images == 1
    assert (filled.sum(axis=(1, 2)) == side**2).all()
    places = filled.reshape(n, -1).argmax(axis=1)  # top left
    values, counts = np.unique(places, return_counts=True)
    assert values.tolist() == [6 * row + column for row in range(3) for column in range(4)]
    assert chisquare(counts).pvalue > 0.01


def test_the_mean_colour_is_rounded_and_its_sum_does_not_overflow():
    x = np.full((4, 300, 300, 3), (255, 254, 1), np.uint8)
    x[0] -= 1
    images = Augmentation(cutout=300).of(x)(np.arange(4), 0)
    np.testing.assert_array_equal(images, np.broadcast_to(np.uint8([255, 254, 1]), x.shape))


def test_threads_in_different_epochs_do_not_disturb_each_other():
    augmented = Augmentation(**ALL).of(X)
    expected = [slowly(X, ALL, epoch) for epoch in range(3)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: augmented(ROWS, i % 3), range(300)))
    for i, images in enumerate(found):
        np.testing.assert_array_equal(images, expected[i % 3])


def test_it_can_be_sent_to_another_process():
    augmented = Augmentation(**ALL).of(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(augmented))(ROWS, 2), augmented(ROWS, 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"translate": -1}, "`translate` must be an int >= 0"),
        ({"translate": 1.0}, "`translate` must be an int >= 0"),
        ({"translate": True}, "`translate` must be an int >= 0"),
        ({"flip": "up"}, "`flip` must be one of 'none', 'random', 'alternating'. Received: 'up'"),
        ({"flip": None}, "`flip` must be one of"),
        ({"cutout": -1}, "`cutout` must be an int >= 0"),
        ({"cutout": "8"}, "`cutout` must be an int >= 0"),
        ({"seed": -1}, "`seed` must be an int >= 0 and < 2\\*\\*32. Received: seed=-1"),
        ({"seed": 2**32}, "`seed` must be"),
        ({"seed": None}, "`seed` must be"),
        ({"translate": HEIGHT}, "`translate` must be at most 6 for images of 7×9 pixels. Received: translate=7"),
        ({"cutout": HEIGHT + 1}, "`cutout` must be at most 7 for images of 7×9 pixels. Received: cutout=8"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=f"^Augmentation: {said}"):
        Augmentation(**given).of(X)


@pytest.mark.parametrize("shape", [(4, 8, 8), (4,), (0, 8, 8, 3), (4, 8, 8, 0)])
def test_arrays_that_are_no_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"Augmentation: `x` must be an array \(n, height, width, channels\)"):
        Augmentation().of(np.zeros(shape))
