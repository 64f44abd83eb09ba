import keras

COLLAPSED = 0.5  # of the entropy that the classes of the training images have


class Judged(keras.callbacks.Callback):
    """Judges the generator's average now and then, keeps the best, and tells of a collapse.

    What the judge finds goes to the logs of the epoch. GANs get worse behind their best point, so the model is saved
    whenever its distance is the lowest so far, those before a restart too.

    Args:
        judge: `recipes.gan.judge.Judge`.
        every: int >= 1, epochs; the last one is always judged.
        history: function that gives the logs of all epochs before this one.
        keep: function that saves the model.
    """

    def __init__(self, judge, every, history, keep):
        super().__init__()
        self.judge, self.every, self.history, self.keep = judge, every, history, keep

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        found = self.judge.distances(self.model)
        before = [row for row in self.history() if "distance" in row]
        if found["distance"] < min((row["distance"] for row in before), default=float("inf")):
            self.keep(self.model)
        least = COLLAPSED * self.judge.class_entropy
        if found["class_entropy"] < least <= (before[-1]["class_entropy"] if before else 1.0):
            print(f"\nCollapse: after epoch {epoch + 1} the generator leaves out classes ({_words(found)}).")
        logs.update(found)


def _words(found):
    return f"entropy {found['class_entropy']:.0%} of that of all classes alike, distance {found['distance']:.3g}"
