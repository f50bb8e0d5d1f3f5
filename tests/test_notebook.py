"""In a real Jupyter kernel: one live table for a fit, figures that show themselves, and a stop button that works."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

PREPARED = """
from sevensteps.all import *
torch.set_num_threads(1)
dls = DataLoaders.from_images(load("pullover-dress"), batch_size=256, flat=True, valid="test")
def a_metric(predictions, targets): return 0.5
a_metric.__name__ = "<b>accuracy"
learn = Learner(dls, nn.Linear(784, 1), metrics=[accuracy, a_metric])
"""


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a user's kernel has: matplotlib set up by it, and no start-up files of whoever runs the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    return environment | {"IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))}


@pytest.fixture(scope="module")
def cells(surroundings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The outputs of a notebook's cells, by the code of each."""
    codes = [
        PREPARED,
        "learn.fit(3, lr=0.1)",
        "learn.fit(2, lr=0.1, show=False)",
        "plot_function(torch.sigmoid, title='Sigmoid', min=-5, max=5); plt.scatter(0, 0.5);",
        "learn.recorder.plot_loss()",
        "found = learn.lr_find(num_it=20); assert found.low < found.high",
        "assert not plt.get_fignums()",
        "dls.splits",
        "dls",
    ]
    notebook = new_notebook(cells=[new_code_cell(code) for code in codes])
    folder = tmp_path_factory.mktemp("notebook")
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute(env=surroundings)
    nbformat.validate(notebook)
    return {cell.source: cell.outputs for cell in notebook.cells}


def table_of(cells: dict[str, list[Any]]) -> Any:
    """The one output of the fit that is not print's."""
    (output,) = [output for output in cells["learn.fit(3, lr=0.1)"] if output.output_type != "stream"]
    assert output.output_type == "display_data"
    return output


def test_a_fit_leaves_one_table_that_was_updated_in_place(cells: dict[str, list[Any]]) -> None:
    output = table_of(cells)
    page, text = output.data["text/html"], output.data["text/plain"]
    assert page.count("<table>") == 1
    assert page.count("<tr>") == 1 + 3
    assert "batch" not in page
    header, *lines = text.splitlines()
    assert header.split() == ["epoch", "train_loss", "valid_loss", "accuracy", "<b>accuracy", "time"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all(cell in page for cell in lines[2].split()[:4])


def test_a_name_is_no_markup_in_the_table(cells: dict[str, list[Any]]) -> None:
    page = table_of(cells).data["text/html"]
    assert "&lt;b&gt;accuracy" in page
    assert "<b>" not in page


def test_nothing_is_shown_that_was_not_asked_for(cells: dict[str, list[Any]]) -> None:
    assert cells["learn.fit(2, lr=0.1, show=False)"] == []
    assert cells["assert not plt.get_fignums()"] == []


def test_a_figure_as_the_value_of_a_cell_is_shown_once(cells: dict[str, list[Any]]) -> None:
    (output,) = cells["learn.recorder.plot_loss()"]
    assert output.output_type == "execute_result"
    assert len(output.data["image/png"]) > 5000


def test_plot_function_and_what_is_drawn_over_it_are_shown_once(cells: dict[str, list[Any]]) -> None:
    (output,) = cells["plot_function(torch.sigmoid, title='Sigmoid', min=-5, max=5); plt.scatter(0, 0.5);"]
    assert output.output_type == "display_data"
    assert len(output.data["image/png"]) > 5000


def test_lr_find_shows_its_plot_also_where_it_is_not_the_last_line(cells: dict[str, list[Any]]) -> None:
    (output,) = cells["found = learn.lr_find(num_it=20); assert found.low < found.high"]
    assert output.output_type == "display_data"
    assert "image/png" in output.data


@pytest.fixture
def kernel(surroundings: dict[str, str], tmp_path: Path) -> Iterator[tuple[KernelManager, Any]]:
    """A kernel to talk with; matplotlib has not been set up for notebooks in it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=surroundings | {"MPLBACKEND": "Agg"}, cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def published_until_idle(client: Any, request: str, seconds: float = 60) -> Iterator[dict[str, Any]]:
    """What the kernel publishes about this request, until it is done with it."""
    deadline = time.monotonic() + seconds
    while True:
        message = client.get_iopub_msg(timeout=deadline - time.monotonic())
        if message["parent_header"].get("msg_id") == request:
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            yield message


def reply_to(client: Any, request: str) -> dict[str, Any]:
    """The kernel's answer to this request; on a busy machine, late answers to `wait_for_ready` come before it."""
    while True:
        message = client.get_shell_msg(timeout=10)
        if message["parent_header"].get("msg_id") == request:
            return message["content"]


def test_the_stop_button_raises_in_the_cell_and_the_learner_goes_on(kernel: tuple[KernelManager, Any]) -> None:
    manager, client = kernel

    def run(code: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        request = client.execute(code)
        return list(published_until_idle(client, request)), reply_to(client, request)

    _, reply = run(PREPARED)
    assert reply["status"] == "ok", reply

    request = client.execute("learn.fit(1_000_000, lr=0.1)")
    published, stopped = [], False
    for message in published_until_idle(client, request):
        published.append(message)
        if not stopped and message["msg_type"] == "update_display_data":
            manager.interrupt_kernel()
            stopped = True
    reply = reply_to(client, request)
    assert (reply["status"], reply.get("ename")) == ("error", "KeyboardInterrupt"), reply
    shown = [message["content"] for message in published if "display_data" in message["msg_type"]]
    assert len({content["transient"]["display_id"] for content in shown}) == 1
    assert "of 1000000, batch" in shown[0]["data"]["text/plain"]
    assert "of 47, loss 0." in shown[0]["data"]["text/html"]

    published, reply = run(
        "before = learn.state.epoch; learn.fit(1, lr=0.1); print(learn.state.epoch - before, plt.get_backend().lower())"
    )
    assert reply["status"] == "ok", reply
    printed = "".join(message["content"]["text"] for message in published if message["msg_type"] == "stream")
    assert printed.split() == ["1", "agg"]

    published, reply = run("learn.recorder.plot_loss()")
    (result,) = [message["content"]["data"] for message in published if message["msg_type"] == "execute_result"]
    assert len(result["image/png"]) > 5000


@pytest.mark.parametrize("code", ["dls.splits", "dls"])
def test_pictures_and_loaders_show_themselves(cells: dict[str, list[Any]], code: str) -> None:
    (output,) = cells[code]
    assert output.output_type == "execute_result"
    assert output.data["text/html"].count("data:image/png;base64,") == 16
    assert len(output.data["text/plain"]) < 300
