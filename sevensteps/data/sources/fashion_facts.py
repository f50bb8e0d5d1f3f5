"""Facts about Fashion-MNIST: its classes, the sets with a name that are made of it, and the checksums of its files."""

from __future__ import annotations

from dataclasses import dataclass

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class NamedSet:
    """What a source with a name holds: its classes, and how many pictures of each."""

    classes: tuple[str, ...]
    train: int  # pictures of each class to train on
    test: int  # pictures of each class to test with
    is_embedded: bool  # it comes with the package, and needs no download

    def as_json(self, name: str) -> dict[str, str | int | bool | list[str]]:
        """Return what `data --list --json` prints of it.

        Args:
            name: The name of the source.
        """
        count = len(self.classes)
        return {
            "source": name,
            "classes": list(self.classes),
            "train": self.train * count,
            "test": self.test * count,
            "download": not self.is_embedded,
        }


SETS = {
    "pullover-dress": NamedSet(("Pullover", "Dress"), 6_000, 1_000, is_embedded=True),
    "fashion-mini": NamedSet(CLASSES, 700, 300, is_embedded=True),
    "fashion-mnist": NamedSet(CLASSES, 6_000, 1_000, is_embedded=False),
}


# Checksums of the decompressed files, since distributors compress them again.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
