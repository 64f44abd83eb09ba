import pathlib

from recipes import run as runs
from recipes import training
from recipes.commands import pages
from recipes.commands.aside import muted
from recipes.commands.parser import (
    add_computing,
    add_data_dir,
    add_quiet,
    add_run_dir,
    add_settings,
    places,
    resolved,
)
from recipes.commands.recipe_name import add_recipe_command
from recipes.errors import CommandError, WorldError
from recipes.report import words
from recipes.settings.quantities import counted
from recipes.training import contract
from recipes.training.outcomes import DIVERGED, STOPPED_EARLY


def add(commands, name):
    """Add the parser of `train`."""
    add_recipe_command(
        commands, name, _train, "train a recipe, or go on with a run that was interrupted", add_options=_add_options
    )


def _add_options(parser, cls):
    add_settings(parser, cls)
    group = parser.add_argument_group("run")
    add_run_dir(group)
    group.add_argument("--seeds", metavar="N", type=_seeds, help="train with N seeds, from --seed up, and average")
    group.add_argument(
        "--results", metavar="DIR", default="results", help="with --seeds: where the table of averages is (results)"
    )
    add_computing(group, cls)
    loud = group.add_mutually_exclusive_group()
    add_quiet(loud)
    loud.add_argument(
        "--verbose",
        action="store_true",
        help="a line for each epoch, with all that is logged; all settings of a --dry-run",
    )
    group.add_argument("--dry-run", action="store_true", help="say what it would take, and train nothing")
    add_data_dir(parser)
    parser.add_argument("--download", action="store_true", help="allow the images to be downloaded if they are missing")


def _seeds(text):
    if not (text.isascii() and text.isdigit()) or not 2 <= int(text) <= 10_000:
        raise CommandError(f"--seeds must lie in 2 to 10000; it is {text}")
    return int(text)


def _train(asked):
    recipe, options = resolved(asked), {**places(asked), "download": asked.download}
    if asked.dry_run:
        training.dry_run(recipe, asked.seeds, **options, verbose=asked.verbose)
        return
    asked.advice = "; the same command goes on from the last epoch that was saved"
    options["verbose"] = 0 if asked.quiet else 2 if asked.verbose else "auto"
    if asked.seeds:
        with muted(asked.quiet):
            seeds = training.train_seeds(recipe, asked.seeds, asked.run_dir, asked.results, ended=_leave, **options)
        report_seeds(recipe, *seeds, asked.results)
        return
    with muted(asked.quiet):
        result, directory = training.train(recipe, asked.run_dir, **options)
    report_run(recipe, result, directory, asked.quiet)


def report_run(recipe, result, directory, is_quiet=False):
    """Print what a run has come to, and leave curves, a page and a model card in its directory.

    Args:
        recipe: `recipes.recipe.Recipe`.
        result, directory: what `recipes.training.train` gives.
        is_quiet: bool, whether it is not told where the pages are.

    Raises:
        WorldError: training diverged, or the result is damaged.
    """
    with runs.may_be_damaged(pathlib.Path(directory, runs.names.RESULT)):  # by which a run is told once more
        has_diverged = result["outcome"] == DIVERGED
        sentence = words.divergence(result) if has_diverged else _sentence(recipe, result)
    if not has_diverged:
        print(sentence if is_quiet else "\n" + sentence)
    with muted(is_quiet):
        _leave(directory)
    if has_diverged:
        raise WorldError(f"{sentence}; {words.advice(recipe)}; see {directory}")


def _sentence(recipe, result):
    """What came of a training that has not diverged, with a line on its end if that came early."""
    reason = f": {result['reason']}" if result.get("reason") else ""
    early = f"Stopped early, after {counted(result['epochs'], 'epoch')}{reason}.\n"
    return (early if result["outcome"] == STOPPED_EARLY else "") + contract.summary(recipe, result)


def _leave(directory):
    """Leave what readers look at in the directory of a run that has ended."""
    pages.write_curves(directory)
    pages.write_page(directory)
    pages.write_card(directory)


def report_seeds(recipe, row, directory, results):
    """Print what several seeds reached.

    Args:
        recipe: `recipes.recipe.Recipe`.
        row, directory: what `recipes.training.train_seeds` gives.
        results: directory of the tables that the row was added to.
    """
    print(
        f"\n{recipe.score}: {row['mean']:.5g} ± {row['standard_deviation']:.2g} (standard deviation of {row['n']} "
        f"seeds), 95 % interval of the mean {row['low']:.5g} to {row['high']:.5g}."
    )
    print(f"Each seed: {directory / runs.names.SEEDS}. A row in {training.table_of(recipe, results)}.")
