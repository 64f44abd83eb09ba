from recipes.errors import CommandError
from recipes.machine.backend import start_keras

SHOWN = 3  # classes


def predict(run, paths):
    """Print what a finished run makes of image files: the most probable classes of each.

    Args:
        run: `SavedRun`.
        paths: of image files of any size.

    Raises:
        CommandError: the recipe does not take images.
        WorldError: a file is not an image, or is damaged.
    """
    if "classes" not in run.data:
        raise CommandError(f"{run.directory} is no run on images")
    start_keras(dtype=run.recipe.DTYPE)
    import numpy as np

    from recipes.classification import views as test_time_augmentation
    from recipes.classification.losses import probabilities
    from recipes.data.folder import read_image

    model = run.model()
    images = np.stack([read_image(path, model.input_shape[1:]) for path in paths])
    views = getattr(run.settings, "test_time_augmentation", "none")
    shares = probabilities(test_time_augmentation.predict(model, images, views, len(images)), run.settings.loss)
    for path, share in zip(paths, shares, strict=True):
        best = np.argsort(-share)[:SHOWN]
        print(f"{path}: " + ", ".join(f"{run.data['classes'][i]} {share[i]:.1%}" for i in best))
