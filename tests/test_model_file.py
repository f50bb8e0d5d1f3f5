"""A model's file: the same bytes for the same content, and nothing damaged is ever taken for a model."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from sevensteps import model_file
from sevensteps.errors import ModelError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "weight": RANDOM.normal(size=(2, 20)).astype(np.float32),
    "bias": RANDOM.normal(size=2).astype(np.float64),
    "count": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), dtype=np.float32),
}
ABOUT = {"classes": ["Pullover", "Dress"], "shape": [1, 28, 28], "temperature": 0.1 + 0.2, "model": {"10": 1, "9": "é"}}


def equal(arrays: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    """Whether names, types, shapes and every value are the same."""
    return arrays.keys() == others.keys() and all(
        array.dtype == others[name].dtype and array.shape == others[name].shape and (array == others[name]).all()
        for name, array in arrays.items()
    )


def refusal(path: Path, content: bytes) -> ModelError:
    """The error with which a file of these bytes is refused."""
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        model_file.read(path)
    assert caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


def test_what_was_written_is_read(tmp_path: Path) -> None:
    model_file.write(tmp_path / "model.safetensors", ARRAYS, ABOUT)
    arrays, about = model_file.read(tmp_path / "model.safetensors")
    assert equal(arrays, ARRAYS)
    assert about == {"format": 1, **ABOUT}
    assert arrays["count"].shape == ()


def test_the_same_content_gives_the_same_bytes() -> None:
    backwards = dict(reversed(ARRAYS.items()))
    strided = {**ARRAYS, "weight": np.asfortranarray(ARRAYS["weight"]), "bias": ARRAYS["bias"].repeat(2)[::2]}
    swapped = {**ARRAYS, "bias": ARRAYS["bias"].astype(">f8")}
    content = model_file.to_bytes(ARRAYS, ABOUT)
    for arrays in (backwards, strided, swapped):
        assert model_file.to_bytes(arrays, dict(reversed(ABOUT.items()))) == content
    program = (
        "import tests.test_model_file as t, sys; sys.stdout.buffer.write(t.model_file.to_bytes(t.ARRAYS, t.ABOUT))"
    )
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout == content


def test_other_content_gives_other_bytes() -> None:
    contents = [
        model_file.to_bytes(ARRAYS, ABOUT),
        model_file.to_bytes({**ARRAYS, "count": np.array(8)}, ABOUT),
        model_file.to_bytes({**ARRAYS, "count": np.array([7])}, ABOUT),
        model_file.to_bytes(ARRAYS, {**ABOUT, "temperature": 0.3}),
    ]
    assert len(set(contents)) == len(contents)


def test_keys_that_are_numbers_are_read_as_words(tmp_path: Path) -> None:
    model_file.write(tmp_path / "model", ARRAYS, {"by_number": {10: "a", 9: "b", 100: (1, 2)}})
    assert model_file.read(tmp_path / "model")[1]["by_number"] == {"10": "a", "9": "b", "100": [1, 2]}


def test_any_safetensors_reader_can_open_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model_file.write(path, ARRAYS, ABOUT)
    with safe_open(path, "np") as file:
        assert list(file.metadata()) == ["sevensteps"]
        assert json.loads(file.metadata()["sevensteps"])["classes"] == ABOUT["classes"]
        np.testing.assert_array_equal(file.get_tensor("weight"), ARRAYS["weight"])


def test_a_long_history_can_be_read_back(tmp_path: Path) -> None:
    history = [{"number": number, "train_loss": number / 7, "metrics": {"accuracy": 0.5}} for number in range(30_000)]
    model_file.write(tmp_path / "model", ARRAYS, {"history": history})
    assert model_file.read(tmp_path / "model")[1]["history"] == history


def test_every_64th_truncation_is_refused(tmp_path: Path) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    for length in [*range(0, len(content), 64), *range(20), len(content) - 1]:
        refusal(tmp_path / "model", content[:length])


def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    path = tmp_path / "model"
    refused = 0
    bits = RANDOM.permutation(8 * len(content))[:600]
    for bit in bits.tolist():
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            arrays, about = model_file.read(path)
        except ModelError:
            refused += 1
        else:
            assert equal(arrays, ARRAYS)
            assert about == {"format": 1, **ABOUT}
    assert refused > 0.98 * len(bits)


@given(st.binary(max_size=300), st.integers(0, 1000), st.integers(0, 1000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_raise_nothing_but_model_errors(tmp_path: Path, junk: bytes, start: int, stop: int) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    spliced = content[:start] + junk + content[stop:]
    for bytes_ in (junk, struct.pack("<Q", len(junk)) + junk, spliced):
        if bytes_ != content:
            refusal(tmp_path / "model", bytes_)


def header_of(header: Any) -> bytes:
    """A file of this header alone."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"__metadata__": {"sevensteps": "[]"}},
        {"__metadata__": {"sevensteps": "7"}},
        {"__metadata__": {"sevensteps": "{}"}},
        {"__metadata__": {"sevensteps": '{"format":"1"}'}},
        {"__metadata__": {"sevensteps": "{"}},
        {"__metadata__": {"sevensteps": "[" * 100_000}},
        {"__metadata__": []},
        {"__metadata__": {"sevensteps": 7}},
        {"x": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}},
        {"x": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 0]}},
    ],
)
def test_odd_headers_are_refused(tmp_path: Path, header: Any) -> None:
    refusal(tmp_path / "model", header_of(header))


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "model", struct.pack("<Q", (1 << 64) - 1) + b"{}")
    refusal(tmp_path / "model", struct.pack("<Q", 50_000_000) + b"{}")


def test_a_safetensors_file_of_another_program_is_named(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        assert "not written by sevensteps" in refusal(tmp_path / "model", save(ARRAYS, metadata)).message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    content = model_file.to_bytes({**ARRAYS, "weight": np.array([1.0, value], dtype=np.float32)}, ABOUT)
    assert "'weight' holds numbers that are not finite" in refusal(tmp_path / "model", content).message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_facts_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelError, match="JSON cannot hold") as caught:
        model_file.write(tmp_path / "model", ARRAYS, {"fact": value})
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    error = refusal(tmp_path / "model", model_file.to_bytes(ARRAYS, {**ABOUT, "format": 2}))
    assert "newer version (format 2" in error.message
    assert error.hint == "Update sevensteps."


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model at"):
        model_file.read(tmp_path / "nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        model_file.read(tmp_path)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    model_file.write(tmp_path / "model", ARRAYS, ABOUT)
    program = (
        "import pathlib, sys; from sevensteps import model_file; model_file.read(pathlib.Path(sys.argv[1]))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path / "model"], check=False).returncode == 0
