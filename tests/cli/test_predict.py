"""`sevensteps predict`, typed, and the two ways to compute what it says."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typed import here, refused, sevensteps, three_classes

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.errors import ModelError
from sevensteps.ship import file as model_file
from sevensteps.ship.predict import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Path:
    """A trained run, test pictures as files, and things that are no pictures."""
    folder = tmp_path_factory.mktemp("predict")
    ss.train("pullover-dress", recipe="linear", epochs=2, out=folder / "runs" / "mine")
    assert splits.test is not None
    for place in range(3):
        Image.fromarray(splits.test.pixels[place, 0]).save(folder / f"{place}.png")
    (folder / "words.png").write_text("words")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:100])
    (folder / "folder.png").mkdir()
    return folder


def shares(folder: Path, run: str, pictures: list[str]) -> list[dict[str, float]]:
    """The probabilities that the run's own table has for these test pictures."""
    rows = [json.loads(line) for line in (folder / run / "predictions.jsonl").read_text().splitlines()]
    by_id = {row["id"]: row["probabilities"] for row in rows}
    return [dict(zip(("Pullover", "Dress"), by_id[f"test/{name[0]}"], strict=True)) for name in pictures]


def test_each_file_gets_its_class_and_probability(folder: Path) -> None:
    done = sevensteps("predict", "runs/mine", "0.png", "1.png", "2.png", cwd=folder)
    assert (done.code, done.err) == (0, "")
    expected = []
    for name, probabilities in zip("012", shares(folder, "runs/mine", ["0", "1", "2"]), strict=True):
        best = max(probabilities, key=probabilities.__getitem__)
        expected.append(f"{name}.png: {best} ({probabilities[best]:.1%})")
    assert done.out.splitlines() == expected


