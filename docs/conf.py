"""How Sphinx builds the documentation site: `python -m sphinx docs site-built`, with the extra `docs`."""

from __future__ import annotations

import dataclasses
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


BY_HAND = ("sevensteps.by_hand", "sevensteps.steps.loss", "sevensteps.steps.step", "sevensteps.steps.stop")


def api_page() -> str:
    """Return the page that names every public object, for autodoc to fill in."""
    head = (
        "# API reference\n\nThis page is made from the code. Names are imported from `sevensteps`. Shapes are written "
    )
    head += 'as in `Float[Tensor, "batch channels height width"]`: one name for each axis.'
    lines = [head, "## sevensteps", "```{eval-rst}"]
    for name in sorted(sevensteps.__all__, key=str.lower):
        target = getattr(sevensteps, name)
        if not hasattr(target, "__qualname__"):
            continue
        where = f"{target.__module__}.{target.__qualname__}"
        kind = "autoclass" if isinstance(target, type) else "autofunction"
        lines.append(f".. {kind}:: {where}" + ("\n   :members:\n" if kind == "autoclass" else "\n"))
    lines.append("```")
    for module in BY_HAND:
        lines += [f"## {module}", f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n   :no-index:\n```"]
    return "\n\n".join(lines) + "\n"


# What the theme leaves out, and assistive programs need.
COMPLETED = {
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    "<pre>": '<pre tabindex="0">',
    '<aside class="sidebar-drawer"': '<aside class="sidebar-drawer" aria-label="All pages"',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
}


def complete(app: Any, error: Exception | None) -> None:
    """Make every page complete for assistive programs."""
    for page in Path(app.outdir).rglob("*.html") if error is None else ():
        text = page.read_text("utf-8")
        for old, new in COMPLETED.items():
            text = text.replace(old, new)
        page.write_text(text, "utf-8")


def setup(app: Any) -> None:
    """Write the pages that are made from the code, and complete all pages."""
    app.connect("build-finished", complete)
    for name, text in (("settings", settings_page()), ("api", api_page())):
        page = Path(__file__).parent / "site" / f"{name}.md"
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
