from recipes import report, tuning
from recipes import run as runs
from recipes.commands import pages
from recipes.commands.aside import aside, muted
from recipes.commands.parser import (
    add_computing,
    add_data_dir,
    add_json,
    add_quiet,
    add_run_dir,
    add_settings,
    places,
    resolved,
)
from recipes.commands.recipe_name import add_recipe_command, has_objectives
from recipes.errors import CommandError
from recipes.settings.fields import MOST, option_of
from recipes.settings.presets import resolve
from recipes.tuning.search import TUNERS, Search
from recipes.tuning.space import example, parse_space, usual_space


def add(commands, name):
    """Add the parser of `tune`."""
    text = "search settings of a recipe, or go on with a search"
    add_recipe_command(commands, name, _tune, text, add_options=_add_options, takes=has_objectives)


def _add_options(parser, cls):
    usual = ",".join(usual_space(resolve(cls, {})))
    add_settings(parser, cls, instead={"epochs": "give --max-epochs N"})
    add_json(parser)
    group = parser.add_argument_group("search")
    group.add_argument("--tuner", metavar="NAME", default="hyperband", help=f"{', '.join(TUNERS)} (hyperband)")
    group.add_argument("--trials", metavar="N", type=int, default=20, help="configurations to try (20)")
    group.add_argument("--max-epochs", metavar="N", type=int, help="of the longest trial; by default the recipe's")
    group.add_argument(
        "--space",
        metavar="NAMES",
        action="append",
        help=f"settings to search, such as schedule,learning_rate=0.01:1,batch_size=32/64 ({usual})",
    )
    group.add_argument("--metric", metavar="NAME", help=f"what is best: {', '.join(cls.objectives)}")
    group.add_argument("--workers", metavar="N", type=int, default=1, help="trials at a time on this machine (1)")
    group.add_argument(
        "--storage", metavar="URL", help="database that many machines share, such as postgresql://HOST/NAME"
    )
    group.add_argument("--study", metavar="NAME", help="name of the search in it; by default the recipe's")
    add_run_dir(group)
    add_quiet(group)
    add_computing(group, cls)
    add_data_dir(parser)


def _tune(asked):
    recipe = resolved(asked, **_epochs(asked.max_epochs))
    space = tuple(asked.space or usual_space(recipe))
    _check_given(asked, space)
    search = Search(asked.tuner, asked.trials, space, asked.metric, asked.storage, asked.study, asked.workers)
    asked.advice = "; the same command goes on with the search"
    with aside(asked.json):
        with muted(asked.quiet):
            trials, run = tuning.tune(recipe, search, asked.run_dir, **places(asked))
        command = report.report_search(recipe, search, trials, run, **places(asked))
        pages.write_page(run.directory)
    if asked.json:
        print(runs.text_of({"directory": str(run.directory), "command": command, "trials": trials}))


def _check_given(asked, space):
    """Raise a CommandError for a setting that is given and searched: the value that is given would have no effect."""
    settings = asked.recipe.settings()
    name = next((name for name in parse_space(space, asked.recipe) if name in asked.named), None)
    if name is not None:
        where = option_of(name) if hasattr(asked, name) else f"--config {asked.config}"
        raise CommandError(
            f"{where}: {name} is searched for: give its values as --space {example(name, settings[name])}, "
            "or a --space without it"
        )


def _epochs(most):
    """The setting that --max-epochs gives, a dict."""
    if most is not None and not 0 < most <= MOST:
        raise CommandError(f"--max-epochs must lie in 1 to {MOST}; it is {most}")
    return {} if most is None else {"epochs": most}
