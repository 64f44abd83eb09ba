import math

import numpy as np

from recipes.gan.metrics import class_statistics, frechet_distance, kernel_distance, nearest_distances

SPLITS = 20  # pairs of halves of the real images; the floor is the mean of their distances
MOST = 5000  # images that are generated to be judged, at most
LOOKED_UP = 1000  # images whose nearest training image is looked for, at most
ALIKE = 1.1  # classes count as equally frequent if the largest has at most this many times the images of the smallest
SEED = 0


class Judge:
    """Judges a GAN by the features of a classifier, and compares it with the figures of real images.

    ```python
    reference, rest = halves of the training images                           # always the same; see `classes`
    distance = frechet_distance(features(reference), features(generated))     # len(generated) = len(rest) <= 5,000
    floor = mean(frechet_distance(features(a), features(b)))                  # a, b: 20 other pairs of halves
    ```

    `distance` is a Fréchet classifier distance, not an FID. It depends on the classifier, the reference and the number
    of images. Compare it with its floor, the distance of real images from real images.

    Args:
        classifier: `recipes.gan.classifier.Classifier`.
        images: `recipes.data.Images`; the GAN is trained on their training part.
        classes: bool, whether the GAN is conditional. Then both halves and the generated images have the same share of
            each class: equal shares if the classes are equally frequent (within 10 %), and otherwise the shares of the
            training images.
    """

    def __init__(self, classifier, images, classes):
        self.classifier, self.images, self.classes = classifier, images, classes
        self._features = classifier.features(images.train[0])
        reference, rest = self._halves(SEED)
        self.samples, self.reference = len(rest), self._features[reference]
        splits = [self._halves(SEED + 1 + number) for number in range(SPLITS)]
        floors = [frechet_distance(self._features[a], self._features[b]) for a, b in splits]
        self.floor, self.floor_deviation = float(np.mean(floors)), float(np.std(floors))
        self._labels = labels_in_turn(images.train[1][rest], len(images.classes)) if classes else None
        real = np.eye(len(images.classes))[images.train[1]]
        self.class_entropy = _share_of_entropy(class_statistics(real), len(images.classes))

    def distances(self, gan):
        """The figures that are computed during training: a dict of floats."""
        features, probabilities, _ = self._generated(gan)
        return self._distances(features, probabilities)

    def __call__(self, gan):
        """All figures of a GAN: a dict of those of `distances`, of their floor and of how they were computed."""
        features, probabilities, generated = self._generated(gan)
        found = self._distances(features, probabilities)
        kernel, deviation = kernel_distance(self.reference, features)
        some = generated[:: -(-len(generated) // LOOKED_UP)]
        unseen = self.images.test[0][:LOOKED_UP]
        nearest, of_real = (nearest_distances(each, self.images.train[0]).mean() for each in (some, unseen))
        return {
            **found,
            "distance_floor_deviation": self.floor_deviation,
            "distance_over_floor": found["distance"] / self.floor,
            "kernel_distance": kernel,
            "kernel_distance_deviation": deviation,
            "nearest_training_image": float(nearest),
            "nearest_training_image_of_test_images": float(of_real),
            "reference_images": len(self.reference),
            "generated_images": len(generated),
            **self.classifier.about(self.images),
        }

    def _distances(self, features, probabilities):
        found = class_statistics(probabilities, self._labels)
        entropy = _share_of_entropy(found, probabilities.shape[1])
        distance = frechet_distance(self.reference, features)
        return {"distance": distance, "distance_floor": self.floor, "class_entropy": entropy, **found}

    def _generated(self, gan):
        images = gan.generate(self.samples, self._labels, seed=SEED)
        return *self.classifier.judged(images), images

    def _halves(self, seed):
        """The rows of a random half of the training images, and at most 5,000 rows of the other half."""
        rng, y = np.random.default_rng(seed), self.images.train[1]
        if not self.classes:
            order = rng.permutation(len(y))
            return order[: len(y) // 2], order[len(y) // 2 :][:MOST]
        groups = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
        halves = [g[: len(g) // 2] for g in groups], [g[len(g) // 2 :] for g in groups]
        share = min(1, MOST / sum(map(len, halves[1])))
        return np.concatenate(halves[0]), np.concatenate([g[: math.ceil(share * len(g))] for g in halves[1]])


def labels_in_turn(y, classes):
    """As many labels as `y` has, each class in turn: equally often if `y` nearly does so, else as often as in `y`."""
    counts = np.bincount(y, minlength=classes)
    if counts.max() <= ALIKE * counts.min():
        return np.arange(len(y)) % classes
    rows = [(np.arange(count) + 0.5) / count for count in counts]  # the place of each image in its class, 0 to 1
    return np.repeat(np.arange(classes), counts)[np.argsort(np.concatenate(rows), kind="stable")]


def _share_of_entropy(statistics, classes):
    """The entropy as a share of that of equally frequent classes. It is removed from the dict of statistics."""
    return statistics.pop("entropy") / math.log(classes)
