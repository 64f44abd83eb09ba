import pathlib

from recipes import gan
from recipes import run as runs
from recipes.commands.parser import add_command, add_saved_run
from recipes.errors import CommandError
from recipes.machine.backend import start_keras
from recipes.settings.nearest import unknown

MOST, USUAL = 100_000, 64  # images of a picture


def add(commands, name):
    """Add the parser of `generate`."""
    parser = add_command(commands, name, _generate, "write a picture with images that a finished GAN generates")
    add_saved_run(parser)
    parser.add_argument(
        "--n",
        metavar="N",
        type=int,
        help="how many images (64, or as many as fill rows with a column for each class)",
    )
    parser.add_argument("--out", metavar="FILE", required=True, help="the picture file to write, such as grid.png")
    parser.add_argument("--label", metavar="NAME", help="class of all images; by default each class in turn")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the noise (0)")


def _generate(asked):
    if not 0 <= asked.seed < 2**32:
        raise CommandError(f"--seed must lie in 0 to 4294967295; it is {asked.seed}")
    generate(runs.SavedRun(asked.run_dir, "generate"), asked.n, asked.out, asked.label, asked.seed)


def generate(run, count, out, label=None, seed=0):
    """Write a picture with a grid of images from the averaged generator of a finished run.

    Args:
        run: `recipes.run.SavedRun` of a GAN.
        count: int in 1 to 100,000, how many images; None for about 64, which fill the rows.
        out: path of the picture, which must not exist. Its ending, such as .png, decides the format.
        label: str, name of the class of all images; None for each class in turn.
        seed: int >= 0, of the noise.

    Raises:
        CommandError: there is no such class, or the file exists already.
        WorldError: the picture cannot be written.
    """
    out = pathlib.Path(out)
    if out.exists():
        raise CommandError(f"--out {out} is there already; name another file")
    columns = len(run.data["classes"]) if run.recipe.classes and label is None else None
    count = gan.whole_rows(USUAL, columns) if count is None else count
    if not 1 <= count <= MOST:
        raise CommandError(f"--n must lie in 1 to {MOST}; it is {count}")
    labels = None if label is None else [_number(run, label)] * count
    _check_format(out)
    start_keras(float64=run.recipe.needs_float64)
    picture = gan.grid(run.model().generate(count, labels, seed), columns)
    runs.write_file(out, picture.save)
    print(f"{count} images: {out}")


def _number(run, label):
    if not run.recipe.classes:
        raise CommandError(f"--label: {run.recipe.variant} generates without classes; train the variant cgan_pd")
    classes = run.data["classes"]
    if label not in classes:
        raise CommandError(f"--label: {unknown('class', label, classes)}")
    return classes.index(label)


def _check_format(out):
    from PIL import Image

    if Image.registered_extensions().get(out.suffix.lower()) not in Image.SAVE:  # Pillow can only read some formats
        raise CommandError(f"--out {out}: there is no picture format '{out.suffix}'; take .png")
