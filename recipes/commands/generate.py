import pathlib

from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras

MOST = 100_000  # images


def generate(run, count, out, label=None, seed=0):
    """Write a grid of images that a finished run's generator makes, by its average.

    Args:
        run: `SavedRun` of a GAN.
        count: int in 1 to 100,000, images.
        out: path of the picture; its ending says the format, such as .png. It must not exist.
        label: str, name of the class that all of them are to be of; None: each class in turn.
        seed: int >= 0, of the noise.

    Raises:
        CommandError: there is no such class, or a file already.
        WorldError: the picture cannot be written.
    """
    out = pathlib.Path(out)
    if out.exists():
        raise CommandError(f"--out {out} is there already; name another file")
    if not 1 <= count <= MOST:
        raise CommandError(f"--n must lie in 1 to {MOST}; it is {count}")
    labels = None if label is None else [_number(run, label)] * count
    start_keras(dtype=run.recipe.DTYPE)
    from PIL import Image

    from callbacks.write_whole import write_whole
    from recipes.report.grid import grid

    if Image.registered_extensions().get(out.suffix.lower()) not in Image.SAVE:  # some are only read
        raise CommandError(f"--out {out}: there is no picture format '{out.suffix}'; take .png")
    columns = len(run.data["classes"]) if run.settings.classes and label is None else None
    picture = grid(run.model().generate(count, labels, seed), columns)
    try:
        write_whole(out, picture.save)
    except OSError as error:
        raise WorldError(f"cannot write {out}: {error.strerror or error}") from error
    print(f"{count} images: {out}")


def _number(run, label):
    from recipes.settings.nearest import unknown

    if not run.settings.classes:
        raise CommandError(f"--label: {run.settings.variant} is not told classes; cgan_pd is")
    classes = run.data["classes"]
    if label not in classes:
        raise CommandError(f"--label: {unknown('class', label, classes)}")
    return classes.index(label)