def test_json_has_the_promised_keys_and_the_numbers_of_the_run(folder: Path) -> None:
    done = sevensteps("predict", "mine", "0.png", "1.png", "--json", cwd=folder)  # by its name under runs/
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    said = json.loads(line)
    assert list(said) == ["results", "failed"]
    assert said["failed"] == 0
    for result, expected in zip(said["results"], shares(folder, "runs/mine", ["0", "1"]), strict=True):
        keys = ["file", "class", "probability", "probabilities", "abstained", "reason", "distance"]
        assert list(result) == keys
        assert list(result["probabilities"]) == ["Pullover", "Dress"]
        assert result["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert math.isclose(sum(result["probabilities"].values()), 1)
        assert result["probability"] == result["probabilities"][result["class"]]
        assert result["probability"] == max(result["probabilities"].values())
        assert (result["abstained"], result["reason"]) == (False, None)
        assert 0 < result["distance"] < 4  # pullovers and dresses: about 1


def test_doubts_are_said_and_the_class_stays_the_best_guess(folder: Path, tmp_path: Path, splits: Splits) -> None:
    assert splits.test is not None
    loaded = load_model(folder / "runs/mine")
    assert loaded.abstention is not None
    pixels = splits.test.pixels[:500]
    found = loaded.probabilities(pixels)
    reasons = loaded.abstention.reasons(found.max(1), loaded.abstention.distances(pixels))
    unsure = reasons.index("not sure")
    Image.fromarray(pixels[unsure, 0]).save(tmp_path / "unsure.png")
    Image.fromarray(255 - pixels[0, 0]).save(tmp_path / "inverted.png")
    files = [str(tmp_path / name) for name in ("unsure.png", "inverted.png")]
    done = sevensteps("predict", "runs/mine", *files, cwd=folder)
    assert (done.code, done.err) == (0, "")
    said = [
        loaded.classes[label] for label in (found[unsure].argmax(), loaded.probabilities(255 - pixels[:1]).argmax())
    ]
    first, second = (line.split(": ", 1)[1] for line in done.out.splitlines())
    assert first == f"{said[0]}? ({found[unsure].max():.1%}, not sure)"
    assert second.startswith(f"none of these; {said[1]} is the nearest (")
    results = json.loads(sevensteps("predict", "runs/mine", *files, "--json", cwd=folder).out)["results"]
    assert [result["class"] for result in results] == said
    assert [result["reason"] for result in results] == ["not sure", "none of these"]
    assert all(result["abstained"] for result in results)
    assert results[1]["distance"] > loaded.abstention.distance > results[0]["distance"]


def test_a_file_that_is_no_picture_does_not_stop_the_others(folder: Path) -> None:
    names = ["0.png", "words.png", "missing.png", "folder.png", "cut.png", "1.png"]
    done = sevensteps("predict", "runs/mine/model.safetensors", *names, cwd=folder)
    assert done.code == 1
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["0.png", "1.png"]
    lines = done.err.splitlines()
    assert len(lines) == 4
    for line, (name, words) in zip(
        lines,
        [
            ("words.png", "not a picture"),
            ("missing.png", "does not exist"),
            ("folder.png", "cannot be read"),
            ("cut.png", "damaged"),
        ],
        strict=True,
    ):
        assert words in line
        assert line.count(name) == 1


def test_failures_are_counted_for_programs(folder: Path) -> None:
    done = sevensteps("predict", "runs/mine", "0.png", "words.png", "missing.png", "--json", cwd=folder)
    assert (done.code, len(done.err.splitlines())) == (1, 2)
    said = json.loads(done.out)
    assert said["failed"] == 2
    assert [result["file"] for result in said["results"]] == ["0.png", "words.png", "missing.png"]
    assert ["error" in result for result in said["results"]] == [False, True, True]


def test_a_stream_has_a_line_a_file(folder: Path) -> None:
    done = sevensteps("predict", "runs/mine", "0.png", "words.png", "1.png", "--jsonl", cwd=folder)
    assert (done.code, done.err) == (1, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["file"] for row in rows] == ["0.png", "words.png", "1.png"]
    assert set(rows[1]) == {"file", "error", "hint"}


def test_a_run_without_its_model_is_sent_to_resume(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ss.train(epochs=1, out=tmp_path / "b6")
    picture = str(folder / "0.png")
    (tmp_path / "b6/model.safetensors").unlink()
    refused(here("predict", "b6", picture, cwd=tmp_path, capsys=capsys), 1, "b6 has no model", "sevensteps resume b6")
    assert here("resume", "b6", cwd=tmp_path, capsys=capsys).code == 0
    assert here("predict", "b6", picture, cwd=tmp_path, capsys=capsys).code == 0
    refused(here("predict", "b6", picture, "--explain", picture, cwd=tmp_path, capsys=capsys), 2, "takes a folder")


def test_the_nearest_run_is_suggested(folder: Path) -> None:
    refused(sevensteps("predict", "mime", "0.png", cwd=folder), 1, "'mime'", "Did you mean 'mine'?")
    refused(sevensteps("predict", "runs/nine", "0.png", cwd=folder), 1, "'runs/nine'", "Did you mean 'mine'?")


@pytest.mark.parametrize("model", ["linear", "relu", "cnn"])
@pytest.mark.parametrize("loss", ["auto", "mse_loss"])
@pytest.mark.parametrize("classes", [2, 3])
def test_both_ways_to_compute_say_the_same(tmp_path: Path, model: str, loss: str, classes: int) -> None:
    chosen = [] if classes == 3 else ["0", "2"]
    run = ss.train(
        three_classes(tmp_path / "three"),
        model=model,
        loss=loss,
        classes=tuple(chosen),
        lr=0.01,
        epochs=1,
        out=tmp_path / "run",
    )
    pixels = np.random.default_rng(0).integers(0, 256, (50, 1, 12, 12), dtype=np.uint8)
    loaded = load_model(tmp_path / "run")
    assert loaded.classes == run.learn.classes
    found = loaded.probabilities(pixels)
    assert found.shape == (50, classes)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    for row, picture in zip(found, pixels, strict=True):
        _, label, shares = run.learn.predict(picture[0])
        np.testing.assert_allclose(row, shares.numpy(), atol=1e-6)
        assert label == row.argmax()


def test_a_picture_file_is_seen_as_the_learner_sees_it(tmp_path: Path, splits: Splits) -> None:
    """Of another size, in color, turned by its EXIF orientation: one path from file to pixels."""
    run = ss.train("pullover-dress", recipe="linear", epochs=1, out=tmp_path / "run")
    assert splits.test is not None
    picture = Image.fromarray(splits.test.pixels[5, 0]).resize((61, 40)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "large.jpg", exif=exif)
    _, _, expected = run.learn.predict(tmp_path / "large.jpg")
    (answer,) = load_model(tmp_path / "run").predict([tmp_path / "large.jpg"])
    assert answer.probabilities is not None
    np.testing.assert_allclose(list(answer.probabilities.values()), expected.numpy(), atol=1e-6)


def test_a_temperature_spreads_the_probabilities(tmp_path: Path) -> None:
    run = ss.train(three_classes(tmp_path / "three"), epochs=2)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 12, 12), dtype=np.uint8)
    found = {}
    for temperature in (1.0, 3.0):
        run.learn.temperature = temperature
        found[temperature] = load_model(run.learn.export(tmp_path / f"{temperature}.safetensors")).probabilities(pixels)
        logits = np.log(found[temperature])
        np.testing.assert_allclose(run.learn.predict(pixels[0])[2], np.exp(logits[0]), atol=1e-6)
    assert (found[3.0].max(1) < found[1.0].max(1)).all()
    assert (found[3.0].argmax(1) == found[1.0].argmax(1)).all()


