from recipes import data as sets
from recipes.classification.classification import Classification
from recipes.errors import CommandError
from recipes.settings import choice, whole
from recipes.settings.fields import option_of
from recipes.settings.images import FLIPS

MOST = 1023  # pixels


class Augmented(Classification, is_base=True):
    """A classifier whose mini-batches may be of changed images."""

    flip: str = choice("none", "mirror images; alternating: in every other epoch", names=FLIPS, changes="data")
    translate: int = whole(
        0, "largest shift of an image in pixels, each way, less than its side", least=0, most=MOST, changes="data"
    )
    cutout: int = whole(
        0,
        "side in pixels of the square that is painted over, at most that of the image",
        least=0,
        most=MOST,
        changes="data",
    )

    def check(self):
        super().check()
        changes = {"flip": self.flip if self.flip != "none" else 0, "translate": self.translate, "cutout": self.cutout}
        changed = next((name for name, value in changes.items() if value), None)
        if changed is not None and self.steps == "epoch":
            raise CommandError(
                f"{option_of(changed)}: full batches are the same images at each update, mini-batches "
                f"(--gradient-accumulation-steps 1) are not; it is {changes[changed]}"
            )

        side = min(self.shape[:2])
        for name, most in (("translate", side - 1), ("cutout", side)):
            if getattr(self, name) > most:
                raise CommandError(f"{option_of(name)} must be at most {most}, of images of {side} pixels")

    @property
    def augmentation(self):
        return sets.Augmentation(self.translate, self.flip, self.cutout, self.seed)
