"""What the command line understands. Each command's work is a file of `recipes.commands`."""

import argparse
import dataclasses
import functools
import importlib
import inspect
import typing

from recipes.comparison.contenders import OF_OPTIMIZERS
from recipes.errors import CommandError, one_line
from recipes.machine.dtypes import DTYPES
from recipes.machine.strategies import STRATEGIES, is_one_of_several
from recipes.run.json_text import aside, text_of
from recipes.settings.clippers import clipper_entries
from recipes.settings.nearest import unknown
from recipes.settings.optimizers import optimizer_entries
from recipes.settings.resolve import resolve
from recipes.settings.schedules import schedule_entries
from recipes.tuning.search import TUNERS
from recipes.tuning.space import SEARCHED, usual_space

RECIPES = ("cifar10_cnn", "cifar10_gan", "linear_regression")
SEARCHED_RECIPES = ("cifar10_cnn", "linear_regression")  # whose settings `tune` and `compare` take


def parse(arguments):
    """Parse a command line.

    Args:
        arguments: list of str, or None for those of the process.

    Returns:
        A namespace whose `command` is to be called with it.

    Raises:
        CommandError: it means nothing.
    """
    parser = _Parser(prog="python -m recipes", description="Recipes: a model, its data and its optimizer.")
    parser.set_defaults(command=_no_command)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    _add_list(commands)
    _add_show(commands)
    _add_train(commands)
    _add_tune(commands)
    _add_compare(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_generate(commands)
    _add_export(commands)
    _add_prepare(commands)
    _add_report(commands)
    return parser.parse_args(arguments)


class _Parser(argparse.ArgumentParser):
    """argparse, with mistakes told in one line that has the nearest names."""

    def error(self, message):
        raise CommandError(f"{message} (see {self.prog} --help)")

    def _get_values(self, action, arg_strings):
        if arg_strings == ["--"] and action.option_strings:  # --option=--, of which argparse makes an empty list
            raise CommandError(f"{action.option_strings[0]} needs a value; -- is none")
        return super()._get_values(action, arg_strings)

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            kind = "recipe" if action.metavar == "NAME" else (action.metavar or "value").lower()
            raise CommandError(unknown(kind, str(value), action.choices))

    def parse_args(self, args=None, namespace=None):
        asked, strange = self.parse_known_args(args, namespace)
        if strange and not strange[0].startswith("-"):
            raise CommandError(f"one word too many: '{strange[0]}'")
        if strange:
            parser = getattr(asked, "parser", self)
            known = [o for action in parser._actions for o in action.option_strings]
            raise CommandError(unknown("option", strange[0].partition("=")[0], known))
        return asked


def _add(commands, name, command, text):
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command, parser=parser)
    return parser


def _add_list(commands):
    parser = _add(commands, "list", _list, "list the recipes, a line each")
    _add_json(parser)
    of = parser.add_mutually_exclusive_group()
    kinds = {
        "--optimizers": (optimizer_entries, "list what --optimizer takes"),
        "--clippers": (
            clipper_entries,
            "list what --clipping takes; one after another: centralize+by_global_norm:1.0",
        ),
        "--schedules": (schedule_entries, "list what --schedule takes; one after another: constant:until=0.5+cosine"),
    }
    for option, (entries, text) in kinds.items():
        of.add_argument(option, action="store_const", dest="entries", const=entries, default=_recipe_entries, help=text)


def _add_show(commands):
    show = _add(commands, "show", _show, "what a recipe is, and its settings")
    show.add_argument("recipe", metavar="NAME", type=_recipe)
    _add_json(show)


def _add_json(parser):
    parser.add_argument("--json", action="store_true", help="as JSON; what else is said goes to the standard error")


def _add_train(commands):
    train = _add(commands, "train", _no_recipe, "train a recipe, or go on with a run that was interrupted")
    recipes = train.add_subparsers(metavar="NAME", parser_class=_Parser, dest="recipe")
    for name in RECIPES:
        _add_recipe(recipes, name)


