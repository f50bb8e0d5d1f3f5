"""A model's file: the same bytes for the same content, and nothing damaged is ever taken for a model."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from sevensteps.errors import ModelError
from sevensteps.ship import file as model_file

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
    program = "import tests.ship.test_file as t, sys; sys.stdout.buffer.write(t.model_file.to_bytes(t.ARRAYS, t.ABOUT))"
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
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


def test_what_grows_belongs_into_tensors_and_not_into_the_facts(tmp_path: Path) -> None:
    losses = np.append(np.arange(300_000) / 7, [np.inf, -np.inf, np.nan])
    model_file.write(tmp_path / "model", {**ARRAYS, "history.train_loss": losses}, ABOUT)
    np.testing.assert_array_equal(model_file.read(tmp_path / "model")[0]["history.train_loss"], losses)
    with pytest.raises(ModelError, match="a file has room for") as caught:
        model_file.write(tmp_path / "other", ARRAYS, {"history": losses[:100_000].tolist()})
    assert caught.value.hint
    assert not (tmp_path / "other").exists()


def test_the_largest_header_is_read_back_and_one_byte_more_is_not_written(tmp_path: Path) -> None:
    header = struct.unpack("<Q", model_file.to_bytes(ARRAYS, {"fact": ""})[:8])[0]
    most = (1 << 20) - header + 8 * 8  # padded to 8 bytes: the last that fits is among these
    fitting = 0
    for length in range(most - 8 * 8 - 8, most):
        try:
            model_file.write(tmp_path / "model", ARRAYS, {"fact": "x" * length})
        except ModelError:
            continue
        assert model_file.read(tmp_path / "model")[1]["fact"] == "x" * length
        fitting = length
    assert fitting < most - 1
    assert struct.unpack("<Q", (tmp_path / "model").read_bytes()[:8])[0] == 1 << 20


def test_a_larger_header_than_we_write_is_not_read(tmp_path: Path) -> None:
    content = save(ARRAYS, {"sevensteps": "x" * (1 << 20)})
    assert "at most 1,048,576 are read" in refusal(tmp_path / "model", content).message


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8"])
def test_every_type_that_numpy_and_torch_share_comes_back(tmp_path: Path, dtype: str) -> None:
    arrays = {"numbers": np.arange(3).astype(dtype), "none": np.zeros((0, 4), dtype), "one": np.ones((), dtype)}
    model_file.write(tmp_path / "model", arrays, {})
    read, _ = model_file.read(tmp_path / "model")
    assert equal(read, arrays)
    for array in read.values():
        assert array.flags.writeable
        assert array.flags.aligned


@pytest.mark.parametrize("dtype", ["c8", "c16", "U3", "M8[s]", "O"])
def test_other_types_are_refused_before_anything_is_written(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ModelError, match="a model's file cannot hold"):
        model_file.write(tmp_path / "model", {"odd": np.zeros(2, dtype)}, {})
    assert list(tmp_path.iterdir()) == []


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(list(model_file.DTYPES.values())), SHAPES), max_size=6))
def test_the_header_is_the_one_that_safetensors_writes(kinds: dict[str, Any]) -> None:
    """Types, names of every script, shapes: what its serializer made of them is read, and so was held to be ours."""
    arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in kinds.items()}
    content = model_file.to_bytes(arrays, ABOUT)
    size = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    assert content == save(arrays, metadata)
    assert equal(model_file.from_bytes(content, "here")[0], arrays)


def test_every_64th_truncation_is_refused(tmp_path: Path) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    for length in [*range(0, len(content), 64), *range(20), len(content) - 1]:
        refusal(tmp_path / "model", content[:length])


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    for bit in RANDOM.permutation(8 * len(content))[:600].tolist():
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal(tmp_path / "model", bytes(flipped))


def with_header(content: bytes, change: Any) -> bytes:
    """The file with its header's text changed, the length put right."""
    size = struct.unpack("<Q", content[:8])[0]
    text = change(content[8 : 8 + size].decode()).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text + " " * 8, id="more spaces"),
        pytest.param(lambda text: text.replace('{"dtype"', '{ "dtype"', 1), id="a space within"),
        pytest.param(lambda text: text.replace('"bias"', '"bi\\u0061s"', 1), id="an escape"),
        pytest.param(lambda text: text.replace('"__metadata__":{', '"__metadata__":{"a":"b",', 1), id="another fact"),
        pytest.param(lambda text: text.replace('{"dtype"', '{"more":1,"dtype"', 1), id="another key"),
        pytest.param(lambda text: text.replace('{"dtype":"F64"', '{"dtype":"F64","dtype":"F64"', 1), id="a key twice"),
        pytest.param(lambda text: text.replace('"dtype":"F64","shape":[2]', '"shape":[2],"dtype":"F64"'), id="order"),
        pytest.param(lambda text: text.replace("[2,20]", "[20,2]"), id="a shape of as many"),
        pytest.param(lambda text: text.replace("[2,20]", "[2.0,20]"), id="a shape of fractions"),
        pytest.param(lambda text: text.replace("[2,20]", "[true,40]"), id="a shape of truths"),
        pytest.param(lambda text: text.replace("[0,3]", f"[0,{2**62}]"), id="an enormous shape of nothing"),
        pytest.param(lambda text: text.replace("[2,20]", "[" + "1," * 40 + "40]"), id="many dimensions"),
        pytest.param(lambda text: text.replace("[2,20]", f"[{'9' * 5000}]"), id="a number of 5,000 digits"),
        pytest.param(lambda text: text.replace('"F64"', '"I64"'), id="another type"),
        pytest.param(lambda text: text.replace('"F64"', '["F64"]'), id="a list of types"),
        pytest.param(lambda text: text.replace("0.30000000000000004", "0.300000000000000040"), id="a number longer"),
        pytest.param(lambda text: text.replace("0.30000000000000004", "NaN"), id="no number"),
        pytest.param(lambda text: text.replace("0.30000000000000004", "1e999"), id="a number too large"),
        pytest.param(lambda text: text.replace('\\"Pullover\\"', '\\"Pullover\\",\\"Pullover\\"'), id="a class twice"),
        pytest.param(lambda text: text.replace('\\"classes\\"', '\\"shape\\":1,\\"classes\\"'), id="a fact twice"),
        pytest.param(lambda text: text.replace("00e9", "d800"), id="half a character"),
        pytest.param(lambda text: text.replace("0.30000000000000004", "1" + "0" * 400), id="a number that no float is"),
        pytest.param(lambda text: text.replace("0.30000000000000004", "[" * 70 + "]" * 70), id="deep facts"),
        pytest.param(lambda text: text.replace("0.30000000000000004", "[" * 9999 + "]" * 9999), id="deeper facts"),
        pytest.param(lambda text: text.replace("[2,20]", "[" * 9999 + "]" * 9999), id="a deep header"),
    ],
)
def test_a_header_that_we_would_not_write_is_refused(tmp_path: Path, change: Any) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    changed = with_header(content, change)
    assert changed != content
    refusal(tmp_path / "model", changed)


