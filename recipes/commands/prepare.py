def prepare(archive, data_dir, unverified):
    """Prepare CIFAR-10 from its binary archive, as `recipes.data.cifar10_archive.prepare_cifar10` does."""
    import os

    from recipes.quiet import load_tensorflow

    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    load_tensorflow()
    from recipes.data.cifar10_archive import prepare_cifar10

    print(f"Prepared {prepare_cifar10(archive, data_dir, unverified)}")