def _add_tune(commands):
    tune = _add(commands, "tune", _no_recipe, "search settings of a recipe, or go on with a search")
    recipes = tune.add_subparsers(metavar="NAME", parser_class=_Parser, dest="recipe")
    for name in SEARCHED_RECIPES:
        _add_search(recipes, name)


def _add_recipe(recipes, name):
    parser = _add_settings(recipes, name, _train)
    run = parser.add_argument_group("run")
    _add_run_dir(run)
    run.add_argument("--seeds", metavar="N", type=_seeds, help="train with N seeds, from --seed up, and average")
    run.add_argument(
        "--results", metavar="DIR", default="results", help="with --seeds: where the table of averages is (results)"
    )
    _add_computing(run, _recipe(name))
    run.add_argument("--dry-run", action="store_true", help="say what it would take, and train nothing")
    _add_data(parser)
    parser.add_argument("--download", action="store_true", help="allow the images to be downloaded if they are missing")


def _add_search(recipes, name):
    parser = _add_settings(recipes, name, _tune, leave_out=("epochs",))
    _add_json(parser)
    search = parser.add_argument_group("search")
    search.add_argument("--tuner", metavar="NAME", default="hyperband", help=f"{', '.join(TUNERS)} (hyperband)")
    search.add_argument("--trials", metavar="N", type=int, default=20, help="configurations to try (20)")
    search.add_argument("--max-epochs", metavar="N", type=int, help="of the longest trial; by default the recipe's")
    search.add_argument(
        "--space",
        metavar="NAMES",
        action="append",
        help=f"settings to search, such as schedule,learning_rate=0.01:1,batch_size=32|64 ({','.join(SEARCHED)})",
    )
    search.add_argument("--metric", metavar="NAME", help="what is best; by default val_accuracy, or the recipe's own")
    search.add_argument("--workers", metavar="N", type=int, default=1, help="trials at a time on this machine (1)")
    search.add_argument(
        "--storage", metavar="URL", help="database that many machines share, such as postgresql://HOST/NAME"
    )
    search.add_argument("--study", metavar="NAME", help="name of the search in it; by default the recipe's")
    _add_run_dir(search)
    _add_computing(search, _recipe(name))
    _add_data(parser)


def _add_settings(recipes, name, command, leave_out=()):
    """A parser of a recipe's settings."""
    module = _recipe(name)
    parser = _add(recipes, name, command, _first_line(module))
    parser.set_defaults(recipe=module)
    settings = parser.add_argument_group("settings", "Defaults are those of the variant's preset; see show.")
    for field in dataclasses.fields(module.Settings):
        if field.name in leave_out:
            continue
        settings.add_argument(
            "--" + field.name.replace("_", "-"),
            type=_value_type(field),
            default=argparse.SUPPRESS,
            metavar=_value_type(field).__name__.upper(),
            help=_help(field),
        )
    settings.add_argument("--preset", metavar="NAME", help=f"a set of settings: {', '.join(module.PRESETS)}")
    return parser


def _add_run_dir(group):
    group.add_argument(
        "--run-dir", metavar="DIR", type=_directory, help="where results go (default: runs/NAME/DATE-TIME)"
    )


def _add_computing(group, recipe):
    group.add_argument(
        "--strategy",
        metavar="NAME",
        default="auto",
        help=f"devices: {', '.join(STRATEGIES)} (auto); the backend is KERAS_BACKEND's",
    )
    group.add_argument(
        "--dtype",
        metavar="NAME",
        help=f"precision: {', '.join(DTYPES)} ({_default_dtype(recipe)})",
    )


def _default_dtype(recipe):
    auto = getattr(recipe, "DTYPE_OF_VARIANT", {})
    if recipe.DTYPE is not None or not auto:
        return recipe.DTYPE or "float32"
    return "auto" if set(auto) == set(recipe.VARIANTS) else f"float32; auto for the variants {' and '.join(auto)}"


def _add_data(parser):
    parser.add_argument("--data-dir", metavar="DIR", type=_directory, help="directory of tensorflow-datasets")


