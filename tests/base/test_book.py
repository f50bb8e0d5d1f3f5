"""What readers of the book's chapter 4 use beside the seven steps, and what answers where it is not here."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from small import loaders

from sevensteps import all as everything
from sevensteps.base.book import MISSING, L, Later, Path, first, tensor
from sevensteps.errors import UsageError
from sevensteps.learner.metrics import accuracy, error_rate


def test_first_is_the_first_and_of_nothing_none() -> None:
    x, y = first(loaders().train)
    assert (len(x), len(y)) == (16, 16)
    assert first(iter([])) is None


def test_itemgot_takes_a_column_and_of_that_another() -> None:
    rows = L([[1, (2, 3)], [4, (5, 6)]])
    assert rows.itemgot(0) == [1, 4]
    assert rows.itemgot(1, 0) == [2, 5]
    assert rows.itemgot(0).map(str) == L(["1", "4"])


def test_what_a_list_gives_is_a_list_of_the_same_kind() -> None:
    rows = L([[3, "c"], [1, "a"], [2, "b"]])
    assert rows[1:].itemgot(1).sorted(reverse=True) == ["b", "a"]
    assert rows[[2, 0]].itemgot(0) == rows[[True, False, True]].itemgot(0).sorted() == [2, 3]
    assert rows[-1] == [2, "b"]
    more = rows + [[9, "z"]]  # noqa: RUF005  as the book adds lists
    assert more.zip()[0] == (3, 1, 2, 9)
    assert L([1, 2]).map(pow, 2) == [1, 4]
    assert L(range(5)).filter(lambda number: number % 2) == [1, 3]
    for given in (rows[:], more, rows.sorted(), rows.zip(), rows.filter(bool), rows[[0]]):
        assert type(given) is L


def test_a_path_lists_its_folder_in_order(tmp_path: pathlib.Path) -> None:
    for name in ("valid/3", "train/7", "train/3"):
        (tmp_path / name).mkdir(parents=True)
    path = Path(tmp_path)
    assert [one.name for one in path.ls()] == ["train", "valid"]
    threes = (path / "train").ls().sorted()
    assert threes == [tmp_path / "train/3", tmp_path / "train/7"]
    assert (type(threes), type(threes[0])) == (L, Path)
    assert isinstance(Path.cwd(), pathlib.Path)


def test_a_tensor_is_made_of_a_picture_too(tmp_path: pathlib.Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / "three.png")
    picture = everything.Image.open(tmp_path / "three.png")
    assert torch.equal(tensor(picture), torch.from_numpy(pixels))
    assert np.array_equal(everything.array(picture), pixels)
    assert torch.equal(tensor(1.0, 2), torch.tensor([1.0, 2.0]))
    assert tensor([1, 0], dtype=torch.float64).dtype == torch.float64
    assert tensor(pixels).shape == (3, 4)


def test_error_rate_is_what_accuracy_leaves() -> None:
    predictions, targets = torch.randn(20, 3), torch.arange(20) % 3
    assert float(error_rate(predictions, targets)) == pytest.approx(1 - float(accuracy(predictions, targets)))


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_here_says_what_to_type(name: str) -> None:
    missing = getattr(everything, name)
    for use in (missing, lambda: missing.from_folder, lambda: missing.MNIST_SAMPLE):
        with pytest.raises(UsageError, match=f"^{name} is part of fastai") as refusal:
            use()
        assert refusal.value.hint == MISSING[name]
    assert MISSING[name] in repr(missing)
    assert not hasattr(missing, "_repr_html_")


@pytest.mark.slow
def test_the_code_in_the_answers_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from folders import pets

    pets(tmp_path / "my-pictures")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    code = [
        "from sevensteps.all import *",
        "from sevensteps.by_hand import load_pictures; x, y, valid_x, valid_y = load_pictures()",
        MISSING["get_image_files"],
        MISSING["ImageDataLoaders"],
        MISSING["vision_learner"].split("; or")[0].replace('"cnn"', '"cnn", epochs=1'),
    ]
    for line in code:
        exec(line, names)  # noqa: S102  our own hints
    assert code[1] in MISSING["untar_data"]
    assert names["files"]


@pytest.mark.slow
def test_pandas_is_imported_when_it_is_used_and_not_before() -> None:
    code = "from sevensteps.all import *; import sys; print('pandas' in sys.modules, pd.DataFrame([[1]]).shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False (1, 1)\n"


def test_a_module_that_is_not_installed_says_what_to_install() -> None:
    module = Later("no_such_module")
    with pytest.raises(UsageError, match="no_such_module is not installed") as refusal:
        module.DataFrame  # noqa: B018
    assert refusal.value.hint == "pip install no_such_module"
    assert not hasattr(module, "_repr_html_")
