"""Where the runs of several seeds lie: RUN_DIR/seed-K, one for each seed K."""

from recipes.run.names import CONFIG


def directory_of_seed(directory, seed):
    """The directory of the run of one seed.

    Args:
        directory: `pathlib.Path` of all of them.
        seed: int.
    """
    return directory / f"seed-{seed}"


def directories_of_seeds(directory):
    """The directories of the runs that were begun, a list in the order of their seeds."""
    found = [path.parent for path in directory.glob(f"seed-*/{CONFIG}")]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def first_of_seeds(directory):
    """A run of several seeds or of a comparison, to give as an example, whether it was begun or not."""
    return min(directory.glob("**/seed-*"), default=directory_of_seed(directory, 0))