def _add_compare(commands):
    compare = _add(commands, "compare", _no_recipe, "compare optimizers, each with a learning rate searched for it")
    recipes = compare.add_subparsers(metavar="NAME", parser_class=_Parser, dest="recipe")
    for name in SEARCHED_RECIPES:
        _add_comparison(recipes, name)


def _add_comparison(recipes, name):
    parser = _add_settings(recipes, name, _compare, leave_out=("epochs", "optimizer", "learning_rate", *OF_OPTIMIZERS))
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--optimizers",
        metavar="NAMES",
        default="",
        help="such as adam,momentum@batch_size=32,stochastic:=sgd@batch_size=1: as --optimizer, with settings, named",
    )
    group.add_argument("--clippings", metavar="NAMES", help="each optimizer with each of these, such as none,agc:0.01")
    group.add_argument("--schedules", metavar="NAMES", help="each optimizer with each of these, such as cosine,linear")
    group.add_argument(
        "--budget",
        metavar="KIND=N",
        default="epochs=10",
        help="of a training: epochs=N, updates=N or seconds=N (epochs=10)",
    )
    group.add_argument("--seeds", metavar="N", type=int, default=3, help="trainings of each, from --seed + 1 up (3)")
    group.add_argument("--trials", metavar="N", type=int, default=8, help="trainings to find each learning rate (8)")
    group.add_argument(
        "--target", metavar="X", type=float, help="validation score; the table says what it took to reach it"
    )
    group.add_argument("--workers", metavar="N", type=int, default=1, help="trainings at a time (1)")
    _add_run_dir(group)
    _add_computing(group, _recipe(name))
    _add_data(parser)


def _add_evaluate(commands):
    evaluate = _add(commands, "evaluate", _evaluate, "judge a finished run once more on its test part")
    evaluate.add_argument("run_dir", metavar="RUN_DIR")
    _add_json(evaluate)
    evaluate.add_argument(
        "--inception", metavar="FILE", help="of a GAN: FID and KID too, by classify_image_graph_def.pb"
    )
    evaluate.add_argument(
        "--generated", metavar="N", type=int, default=10_000, help="generated images for FID and KID (10000)"
    )
    _add_data(evaluate)


def _add_predict(commands):
    predict = _add(commands, "predict", _predict, "what a finished run makes of image files")
    predict.add_argument("run_dir", metavar="RUN_DIR")
    predict.add_argument("images", metavar="IMAGE", nargs="+")


def _add_report(commands):
    report = _add(commands, "report", _report, "a page of runs, searches and comparisons, for a browser")
    report.add_argument("directories", metavar="DIR", nargs="+")
    report.add_argument("--out", metavar="FILE", help="page to write; by default report.html in the first DIR")


def _add_generate(commands):
    generate = _add(commands, "generate", _generate, "a grid of images that a finished GAN makes")
    generate.add_argument("run_dir", metavar="RUN_DIR")
    generate.add_argument("--n", metavar="N", type=int, default=64, help="images (64)")
    generate.add_argument("--out", metavar="FILE", required=True, help="picture to write, such as grid.png")
    generate.add_argument("--label", metavar="NAME", help="class of all images; by default each in turn")
    generate.add_argument("--seed", metavar="N", type=int, default=0, help="of the noise (0)")


def _add_export(commands):
    export = _add(commands, "export", _export, "write a finished run's model as SavedModel and ONNX")
    export.add_argument("run_dir", metavar="RUN_DIR")
    export.add_argument(
        "--format",
        metavar="FORMAT",
        choices=("saved_model", "onnx", "all"),
        default="all",
        help="saved_model, onnx, all",
    )


def _add_prepare(commands):
    prepare = _add(commands, "prepare", _prepare, "make a data set ready without a network")
    prepare.add_argument("name", metavar="SET", choices=("cifar10",), help="cifar10")
    prepare.add_argument("--archive", metavar="FILE", required=True, help="cifar-10-binary.tar.gz; it is only read")
    prepare.add_argument(
        "--unverified", action="store_true", help="take an archive with another than the official hash"
    )
    _add_data(prepare)


