from recipes import gan
from recipes import run as runs
from recipes.commands.aside import aside
from recipes.commands.parser import add_command, add_data_dir, add_json, add_saved_run
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras
from recipes.training import contract


def add(commands, name):
    """Add the parser of `evaluate`."""
    parser = add_command(commands, name, _evaluate, "evaluate a finished run again on its test part")
    add_saved_run(parser)
    add_json(parser)
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
    with aside(asked.json):
        run = runs.SavedRun(asked.run_dir, "evaluate")
        result = evaluate(run, asked.data_dir, asked.inception, asked.generated)
    if asked.json:
        print(runs.text_of(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value:.6g}" if isinstance(value, float) else f"{name:28} {value}")


def evaluate(run, data_dir=None, inception=None, generated=10_000):
    """Evaluate a finished run again on its test part.

    Args:
        run: `recipes.run.SavedRun`.
        data_dir: directory of prepared image sets; None for the directory at the time of the training.
        inception: path of the weights of Inception, for FID and KID of a GAN; None for no FID and KID.
        generated: int >= 2, how many images are generated for FID and KID.

    Returns:
        A dict, as the recipe's `judge` returns it.

    Raises:
        CommandError: `inception` is given, and the run is not one of a GAN.
        WorldError: the images are missing, or are not those that the run was trained on; or there is no file
            `inception`.
    """
    if inception is not None and "generate" not in run.recipe.commands:
        raise CommandError(f"--inception is for GANs; {run.directory} has none")
    start_keras(float64=run.recipe.needs_float64)
    inception = None if inception is None else gan.Inception(inception)
    data = contract.load(run.recipe, data_dir or run.data_dir)
    if data.about()["digest"] != run.data.get("digest"):
        raise WorldError(f"{run.directory} was trained on other images than those of {data.about()['name']} now")
    model = run.model()
    result = contract.judge(run.recipe, model, data, run)
    return result if inception is None else result | inception.distances(model, data, generated)
