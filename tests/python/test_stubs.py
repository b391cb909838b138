"""The committed stubs say what the extension has.

Goal: an editor and mypy never disagree with the module. Method: pybind11-stubgen writes the module's stubs; every
class, method, parameter and attribute of theirs is held against the committed ones. The types in these are kept by
hand: they say more than a binding can (which tuple, which dtype, which protocol).

    python tests/python/test_stubs.py    prints the generated stubs, to copy from
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

COMMITTED = Path(__file__).resolve().parents[2] / "python" / "lamina" / "_core.pyi"
HOOKS = "testing_"  # in builds with LAMINA_TESTING only
SHOW = f"see what the module has with: python {Path(__file__).name}, and mend {COMMITTED.name}"


def generate() -> str:
    """The stubs of lamina._core as pybind11-stubgen writes them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "lamina._core", "--exit-code", "-o", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"pybind11-stubgen failed:\n{done.stderr}"
        return (Path(folder) / "lamina" / "_core.pyi").read_text()


def shapes(stubs: str) -> dict[str, str]:
    """Each name of the stubs with what can be compared of it: a function's parameters, or that it is a value."""
    return dict(members(ast.parse(stubs).body, ""))


def members(body: list[ast.stmt], inside: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
                continue  # describes what the module is given, not what it has
            yield inside + node.name, "class"
            yield from members(node.body, f"{inside}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            decorators = {decorator.id for decorator in node.decorator_list if isinstance(decorator, ast.Name)}
            yield inside + node.name, "value" if "property" in decorators else parameters(node.args)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield inside + node.target.id, "value"


def parameters(arguments: ast.arguments) -> str:
    """`(self, path, *, create=)`: names, order, which are by keyword only, which have a default."""
    named = [*arguments.posonlyargs, *arguments.args]
    required = len(named) - len(arguments.defaults)
    words = [argument.arg + "=" * (number >= required) for number, argument in enumerate(named)]
    words += ["*"] if arguments.kwonlyargs and not arguments.vararg else []
    words += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    words += [argument.arg + "=" * (default is not None) for argument, default in pairs]
    return f"({', '.join(words)})"


def test_stubs_have_what_the_module_has() -> None:
    module, committed = shapes(generate()), shapes(COMMITTED.read_text())
    module.pop("__all__", None)
    module.setdefault("__version__", "value")  # pybind11-stubgen leaves it out
    wrong = []
    for name in sorted(module.keys() | committed.keys()):
        if not name.startswith(HOOKS) and module.get(name) != committed.get(name):
            here, there = committed.get(name, "not there"), module.get(name, "not there")
            wrong.append(f"{name}: {here} in {COMMITTED.name}, {there} in the module")
    assert not wrong, f"{SHOW}\n" + "\n".join(wrong)


def test_a_difference_is_seen() -> None:
    before = "class A:\n    def f(self, x: int, *, y: int = 0) -> int: ...\n    z: int\n"
    assert shapes(before) == {"A": "class", "A.f": "(self, x, *, y=)", "A.z": "value"}
    assert shapes(before.replace("y", "w")) != shapes(before)
    assert shapes(before.replace(" = 0", "")) != shapes(before)


if __name__ == "__main__":
    print(generate())