def _help(field):
    default = "" if field.default is None else f" (default: {field.default})"
    return (field.metadata["help"] + default).replace("%", "%%")


def _value_type(field):
    """The type of a setting's value: `float` for `float | None`."""
    return field.type if isinstance(field.type, type) else typing.get_args(field.type)[0]


def _directory(text):
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("the name of the directory is empty, or has a NUL in it")
    return text


def _seeds(text):
    if not (text.isascii() and text.isdigit()) or not 2 <= int(text) <= 10_000:
        raise CommandError(f"--seeds must lie in 2 to 10000; it is {text}")
    return int(text)


def _recipe(name):
    if name not in RECIPES:
        raise CommandError(unknown("recipe", name, RECIPES))
    return importlib.import_module(f"recipes.{name}")


def _first_line(module):
    return inspect.getdoc(module).partition("\n")[0]


def _no_command(asked):
    raise CommandError("say what to do: list, show NAME or train NAME (see python -m recipes --help)")


def _no_recipe(asked):
    raise CommandError(f"say which recipe to train: {', '.join(RECIPES)}")


def _list(asked):
    if asked.json:
        keys = ("name", "usage", "about")
        entries = [(usage.partition(":")[0].strip(), usage.strip(), about) for usage, about in asked.entries()]
        print(text_of([dict(zip(keys, entry, strict=True)) for entry in entries]))
        return
    for usage, about in asked.entries():
        print(f"{usage}  {about}")


def _recipe_entries():
    for name in RECIPES:
        yield f"{name:17}", _first_line(_recipe(name))


def _show(asked):
    if asked.json:
        print(text_of(_described(asked.recipe)))
        return
    print(inspect.getdoc(asked.recipe))
    print("\nSettings:\n")
    for field in dataclasses.fields(asked.recipe.Settings):
        print(f"    {field.name:28} {field.default!s:20} {field.metadata['help']}")
    print("\nPresets:\n")
    for name, values in asked.recipe.PRESETS.items():
        of = [variant for variant, preset in asked.recipe.VARIANTS.items() if preset == name]
        words = ", ".join(f"{key}={value}" for key, value in values.items()) or "the settings above"
        print(f"    {name:16} {words}" + (f" (of variant {', '.join(of)})" if of else ""))


def _described(recipe):
    """A recipe as a dict: what it is, its settings, presets, and the preset of each variant."""
    settings = {
        field.name: {"default": field.default, "help": field.metadata["help"]}
        for field in dataclasses.fields(recipe.Settings)
    }
    about = inspect.getdoc(recipe)
    return {"about": about, "settings": settings, "presets": recipe.PRESETS, "variants": recipe.VARIANTS}


def _given(asked):
    """The settings that the command line gives, a dict."""
    names = [field.name for field in dataclasses.fields(asked.recipe.Settings)]
    return {name: getattr(asked, name) for name in names if hasattr(asked, name)}


def _tune(asked):
    from recipes.tuning.search import Search
    from recipes.tuning.tune import report, tune

    epochs = {} if asked.max_epochs is None else {"epochs": asked.max_epochs}
    if asked.max_epochs is not None and not 0 < asked.max_epochs < 2**31:
        raise CommandError(f"--max-epochs must lie in 1 to 2147483647; it is {asked.max_epochs}")
    settings = resolve(asked.recipe, {**_given(asked), **epochs}, asked.preset)
    space = tuple(asked.space or usual_space(settings))
    search = Search(asked.tuner, asked.trials, space, asked.metric, asked.storage, asked.study, asked.workers)
    asked.advice = "; the same command goes on with the search"
    places = {name: getattr(asked, name) for name in ("strategy", "dtype", "data_dir")}
    with aside(asked.json):
        trials, run = tune(asked.recipe, settings, search, asked.run_dir, **places)
        command = report(asked.recipe, settings, search, trials, run, **places)
        _write_page(run.directory)
    if asked.json:
        print(text_of({"directory": str(run.directory), "command": command, "trials": trials}))


