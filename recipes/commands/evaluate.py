from recipes import classification, gan
from recipes import data as sets
from recipes import run as runs
from recipes.commands.aside import aside
from recipes.commands.parser import add_command, add_data_dir, add_json, add_saved_run
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras
from recipes.report import words
from recipes.settings.images import absolute, check_data_name
from recipes.settings.quantities import percent
from recipes.training import contract


def add(commands, name):
    """Add the parser of `evaluate`."""
    parser = add_command(
        commands, name, _evaluate, "evaluate a finished run again on its test part, or on images of another set"
    )
    add_saved_run(parser)
    add_json(parser)
    parser.add_argument(
        "--data",
        metavar="SET",
        help="of a classifier: other images, such as folder:PATH with a subfolder for each class; of a set with parts "
        "the test part",
    )
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out images of that folder that cannot be read"
    )
    parser.add_argument(
        "--inception", metavar="FILE", help="for a GAN: FID and KID too, by classify_image_graph_def.pb"
    )
    parser.add_argument(
        "--generated", metavar="N", type=int, default=10_000, help="how many images to generate for FID and KID (10000)"
    )
    add_data_dir(parser)


def _evaluate(asked):
    if not 2 <= asked.generated <= 10**6:
        raise CommandError(f"--generated must lie in 2 to 1000000; it is {asked.generated}")
    if asked.skip_broken and not (asked.data or "").startswith("folder:"):
        raise CommandError("--skip-broken is of --data folder:PATH")
    with aside(asked.json):
        run = runs.SavedRun(asked.run_dir, "evaluate")
        data = _data(run, asked)
        result = {**_of_another_set(asked, data), **evaluate(run, data, asked.inception, asked.generated)}
    classes = _classes(run)
    if asked.json:
        print(runs.text_of({**result, **({"classes": classes} if classes else {})}))
        return
    for name, value in result.items():
        print(f"{name:28} {words.figure(name, value)}")
    _tell_classes(classes)


def _data(run, asked):
    """The images that are asked for: another set's, or those of the run."""
    if asked.data is None:
        return same_data(run, asked.data_dir)
    if not isinstance(run.recipe, classification.Classification):
        raise CommandError(f"--data is for image classifiers; {run.directory} is none")
    check_data_name(asked.data)
    start_keras(float64=run.recipe.needs_float64)
    if absolute(asked.data) == run.recipe.data and asked.data.startswith("folder:"):
        print(f"{asked.data} is what {run.directory} was trained on: images that it has learnt are among these.")
    name, shape, place = absolute(asked.data), tuple(run.recipe.shape), asked.data_dir or run.data_dir
    return sets.evaluation_set(name, run.data["classes"], shape, place, asked.skip_broken)


def _of_another_set(asked, data):
    """What is told of images that are not those of the run, a dict."""
    return {} if asked.data is None else {"data": data.name, "skipped_images": len(data.origin.get("skipped", ()))}


def same_data(run, data_dir=None):
    """The data that a run was trained on.

    Args:
        run: `recipes.run.SavedRun`.
        data_dir: directory of prepared image sets; None for the directory at the time of the training.

    Raises:
        WorldError: they are missing, or others than those that the run was trained on.
    """
    start_keras(float64=run.recipe.needs_float64)
    data = contract.load(run.recipe, data_dir or run.data_dir)
    if data.about()["digest"] != run.data.get("digest"):
        raise WorldError(f"{run.directory} was trained on other images than those of {data.about()['name']} now")
    return data


def evaluate(run, data, inception=None, generated=10_000):
    """Evaluate a finished run on the test part of some data.

    Args:
        run: `recipes.run.SavedRun`.
        data: as `same_data` or `recipes.data.evaluation_set` gives it.
        inception: path of the weights of Inception, for FID and KID of a GAN; None for no FID and KID.
        generated: int >= 2, how many images are generated for FID and KID.

    Returns:
        A dict, as the recipe's `judge` returns it.

    Raises:
        CommandError: `inception` is given, and the run is not one of a GAN.
        WorldError: there is no file `inception`.
    """
    if inception is not None and "generate" not in run.recipe.commands:
        raise CommandError(f"--inception is for GANs; {run.directory} has none")
    start_keras(float64=run.recipe.needs_float64)
    inception = None if inception is None else gan.Inception(inception)
    model = run.model()
    result = contract.judge(run.recipe, model, data, run)
    return result if inception is None else result | inception.distances(model, data, generated)


def _classes(run):
    """How well each class is told from the others, as `each_class` has it; an empty dict without classes."""
    found = run.unwritten.get(runs.names.CONFUSION)
    return {} if found is None else classification.each_class(found["counts"], run.data["classes"])


def _tell_classes(classes):
    width = max(map(len, ("class", *classes)))
    for row, (name, found) in enumerate(classes.items()):
        if row == 0:
            print(f"\n{'class':{width}}     images     recall  precision")
        shares = ("–" if found[each] is None else percent(found[each]) for each in ("recall", "precision"))
        print(f"{name:{width}} {found['images']:10,} {' '.join(f'{share:>10}' for share in shares)}")
