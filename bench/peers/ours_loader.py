"""Ours: passes over the training loader only."""

from sevensteps import DataLoaders, Images, Splits


def epochs(pictures, settings):
    classes = tuple(f"class {label}" for label in range(10))
    images = Images(pictures["train_pixels"][:, None], pictures["train_labels"], classes)
    loader = DataLoaders.from_images(Splits(images), settings["batch_size"], augment=settings["augment"]).train
    while True:
        for _x, _y in loader:
            pass
        yield