def _compare(asked):
    from recipes.comparison.budget import parse_budget
    from recipes.comparison.compare import Comparison, compare, report
    from recipes.comparison.contenders import parse_contenders

    settings = resolve(asked.recipe, _given(asked), asked.preset)
    contenders = parse_contenders(asked.recipe, asked.optimizers, asked.clippings, asked.schedules)
    budget = parse_budget(asked.budget)
    comparison = Comparison(tuple(contenders), budget, asked.seeds, asked.trials, asked.target, asked.workers)
    asked.advice = "; the same command goes on with the comparison"
    places = {name: getattr(asked, name) for name in ("strategy", "dtype", "data_dir")}
    rows, run = compare(asked.recipe, settings, comparison, asked.run_dir, **places)
    report(asked.recipe, comparison, rows, run)
    _write_page(run.directory)


def _train(asked):
    settings = resolve(asked.recipe, _given(asked), asked.preset)
    places = {
        "strategy": asked.strategy,
        "dtype": asked.dtype,
        "data_dir": asked.data_dir,
        "download": asked.download,
    }
    if asked.dry_run:
        from recipes.training.dry_run import dry_run

        dry_run(asked.recipe, settings, asked.seeds, **places)
        return
    asked.advice = "; the same command goes on from the last epoch that was saved"
    if asked.seeds:
        from recipes.training.seeds import report_seeds, train_seeds

        trained = train_seeds(
            asked.recipe, settings, asked.seeds, asked.run_dir, asked.results, ended=_write_page_and_card, **places
        )
        report_seeds(asked.recipe, *trained, asked.results)
    else:
        from recipes.training.train import report, train

        result, directory = train(asked.recipe, settings, asked.run_dir, **places)
        report(asked.recipe, settings, result, directory)
        _write_page_and_card(directory)


def _write_page_and_card(directory):
    _write_page(directory, card=True)


def _write_page(directory, card=False):
    """Write the page of what has just ended, and say where; a page that cannot be written undoes nothing."""
    from recipes.report.report import report, write_model_card

    if is_one_of_several():
        return
    written = {"report": lambda: report([directory], _importers())}
    if card:
        written["model card"] = lambda: write_model_card(directory, _importers())
    for name, write in written.items():
        try:
            print(f"{name.capitalize()}: {write()}")
        except Exception as error:  # whatever it is, the run is done
            print(f"No {name}: {one_line(error)}")


def _saved(asked, command):
    from recipes.run.saved_run import SavedRun

    return SavedRun(asked.run_dir, _importers(), command)


def _importers():
    return {name: functools.partial(_recipe, name) for name in RECIPES}


def _evaluate(asked):
    from recipes.commands.evaluate import evaluate

    if not 2 <= asked.generated <= 10**6:
        raise CommandError(f"--generated must lie in 2 to 1000000; it is {asked.generated}")
    with aside(asked.json):
        result = evaluate(_saved(asked, "evaluate"), asked.data_dir, asked.inception, asked.generated)
    if asked.json:
        print(text_of(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value:.6g}" if isinstance(value, float) else f"{name:28} {value}")


def _predict(asked):
    from recipes.commands.predict import predict

    predict(_saved(asked, "predict"), asked.images)


def _report(asked):
    from recipes.report.report import report

    print(report(asked.directories, _importers(), asked.out))


def _generate(asked):
    from recipes.commands.generate import generate

    if not 0 <= asked.seed < 2**32:
        raise CommandError(f"--seed must lie in 0 to 4294967295; it is {asked.seed}")
    generate(_saved(asked, "generate"), asked.n, asked.out, asked.label, asked.seed)


def _export(asked):
    from recipes.commands.export import FORMATS, export

    export(_saved(asked, "export"), list(FORMATS) if asked.format == "all" else [asked.format])


def _prepare(asked):
    from recipes.commands.prepare import prepare

    prepare(asked.archive, asked.data_dir, asked.unverified)