def test_bytes_at_the_end_are_refused(tmp_path: Path) -> None:
    content = model_file.to_bytes(ARRAYS, ABOUT)
    for more in (b"\0", bytes(8), content):
        assert "longer or shorter" in refusal(tmp_path / "model", content + more).message


def test_a_whole_number_of_64_bits_is_a_fact(tmp_path: Path) -> None:
    model_file.write(tmp_path / "model", ARRAYS, {"seed": 2**64 - 1, "below": -(2**63)})
    assert model_file.read(tmp_path / "model")[1] == {"format": 1, "seed": 2**64 - 1, "below": -(2**63)}


def test_facts_that_nobody_can_walk_through_are_not_written(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(model_file.DEEPEST):
        deep = [deep]
    with pytest.raises(ModelError, match="nested too deep"):
        model_file.write(tmp_path / "model", ARRAYS, {"fact": deep})
    model_file.write(tmp_path / "model", ARRAYS, {"fact": deep[0][0]})
    assert model_file.read(tmp_path / "model")[1]["fact"] == deep[0][0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_a_device_and_a_giant_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer, for ever
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ModelError, match="a pipe or a device") as caught:
            model_file.read(path)
        assert caught.value.hint
    with (tmp_path / "giant").open("wb") as file:
        file.truncate((16 << 30) + 1)  # takes no room on the disk
    with pytest.raises(ModelError, match="at most 17,179,869,184 are read"):
        model_file.read(tmp_path / "giant")


def test_a_header_cannot_make_an_allocation_that_the_file_does_not_bear_out(tmp_path: Path) -> None:
    """A valid digest is no protection: whoever wrote the file can compute it."""
    about = json.dumps({"format": 1, "sha256": "0" * 64}, separators=(",", ":"))
    for shape in ([1 << 33], [1 << 20, 1 << 20], [1 << 62], [1 << 40, 0]):
        size = 4 * int(np.prod([float(n) for n in shape]))
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
        header = json.dumps({"__metadata__": {"sevensteps": about}, "x": entry}, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        tracemalloc.start()
        refusal(tmp_path / "model", struct.pack("<Q", len(header)) + header + bytes(100))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


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
        {"__metadata__": {"sevensteps": '{"format":true}'}},
        {"__metadata__": {"sevensteps": '{"format":0}'}},
        {"__metadata__": {"sevensteps": '{"format":1}', "other": "x"}},
        {"__metadata__": {"sevensteps": '{"format":1}'}, "x": {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]}},
    ],
)
def test_odd_headers_are_refused(tmp_path: Path, header: Any) -> None:
    message = refusal(tmp_path / "model", header_of(header)).message
    assert re.search(r"[^.]\.$", message), "one sentence before the hint"


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


def test_only_a_history_may_hold_numbers_that_are_not_finite(tmp_path: Path) -> None:
    infinite = np.array([np.inf, np.nan])
    model_file.write(tmp_path / "model", {"history.loss": infinite}, ABOUT)
    np.testing.assert_array_equal(model_file.read(tmp_path / "model")[0]["history.loss"], infinite)
    for name in ("history", "my.history.loss", "History.loss"):
        refusal(tmp_path / "model", model_file.to_bytes({name: infinite}, ABOUT))


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1, 2}, "half a character: \ud83d", {"\udc80": 1}, 2**64]
)
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
    with pytest.raises(ModelError, match=r"cannot be read \(it is a folder\)"):
        model_file.read(tmp_path)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    model_file.write(tmp_path / "model", ARRAYS, ABOUT)
    program = (
        "import pathlib, sys\nfrom sevensteps.ship import file\nfile.read(pathlib.Path(sys.argv[1]))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path / "model"], check=False).returncode == 0