def test_two_classes_with_a_score_each_are_fine(tmp_path: Path, splits: Splits) -> None:
    from torch import nn

    learn = ss.Learner(ss.DataLoaders.from_images(splits.hold_out(), 1000, flat=True), nn.Linear(784, 2), lr=0.1)
    loaded = load_model(learn.export(tmp_path / "two.safetensors"))
    assert splits.test is not None
    picture = splits.test.pixels[:1]
    np.testing.assert_allclose(loaded.probabilities(picture)[0], learn.predict(picture[0])[2], atol=1e-6)


# Model files from anywhere


def changed(path: Path, change: Callable[[dict[str, np.ndarray], dict[str, Any]], None]) -> Path:
    """A copy of a model file with other contents, checksum and all."""
    arrays, about = model_file.read(path)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, about)
    other = path.with_name("changed.safetensors")
    model_file.write(other, arrays, about)
    return other


def _set(key: str, value: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda arrays, about: about.update({key: value})


def _put(name: str, shape: tuple[int, ...]) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda arrays, about: arrays.update({name: np.zeros(shape, dtype=np.float32)})


MANY = (20_000, 1, 1)
FOREIGN = {
    "one class": _set("classes", ["Dress"]),
    "three classes": _set("classes", ["a", "b", "c"]),
    "a class twice": _set("classes", ["a", "a"]),
    "classes that are numbers": _set("classes", [1, 2]),
    "classes that are a word": _set("classes", "ab"),
    "no classes": _set("classes", None),
    "a flat shape": _set("shape", [784]),
    "a shape of words": _set("shape", ["1", "28", "28"]),
    "a negative shape": _set("shape", [1, -28, -28]),
    "an enormous shape": _set("shape", [1, 1_000_000, 1_000_000]),
    "another size": _set("shape", [1, 27, 28]),
    "five channels": _set("shape", [5, 28, 28]),
    "no shape": _set("shape", None),
    "a temperature of zero": _set("temperature", 0),
    "a negative temperature": _set("temperature", -1.0),
    "a temperature of 64 bits": _set("temperature", 2**64 - 1),
    "a temperature next to zero": _set("temperature", 1e-300),
    "a true temperature": _set("temperature", True),
    "a temperature in words": _set("temperature", "warm"),
    "a list of temperatures": _set("temperature", [1.0]),
    "no model": _set("model", None),
    "a model in words": _set("model", "linear"),
    "an unknown layer": _set("model", {"layer": "Sequential", "layers": [{"layer": "Pickle"}]}),
    "layers that are none": _set("model", {"layer": "Sequential", "layers": [1, 2]}),
    "no layers": _set("model", {"layer": "Sequential", "layers": []}),
    "another activation": _set("activation", "own"),
    "weights of another shape": _put("2.weight", (1, 783)),
    "weights in a row": _put("2.weight", (784,)),
    "a weight": _put("2.weight", ()),
    "means for many channels": _put("0.mean", MANY),
    "two biases": _put("2.bias", (2,)),
    "a tensor too many": _put("2.more", (1,)),
    "whole numbers too many": lambda arrays, about: arrays.update(count=np.zeros(1, dtype=np.int64)),
    "whole numbers for weights": lambda arrays, about: arrays.update({"2.weight": np.zeros((1, 784), dtype=np.int64)}),
    "no contrast": lambda arrays, about: arrays.update({"0.std": np.zeros((1, 1, 1), dtype=np.float32)}),
    "a shape of many pixels": _set("shape", [3, 100_000, 1000]),
    "a shape of 64 bits": _set("shape", [1, 28, 2**64 - 1]),
    "a loss that is a list": _set("loss", []),
    "a flat that is a number": _set("flat", 7),
    "no weights": lambda arrays, about: arrays.clear(),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_model_file_that_cannot_be_is_refused_in_words(folder: Path, tmp_path: Path, what: str) -> None:
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((folder / "runs/mine/model.safetensors").read_bytes())
    with pytest.raises(ModelError) as caught:
        load_model(changed(copy, FOREIGN[what]))
    assert "changed.safetensors" in caught.value.message or "description" in caught.value.message
    assert caught.value.hint


def test_scores_that_are_no_numbers_are_an_error_of_that_picture(folder: Path, tmp_path: Path) -> None:
    """JSON has no NaN. Black is fine here, and white is not."""
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((folder / "runs/mine/model.safetensors").read_bytes())

    def change(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
        arrays["0.mean"][:] = 0
        arrays["2.weight"][0, ::2], arrays["2.weight"][0, 1::2] = 3e38, -3e38
        about["model"] = {"layer": "Sequential", "layers": [*about["model"]["layers"], {**LINEAR, "in_features": 1}]}
        arrays["3.weight"] = np.full((1, 1), 3e38, dtype=np.float32)
        arrays["3.bias"] = np.zeros(1, dtype=np.float32)

    path = changed(copy, change)
    for name, value in (("black", 0), ("white", 255)):
        Image.fromarray(np.full((28, 28), value, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    done = sevensteps("predict", str(path), "black.png", "white.png", "--json", cwd=tmp_path)
    black, white = json.loads(done.out, parse_constant=pytest.fail)["results"]
    assert black["probability"] == 1.0
    assert "not finite" in white["error"]
    assert done.code == 1


LINEAR = {"layer": "Linear", "in_features": 784, "out_features": 1, "bias": True}
CONV = {
    "layer": "Conv2d",
    "in_channels": 1,
    "out_channels": 1,
    "kernel_size": 3,
    "stride": 1,
    "padding": 1,
    "dilation": 1,
    "groups": 1,
    "bias": False,
}
POOL = {"layer": "MaxPool2d", "kernel_size": 2, "stride": 2, "padding": 0}
FLATTEN = {"layer": "Flatten", "start_dim": 1, "end_dim": -1}
MAX_AND_MEAN = {"layer": "MaxAndMeanPool"}


def foreign(path: Path, layers: list[dict[str, Any]], shape: tuple[int, int, int] = (1, 28, 28), **more: Any) -> Path:
    """A model file with a valid digest, of these layers, with tensors that fit them."""
    arrays = {}
    for place, layer in enumerate(layers):
        kind = layer["layer"]
        if kind == "Linear":
            arrays[f"{place}.weight"] = np.zeros((layer["out_features"], layer["in_features"]), dtype=np.float32)
            arrays[f"{place}.bias"] = np.zeros(layer["out_features"], dtype=np.float32)
        elif kind == "Conv2d":
            size = layer["kernel_size"]
            sides = (size, size) if isinstance(size, int) else size
            arrays[f"{place}.weight"] = np.zeros(
                (int(layer["out_channels"]), layer["in_channels"] // layer["groups"], *sides), dtype=np.float32
            )
    about = {
        "classes": ["a", "b"],
        "shape": list(shape),
        "model": {"layer": "Sequential", "layers": layers},
        "loss": "binary_cross_entropy_with_logits",
        **more,
    }
    model_file.write(path, arrays, about)
    return path


def last(features: int) -> list[dict[str, Any]]:
    return [MAX_AND_MEAN, {**LINEAR, "in_features": features}]


GREEDY: dict[str, tuple[list[dict[str, Any]], tuple[int, int, int]]] = {
    "paddings": ([*[{**CONV, "padding": 1024}] * 9, *last(2)], (1, 28, 28)),
    "a padding to many channels": ([{**CONV, "out_channels": 500, "padding": 1024}, *last(1000)], (1, 28, 28)),
    "a small picture unfolded": ([{**CONV, "padding": 1024, "kernel_size": 64}, *last(2)], (1, 28, 28)),
    "a pool around every pixel": (
        [{**POOL, "kernel_size": 1024, "stride": 1, "padding": 512}, *last(2)],
        (1, 3000, 3000),
    ),
    "cells for each channel": (
        [{**CONV, "out_channels": 1000}, {"layer": "AdaptiveAvgPool2d", "output_size": 1024}, *last(2000)],
        (1, 28, 28),
    ),
    "pools of pools": (
        [{**CONV, "out_channels": 8}, *[{"layer": "AdaptiveMaxPool2d", "output_size": 1024}] * 900, *last(16)],
        (1, 28, 28),
    ),
    "convolutions of many pixels": ([*[{**CONV, "kernel_size": 63, "padding": 31}] * 9, *last(2)], (1, 5000, 5000)),
    "much ado": ([*[{"layer": "GELU"}] * 990, *last(2)], (1, 5000, 5000)),
    "more layers than any": ([*[{"layer": "Tanh"}] * 5000, FLATTEN, LINEAR], (1, 28, 28)),
    "more layers than any, in NumPy": ([FLATTEN, *[{"layer": "ReLU"}] * 5000, LINEAR], (1, 28, 28)),
    "a picture of many pixels": ([{"layer": "AdaptiveAvgPool2d", "output_size": 1}, *last(2)], (1, 6000, 6000)),
    "a stride of nothing": ([{**CONV, "stride": 0}, *last(2)], (1, 28, 28)),
    "a pool of nothing": ([{**POOL, "kernel_size": 0}, *last(2)], (1, 28, 28)),
    "a negative padding": ([{**CONV, "padding": -1}, *last(2)], (1, 28, 28)),
    "a kernel of three dimensions": ([{**CONV, "kernel_size": [3, 3, 3]}, *last(2)], (1, 28, 28)),
    "true for a number": ([{**CONV, "out_channels": True}, *last(2)], (1, 28, 28)),
    "a flatten that is none": ([{**FLATTEN, "start_dim": 0}, LINEAR], (1, 28, 28)),
    "no flatten": ([LINEAR], (1, 28, 28)),
    "a normalization to more channels": (
        [{"layer": "Normalize", "mean": [0.0] * 4096, "std": [1.0] * 4096}, *last(8192)],
        (1, 5000, 5000),
    ),
}


def peak() -> int:
    """The most memory that this process has had, in bytes, where the system says so."""
    if sys.platform != "linux":
        return 0
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("what", GREEDY)
def test_a_file_whose_model_would_take_long_or_much_memory_is_refused_at_once(tmp_path: Path, what: str) -> None:
    layers, shape = GREEDY[what]
    path = foreign(tmp_path / "model.safetensors", layers, shape)
    if "layer" in layers[0] and layers[0]["layer"] == "Normalize":
        arrays, about = model_file.read(path)
        sides = {f"0.{name}": np.ones((4096, 1, 1), dtype=np.float32) for name in ("mean", "std")}
        model_file.write(path, arrays | sides, about)
    start, before = time.process_time(), peak()
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert time.process_time() - start < 2
    assert peak() - before < 500_000_000
    assert caught.value.hint
    assert len(caught.value.message) < 1000


def test_models_of_the_sizes_that_people_have_are_loaded(tmp_path: Path) -> None:
    deep = [{**CONV, "out_channels": 64}, *[{**CONV, "in_channels": 64, "out_channels": 64}] * 8, *last(128)]
    model = load_model(foreign(tmp_path / "deep", deep, (1, 224, 224)))
    assert model.probabilities(np.zeros((1, 1, 224, 224), dtype=np.uint8)).tolist() == [[0.5, 0.5]]
    model = load_model(foreign(tmp_path / "large", [FLATTEN, {**LINEAR, "in_features": 3_000_000}], (3, 1000, 1000)))
    assert model.probabilities(np.zeros((1, 3, 1000, 1000), dtype=np.uint8)).tolist() == [[0.5, 0.5]]


def test_a_flat_model_is_loaded_and_one_with_channels_to_normalize_is_not(tmp_path: Path) -> None:
    flat = foreign(tmp_path / "flat", [LINEAR], flat=True)
    assert load_model(flat).probabilities(np.zeros((1, 1, 28, 28), dtype=np.uint8)).tolist() == [[0.5, 0.5]]
    normalized = foreign(tmp_path / "odd", [LINEAR, {"layer": "Normalize", "mean": [0.5], "std": [0.5]}], flat=True)
    with pytest.raises(ModelError):
        load_model(normalized)


def test_a_file_cannot_make_pictures_larger_than_they_are(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((folder / "runs/mine/model.safetensors").read_bytes())
    path = changed(copy, FOREIGN["means for many channels"])
    tracemalloc.start()
    with pytest.raises(ModelError):
        load_model(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000  # bytes, where broadcasting would take 60 million


def test_every_damaged_byte_of_a_model_file_is_found(folder: Path, tmp_path: Path) -> None:
    content = (folder / "runs/mine/model.safetensors").read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.safetensors"
    for place in random.integers(0, len(content), 200):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << random.integers(8)]) + content[place + 1 :])
        with pytest.raises(ModelError):
            load_model(path)
    for length in random.integers(0, len(content), 50):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_model(path)


def test_a_truncated_model_file_is_refused_when_typed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes((folder / "runs/mine/model.safetensors").read_bytes()[:-1])
    done = sevensteps("predict", str(tmp_path / "cut.safetensors"), "0.png", cwd=folder)
    refused(done, 1, "cut.safetensors")


def test_class_names_and_file_names_do_not_command_the_terminal(folder: Path, tmp_path: Path) -> None:
    hostile = ["\x1b[2J\x1b]0;owned\x07", "Dress\r\n\u202e\x9b31m"]
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((folder / "runs/mine/model.safetensors").read_bytes())
    model = changed(copy, _set("classes", hostile))
    name = "\x1b[31m.png"
    (tmp_path / name).write_bytes((folder / "0.png").read_bytes())
    done = sevensteps("predict", str(model), name, "0.png", str(folder / "1.png"), "\x1b[1m", cwd=tmp_path)
    assert done.code == 1
    assert not set(done.out + done.err) & set("\x1b\x07\r\x9b\u202e")
    assert len(done.out.splitlines()) == 2
    assert done.out.startswith("\\x1b[31m.png: \\x1b[2J\\x1b]0;owned\\x07 (")
    assert "\\x1b[1m" in done.err
    done = sevensteps("predict", str(model), name, "--json", cwd=tmp_path)
    assert json.loads(done.out)["results"][0]["class"] == hostile[0]  # a program gets what is there


def test_a_drawing_that_is_inverted_is_refused_with_what_to_do(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in range(2):
        with Image.open(folder / f"{place}.png") as picture:
            Image.fromarray(255 - np.asarray(picture)).save(tmp_path / f"paper{place}.png")
    run = str(folder / "runs/mine")
    hint = "Your picture is dark on light, those of training are light on dark: invert it."
    done = here("predict", run, "paper0.png", "paper1.png", cwd=tmp_path, capsys=capsys)
    lines = done.out.splitlines()
    assert len(lines) == 2
    assert all(line.endswith(f"). {hint} Type --invert auto.") for line in lines)
    assert lines[0].startswith("paper0.png: none of these")
    answers = ss.predict(run, tmp_path / "paper0.png")
    assert answers[0].as_json()["hint"] == hint
    assert hint in repr(answers)
    assert ss.load_learner(run).answer(tmp_path / "paper1.png").hint == hint
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)).save(tmp_path / "noise.png")
    assert "invert it" not in here("predict", run, "noise.png", cwd=tmp_path, capsys=capsys).out


def test_invert_auto_answers_a_drawing_on_white_as_if_it_were_on_black(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(folder / "0.png") as picture:
        Image.fromarray(255 - np.asarray(picture)).save(tmp_path / "paper.png")
    shutil.copy(folder / "0.png", tmp_path / "0.png")
    run = str(folder / "runs/mine")
    given, drawn = ss.predict(run, [tmp_path / "0.png", tmp_path / "paper.png"], invert="auto")
    assert not given.is_inverted
    assert drawn.is_inverted
    assert given.as_json() | {"file": "", "inverted": True} == drawn.as_json() | {"file": ""}
    done = here("predict", run, "paper.png", "--invert", "auto", "--explain", "why", cwd=tmp_path, capsys=capsys)
    assert re.match(r"paper\.png: \w+\?? \(\d+\.\d%, inverted", done.out), done.out
    assert "invert it" not in done.out
    assert (tmp_path / "why").is_dir()
