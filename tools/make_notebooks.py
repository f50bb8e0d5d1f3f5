"""Write the notebooks in docs/ with their outputs, from the pages in docs/notebooks/.

    python tools/make_notebooks.py

A page is Markdown; its Python blocks become cells, which run in a kernel of their own. A slow test runs them again and
compares what they print.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from sevensteps.base import files

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {path.stem: path for path in sorted((DOCS / "notebooks").glob("*.md"))}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def cells_of(page: str) -> list[Any]:
    """Return the cells of a page, without outputs.

    Args:
        page: Its Markdown.
    """
    cells = []
    for place, part in enumerate(re.split(r"^```python\n(.*?)^```\n", page, flags=re.DOTALL | re.MULTILINE)):
        if part.strip():
            cells.append(new_code_cell(part.strip()) if place % 2 else new_markdown_cell(part.strip()))
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"  # else a random one, and each time another file
    return cells


def executed(name: str) -> Any:
    """Return a notebook with its outputs; it runs in an empty folder.

    Args:
        name: Of the page.
    """
    notebook = new_notebook(cells=cells_of(PAGES[name].read_text("utf-8")), metadata={"kernelspec": KERNEL})
    os.environ["REVEAL_ALL"] = "1"  # the exercises wait for an answer otherwise
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            if "reveal(" in cell.source and name == "exercises":  # shown on asking, so that nobody reads it too early
                cell.metadata |= {"tags": ["hide-output"], "jupyter": {"outputs_hidden": True}}
    return notebook


def joined(outputs: list[Any]) -> list[Any]:
    """Return the outputs of a cell, where what it prints in a row is one: a kernel sends it in pieces.

    Args:
        outputs: Of one cell.
    """
    whole: list[Any] = []
    for output in outputs:
        if whole and output.output_type == whole[-1].output_type == "stream" and output.name == whole[-1].name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def texts_of(notebook: Any) -> list[str]:
    """Return what each code cell of a notebook prints.

    Args:
        notebook: With its outputs.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(each.text for each in cell.outputs if each.output_type == "stream") for cell in cells]


def stored(name: str) -> Any:
    """Return a notebook as it is in docs/.

    Args:
        name: Of the page.
    """
    return nbformat.read(DOCS / f"{name}.ipynb", as_version=4)


def main() -> None:
    """Run the pages that are named, or all, and write their notebooks."""
    for name in sys.argv[1:] or PAGES:
        notebook = executed(name)
        files.write(DOCS / f"{name}.ipynb", nbformat.writes(notebook).encode() + b"\n")
        print(f"docs/{name}.ipynb: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main()
