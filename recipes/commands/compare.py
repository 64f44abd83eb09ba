from recipes import comparison as comparisons
from recipes import report
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
from recipes.commands.recipe_name import add_recipe_command, has_objectives
from recipes.comparison.budget import Budget, parse_budget
from recipes.comparison.contenders import parse_contenders

USUAL = Budget("epochs", 10)  # of a training


def add(commands, name):
    """Add the parser of `compare`."""
    text = "compare optimizers, each with a learning rate searched for it"
    add_recipe_command(commands, name, _compare, text, add_options=_add_options, takes=has_objectives)


def _add_options(parser, cls):
    add_settings(parser, cls, instead=_instead(cls))
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--optimizers",
        metavar="NAMES",
        action="append",
        help="such as adam,momentum@batch_size=32,stochastic:=sgd@batch_size=1: as --optimizer, with settings, named",
    )
    group.add_argument(
        "--clippings",
        metavar="NAMES",
        action="append",
        help="each optimizer with each of these, such as none,agc:0.01",
    )
    group.add_argument(
        "--schedules",
        metavar="NAMES",
        action="append",
        help="each optimizer with each of these, such as cosine,linear",
    )
    group.add_argument(
        "--budget",
        metavar="KIND=N",
        help=f"of a training: epochs=N, updates=N or seconds=N (the epochs that --preset sets, or else {USUAL})",
    )
    group.add_argument("--seeds", metavar="N", type=int, default=3, help="trainings of each, from --seed + 1 up (3)")
    group.add_argument("--trials", metavar="N", type=int, default=8, help="trainings to find each learning rate (8)")
    group.add_argument(
        "--target", metavar="X", type=float, help="validation score; the table says what it took to reach it"
    )
    group.add_argument("--target-loss", metavar="X", type=float, help="the same of the training loss, as it is logged")
    group.add_argument("--workers", metavar="N", type=int, default=1, help="trainings at a time (1)")
    add_run_dir(group)
    add_quiet(group)
    add_computing(group, cls)
    add_data_dir(parser)


def _instead(cls):
    """The settings that are no options of a comparison: what is to be done in place of each, a dict."""
    own = {
        name: f"each optimizer has its own: --optimizers NAME@{name}=VALUE"
        for name, setting in cls.settings().items()
        if setting.of_optimizer
    }
    return {
        "epochs": "give --budget epochs=N",
        "optimizer": "give --optimizers NAME,NAME",
        "learning_rate": "the learning rate is searched for each optimizer",
        **own,
    }


def _budget(asked, recipe):
    """What each training gets: what --budget says; without it the epochs that --preset sets, or else the usual ones."""
    if asked.budget is not None:
        return parse_budget(asked.budget)
    has_epochs = "epochs" in recipe.presets.get(asked.preset, {})
    return Budget("epochs", recipe.epochs) if has_epochs else USUAL


def _compare(asked):
    recipe = resolved(asked)
    contenders = parse_contenders(asked.recipe, asked.optimizers or (), asked.clippings, asked.schedules)
    budget = _budget(asked, recipe)
    if asked.is_config_whole and not asked.quiet:
        left_out = ", ".join(_instead(asked.recipe))
        print(f"Of {asked.config}, {left_out} are left out: a comparison decides them.")
    comparison = comparisons.Comparison(
        tuple(contenders), budget, asked.seeds, asked.trials, asked.target, asked.target_loss, asked.workers
    )
    asked.advice = "; the same command goes on with the comparison"
    with muted(asked.quiet):
        rows, run = comparisons.compare(recipe, comparison, asked.run_dir, **places(asked))
    report.report_comparison(recipe, comparison, rows, run)
    pages.write_page(run.directory)
