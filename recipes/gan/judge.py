import math

import numpy as np

from recipes.gan.metrics import class_statistics, frechet_distance, kernel_distance, nearest_distances

SPLITS = 20  # that the floor is the mean of
MOST = 5000  # images that are generated to be judged
LOOKED_UP = 1000  # images, at most, whose nearest training image is looked for
ALIKE = 1.1  # images of the largest class for one of the smallest, at most, where classes count as equally frequent
SEED = 0


class Judge:
    """Judges a GAN by the features of a classifier, beside what real images get.

    ```python
    reference, rest = halves of the training images                           # the same for all; see `classes`
    distance = frechet_distance(features(reference), features(generated))     # as many as rest, 5,000 at most
    floor = mean(frechet_distance(features(a), features(b)))                  # a, b: halves as these, 20 times
    ```

    `distance` is a Fréchet classifier distance. It is no FID: it goes with the classifier, the reference and the number
    of images, and is to be read beside its floor.

    Args:
        classifier: `recipes.gan.classifier.Classifier`.
        images: `recipes.data.Images`, whose training part the GAN has.
        classes: bool, whether the GAN is told classes: then halves have the same share of each, and so have generated
            images: alike where classes are (within 10 %), and otherwise that of the training images.
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
        """What can be looked at during training: a dict of floats."""
        features, probabilities, _ = self._generated(gan)
        return self._distances(features, probabilities)

    def __call__(self, gan):
        """All there is to say of a GAN: a dict of what `distances` gives, and of what it is to be read with."""
        features, probabilities, generated = self._generated(gan)
        found = self._distances(features, probabilities)
        kernel, deviation = kernel_distance(self.reference, features)
        some = generated[:: -(-len(generated) // LOOKED_UP)]
        unseen = self.images.test[0][:LOOKED_UP]
        nearest, of_real = (nearest_distances(each, self.images.train[0]).mean() for each in (some, unseen))
        return {
            **found,
            "distance_floor": self.floor,
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
        return {"distance": frechet_distance(self.reference, features), "class_entropy": entropy, **found}

    def _generated(self, gan):
        images = gan.generate(self.samples, self._labels, seed=SEED)
        return *self.classifier.judged(images), images

    def _halves(self, seed):
        """Rows of a random half of the training images and of the other, 5,000 of it at most."""
        rng, y = np.random.default_rng(seed), self.images.train[1]
        if not self.classes:
            order = rng.permutation(len(y))
            return order[: len(y) // 2], order[len(y) // 2 :][:MOST]
        groups = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
        halves = [g[: len(g) // 2] for g in groups], [g[len(g) // 2 :] for g in groups]
        share = min(1, MOST / sum(map(len, halves[1])))
        return np.concatenate(halves[0]), np.concatenate([g[: math.ceil(share * len(g))] for g in halves[1]])


def labels_in_turn(y, classes):
    """As many labels as `y` has, each class in turn: alike if they are in `y`, and otherwise as often as there."""
    counts = np.bincount(y, minlength=classes)
    if counts.max() <= ALIKE * counts.min():
        return np.arange(len(y)) % classes
    rows = [(np.arange(count) + 0.5) / count for count in counts]  # where each image of a class stands among them
    return np.repeat(np.arange(classes), counts)[np.argsort(np.concatenate(rows), kind="stable")]


def _share_of_entropy(statistics, classes):
    """Of all classes alike; taken out of what `class_statistics` gives."""
    return statistics.pop("entropy") / math.log(classes)
