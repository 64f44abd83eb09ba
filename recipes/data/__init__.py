"""Where images come from, and how they are handed to `fit`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augmentation": ["Augmentation"],
        "cifar10_archive": ["prepare_cifar10"],
        "digits": ["digits"],
        "evaluation_set": ["evaluation_set"],
        "folder": ["ENDINGS", "folder", "folder_with_faults", "image_files", "read_image"],
        "full_batches": ["evaluation_batches", "full_batches"],
        "images": ["Images"],
        "labelled": ["Labelled"],
        "load": ["load"],
        "row_batches": ["RowBatches"],
        "shuffled_batches": ["ShuffledBatches"],
        "tfds_images": ["tfds_images"],
    },
)
