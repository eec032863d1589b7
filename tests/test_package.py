from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import pyg_fsar

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("pyg_fsar", "examples", "benchmarks", "tests", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
# Public methods of named tuples, and what PyTorch's own code reads of any module.
OF_LIBRARIES = {"_replace", "_asdict", "_fields", "_make", *vars(torch.nn.Module())}


def test_subpackages_are_there_when_asked_for_and_not_before() -> None:
    code = (
        "import sys, pyg_fsar; assert 'pyg_fsar.nn' not in sys.modules; "
        # PyG imports scipy where numba is installed; that is not this package's doing.
        "import torch_geometric.nn, torch_geometric.transforms; before = set(sys.modules); "
        "assert pyg_fsar.nn.RankMax; "
        "assert not {'matplotlib', 'scipy'} & (sys.modules.keys() - before)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in pyg_fsar.SUBPACKAGES:
        assert getattr(pyg_fsar, name).__name__ == f"pyg_fsar.{name}"


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'optim'"):
        pyg_fsar.optim  # noqa: B018


def test_version_is_cited() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == pyg_fsar.__version__


def test_imports_go_up_the_list_of_the_design() -> None:
    page = (ROOT / "docs" / "source" / "design.md").read_text()
    order = re.findall(r"^    (\w+)(?:/|\.py) ", page, re.MULTILINE)
    for path in sorted((ROOT / "pyg_fsar").rglob("*.py")):
        parts = path.relative_to(ROOT / "pyg_fsar").with_suffix("").parts
        if parts == ("__init__",):
            continue
        assert parts[0] in order, f"{parts[0]} is not in the list of docs/source/design.md"
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            package, *names = node.module.split(".")
            # Of `from pyg_fsar import nn` the names are the modules.
            names = names[:1] or [alias.name for alias in node.names]
            for name in names if package == "pyg_fsar" else ():
                if module_file(f"pyg_fsar.{name}") is not None:
                    up = order.index(name) <= order.index(parts[0])
                    assert up, f"{path.relative_to(ROOT)} imports {node.module}, which is below it"


def public_names(module: str) -> set[str]:
    """What ``__all__`` of a module of the package lists."""
    path = module_file(module)
    assert path is not None, f"there is no module {module}"
    for node in ast.parse(path.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else ()
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign)
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def module_file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def is_private(name: object) -> bool:
    if not isinstance(name, str) or name in OF_LIBRARIES:
        return False
    return name.startswith("_") and not name.startswith("__")


def root_name(node: ast.expr) -> str:
    """``a`` of ``a.b[c].d()``."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def private_uses(source: str) -> Iterator[str]:
    """Names that belong to another module of the package, which that module does not offer.

    These are imported names that ``__all__`` omits, and attributes with a leading underscore,
    unless the file defines such an attribute, inherits it (``self``, ``cls``), or takes it from
    another library.
    """
    nodes = list(ast.walk(ast.parse(source)))
    foreign, defined = {"self", "cls"}, set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or alias.name for alias in node.names]
            for alias, module in zip(node.names, modules, strict=True):
                if module.split(".")[0] != "pyg_fsar":
                    foreign.add(alias.asname or alias.name.split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pyg_fsar":
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                offered = module_file(submodule) or alias.name in public_names(node.module)
                if is_private(alias.name) or not offered:
                    yield submodule
        elif isinstance(node, ast.Attribute) and root_name(node) not in foreign:
            if is_private(node.attr) and node.attr not in defined:
                yield f"{root_name(node)}.{node.attr}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
            # getattr(object, "_name"), monkeypatch.setattr(object, "_name", ...)
            names = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
            name = names[0] if names else None
            if is_private(name) and root_name(node.args[0]) not in foreign:
                yield f"{root_name(node.args[0])}.{name}"


def test_private_names_stay_in_their_module() -> None:
    uses = {
        f"{path.relative_to(ROOT)}: {use}"
        for path in SOURCES
        for use in private_uses(path.read_text())
    }
    assert not uses, "make the name public, or test what it is used for"


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("from pyg_fsar.skeleton import Skeleton", []),
        ("from pyg_fsar import skeleton, layouts", []),
        ("from pyg_fsar.skeleton import torch", ["pyg_fsar.skeleton.torch"]),
        ("from pyg_fsar.skeleton import _hops", ["pyg_fsar.skeleton._hops"]),
        ("from pyg_fsar import Skeleton\nSkeleton.get('a')._x.y", ["Skeleton._x"]),
        ("monkeypatch.setattr(Skeleton, '_x', 1)", ["Skeleton._x"]),
        ("import torch\ntorch._dynamo.reset()\nself._x + clip.__len__()", []),
        ("class A:\n    _x = 1\n\n\nA()._x", []),
    ],
)
def test_private_uses_are_found(source: str, uses: list[str]) -> None:
    assert list(private_uses(source)) == uses
