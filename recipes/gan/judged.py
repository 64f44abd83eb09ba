import keras

BEST = "best.keras"  # the file of the best model so far
COLLAPSED = 0.5  # share of the entropy of the training images' classes, below which a GAN has collapsed


class Judged(keras.callbacks.Callback):
    """Judges the averaged generator every few epochs, keeps the best model, and reports a collapse.

    The figures of the judge go to the logs of the epoch. GANs get worse after their best point, so the model is saved
    whenever its distance is the lowest so far, also of the epochs before a restart.

    Args:
        judge: `recipes.gan.judge.Judge`.
        every: int >= 1, epochs from one judgement to the next; the last epoch is always judged.
        run: object with the methods `history` and `write` of `recipes.run.Run`; the best model is written to
            `best.keras`.
    """

    def __init__(self, judge, every, run):
        super().__init__()
        self.judge, self.every, self.run, self._before = judge, every, run, []

    def on_train_begin(self, logs=None):
        self._before = [row for row in self.run.history() if "distance" in row]

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        found = self.judge.distances(self.model)
        if found["distance"] < min((row["distance"] for row in self._before), default=float("inf")):
            self.run.write(BEST, self.model.save)
        least = COLLAPSED * self.judge.class_entropy
        if found["class_entropy"] < least <= (self._before[-1]["class_entropy"] if self._before else 1.0):
            print(f"\nCollapse: after epoch {epoch + 1} the generator leaves out classes ({_words(found)}).")
        self._before.append(found)
        logs.update(found)


def _words(found):
    return f"entropy {found['class_entropy']:.0%} of that of all classes alike, distance {found['distance']:.3g}"
