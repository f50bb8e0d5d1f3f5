"""How Sphinx builds the documentation site: `python -m sphinx docs site-built`, with the extra `docs`."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
import sevensteps
from sevensteps.base.version import __version__
from sevensteps.recipes.recipe import Recipe
from sevensteps.recipes.recipe_file import shipped_recipes
from sevensteps.recipes.settings import setting_types

project, author, release = "sevensteps", "the sevensteps developers", __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["notebooks", "_build", "site/README.md"]
root_doc = "index"

myst_enable_extensions = ["deflist", "html_image"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # outputs are stored; tools/make_notebooks.py writes them, and a test runs them again
nb_ipywidgets_js: dict[str, Any] = {}  # they would be loaded from elsewhere
nb_merge_streams = True
# tests/test_readme.py checks all links; a link to a file outside of docs/ is one for readers of the repository.
suppress_warnings = ["myst.header", "myst.xref_missing", "mystnb.unknown_mime_type", "ref.term", "ref.ref"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = "sevensteps"
html_show_sphinx = False
html_show_copyright = False  # LICENSE and NOTICE have it
html_static_path, html_css_files = ["site/static"], ["site.css"]
html_copy_source = False
html_show_search_summary = False  # it would read pages by requests, which a page from disk may not make
html_theme_options = {"footer_icons": [], "top_of_page_buttons": []}


def settings_page() -> str:
    """Return the page with every setting of a recipe and every recipe that ships, from the code."""
    rows = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    for known in dataclasses.fields(Recipe):
        kind = setting_types()[known.name]
        named = getattr(kind, "__name__", str(kind)).replace("typing.", "").replace("|", "or")
        default = "" if known.default in ("", ()) else f"`{known.default}`"
        about = known.metadata.get("help", "").replace("|", "\\|")
        rows.append(f"| `{known.name}` | {named} | {default} | {about} |")
    shipped = [f"## {name}\n\n```toml\n{text.strip()}\n```" for name, text in sorted(shipped_recipes().items())]
    head = "# Recipes: every setting\n\nThis page is made from the code. Each setting is a key in a recipe file, a "
    head += "flag of `sevensteps train`, and an argument of `ss.train`."
    return "\n\n".join([head, "\n".join(rows), *shipped]) + "\n"


# The pages of the API reference: a title, the folders whose public names it has, and modules to read as a whole.
API = {
    "jobs": ("The commands as functions", ("jobs", "studio"), ()),
    "data": ("Pictures", ("data",), ()),
    "recipes": ("Recipes", ("recipes",), ()),
    "learner": ("Learner", ("learner",), ()),
    "steps": ("Losses, optimizers, schedules and stop rules", ("steps",), ("loss", "step", "stop")),
    "results": ("Runs, events and scores", ("runs", "records"), ()),
    "others": ("Errors, drawing and other programs", ("errors", "show", "integrations"), ()),
    "by_hand": ("By hand", (), ("by_hand",)),
}


def public_names() -> dict[str, list[Any]]:
    """Return the public functions and classes of each page of the API reference, in the order of the alphabet.

    Raises:
        ValueError: A public name is in a folder that no page has.
    """
    pages: dict[str, list[Any]] = {page: [] for page in API}
    page_of = {folder: page for page, (_, folders, _) in API.items() for folder in folders}
    for name in sorted(sevensteps.__all__, key=str.lower):
        target = getattr(sevensteps, name)
        if hasattr(target, "__qualname__"):
            folder = target.__module__.split(".")[1]
            if folder not in page_of:
                raise ValueError(f"{name} is in the folder {folder}: add that to a page of API in docs/conf.py.")
            pages[page_of[folder]].append(target)
    return pages


def api_pages() -> dict[str, str]:
    """Return the pages of the API reference, for autodoc to fill in, by their names."""
    head = "# API reference\n\nThese pages are made from the code. Names are imported from `sevensteps`. Shapes are "
    head += 'written as in `Float[Tensor, "batch channels height width"]`: one name for each axis.'
    toc = "```{toctree}\n:hidden:\n\n" + "\n".join(f"api/{page}" for page in API) + "\n```"
    index, pages = [head, toc], {}
    for (page, (title, _, modules)), targets in zip(API.items(), public_names().values(), strict=True):
        index.append(f"## [{title}](api/{page}.md)")
        whole = [f"sevensteps.{module}" if page == module else f"sevensteps.{page}.{module}" for module in modules]
        lines, rows = [f"# {title}", "```{eval-rst}"], []
        for target in targets:
            kind = "class" if isinstance(target, type) else "function"
            where = f"{target.__module__}.{target.__name__}"
            rows.append(f"- {{py:obj}}`{target.__name__} <{where}>`: {first_sentence(target)}")
            if target.__module__ not in whole:
                lines.append(f".. auto{kind}:: {where}" + ("\n   :members:\n" if kind == "class" else "\n"))
        for module in whole:
            if not rows or page == module:
                rows.append(f"- {{py:mod}}`{module}`: {first_sentence(importlib.import_module(module))}")
            lines.append(f".. automodule:: {module}\n   :members:\n")
        pages[f"api/{page}"] = "\n\n".join([*lines, "```"]) + "\n"
        index.append("\n".join(rows))
    return {**pages, "api": "\n\n".join(index) + "\n"}


def first_sentence(target: Any) -> str:
    """Return what the first line of a docstring says."""
    return (inspect.getdoc(target) or "").split("\n", 1)[0]


# What the theme leaves out, and assistive programs need.
COMPLETED = {
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    '<aside class="sidebar-drawer"': '<aside class="sidebar-drawer" aria-label="All pages"',
    '<div id="search-results">': '<h1>Search</h1>\n<div id="search-results">',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
}


# On the pages that are notebooks, below the title.
DOWNLOAD = '<p><a class="download" href="{0}" download="{0}">Download this page as a notebook</a></p>'


def complete(app: Any, error: Exception | None) -> None:
    """Make every page complete for assistive programs, and offer the notebooks."""
    for page in Path(app.outdir).rglob("*.html") if error is None else ():
        text = page.read_text("utf-8")
        for old, new in COMPLETED.items():
            text = text.replace(new, old).replace(old, new)  # a page that is built already stays as it is
        page.write_text(text, "utf-8")
    for notebook in Path(app.srcdir).glob("*.ipynb") if error is None else ():
        shutil.copy(notebook, app.outdir)
        page = Path(app.outdir, notebook.stem).with_suffix(".html")
        text, link = page.read_text("utf-8"), DOWNLOAD.format(notebook.name)
        if link not in text:
            page.write_text(text.replace("</h1>", f"</h1>\n{link}", 1), "utf-8")


def setup(app: Any) -> None:
    """Write the pages that are made from the code, and complete all pages."""
    app.connect("build-finished", complete)
    for name, text in {"settings": settings_page(), **api_pages()}.items():
        page = Path(__file__).parent / "site" / f"{name}.md"
        page.parent.mkdir(exist_ok=True)
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
