"""Sphinx configuration, and the pages that are made from the code itself.

The pages under ``api/`` and the table of options follow from ``__all__`` and from the option
classes, so a new name needs no edit here. Nothing is fetched from the network: references to
PyTorch and PyG are shown, but not linked.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from textwrap import indent

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import pyg_fsar
from pyg_fsar.formats import FORMATS
from pyg_fsar.training import ModelOptions, TrainingOptions

project = "pyg_fsar"
author = "The pyg_fsar authors"
copyright = "2026, the pyg_fsar authors"
release = version = pyg_fsar.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
# design.md keeps to what Markdown and reStructuredText have in common, so one parser reads both.
source_suffix = {".rst": "restructuredtext", ".md": "restructuredtext"}
exclude_patterns = ["api/*.inc"]
html_theme = "furo"
html_title = f"pyg_fsar {release}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
templates_path: list[str] = []

add_module_names = False
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
# What PyTorch and PyG write about methods that are overridden here is not ours to mark up.
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shapes"]

API = Path(__file__).parent / "api"
# Names of the classifier are those of the package. Kernels are for its other modules; what users
# need of them stands on the page about speed.
WITHOUT_PAGE = ("classifier", "kernels")
# Subpackages by their own names, and the one module that is public beside them.
MODULES = [
    "pyg_fsar",
    *sorted(
        f"pyg_fsar.{module.name}"
        for module in pkgutil.iter_modules(pyg_fsar.__path__)
        if module.ispkg and module.name not in WITHOUT_PAGE
    ),
    "pyg_fsar.transforms.utils",
]


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_generated_pages, priority=100)
    app.connect("autodoc-skip-member", skip_tuple_fields)


def skip_tuple_fields(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    # The Shapes section of a named tuple says more than "Alias for field number 0".
    return True if (inspect.getdoc(member) or "").startswith("Alias for field number") else None


def write_generated_pages(app: Sphinx) -> None:
    API.mkdir(exist_ok=True)
    names = "".join(f"   {name}\n" for name in MODULES)
    pages = {"index.rst": f"{title('API')}.. toctree::\n   :maxdepth: 1\n\n{names}"}
    pages |= {f"{name}.rst": api_page(name) for name in MODULES}
    pages["options.inc"] = options_table()
    pages["formats.inc"] = formats_table()
    for old in set(API.iterdir()) - {API / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        path = API / name
        # Sphinx reads again what has changed.
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"


def api_page(module_name: str) -> str:
    module = import_module(module_name)
    kinds = {name: kind(getattr(module, name)) for name in module.__all__}
    listed = "".join(f"   {name}\n" for name in module.__all__ if kinds[name] != "data")
    page = title(module_name)
    page += (
        f".. automodule:: {module_name}\n   :no-members:\n\n.. currentmodule:: {module_name}\n\n"
    )
    page += f".. autosummary::\n\n{listed}\n"
    for name in module.__all__:
        if kinds[name] == "data":
            page += f".. py:data:: {name}\n\n{data_doc(name, module_name)}\n"
        else:
            options = ":members:\n:show-inheritance:\n:exclude-members: extra_repr\n"
            options = indent(options, "   ") if kinds[name] == "class" else ""
            page += f".. auto{kinds[name]}:: {name}\n{options}\n"
    return page


def kind(member: object) -> str:
    if inspect.isclass(member):
        return "class"
    return "function" if inspect.isroutine(member) else "data"


def data_doc(name: str, module_name: str) -> str:
    """The ``#:`` comment of a value, which stands where it is defined and not where re-exported."""
    modules = [
        other
        for other, module in list(sys.modules.items())
        if other.startswith(module_name) and name in getattr(module, "__all__", ())
    ]
    comments = ModuleAnalyzer.for_module(max(modules, key=len)).find_attr_docs()
    return "".join(f"   {line}\n" for line in comments["", name])


def options_table() -> str:
    rows = [("Option", "Default", "Meaning")]
    for options in (TrainingOptions, ModelOptions):
        for option in fields(options):
            flag = option.metadata["flag"] or f"--{option.name.replace('_', '-')}"
            meaning = option.metadata["help"]
            if option.metadata["choices"]:
                meaning += f" ({', '.join(option.metadata['choices'])})"
            rows.append((f"``{flag}``", f"``{option.default}``", meaning))
    return table(rows, "25 15 60")


def formats_table() -> str:
    rows = [("Format", "Files", "Layout", "Units", "People", "Options", "Needs")]
    for name, form in FORMATS.items():
        options = ", ".join(f"``{option}``" for option in form.options)
        needs = f"``pyg-fsar[{form.needs}]``" if form.needs else ""
        rows.append(
            (f"``{name}``", form.files, form.layout, form.units, form.people, options, needs)
        )
    return table(rows, "10 24 16 14 14 12 10")


def table(rows: list[tuple[str, ...]], widths: str) -> str:
    cells = ("\n     - ".join(row).replace("- \n", "-\n") for row in rows)
    lines = "".join(f"   * - {row.rstrip()}\n" for row in cells)
    return f".. list-table::\n   :header-rows: 1\n   :widths: {widths}\n\n{lines}"
