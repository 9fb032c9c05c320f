"""Public names are documented, and no file knows the machine that it was written on."""

import ast
import functools
import pathlib
import re
from collections.abc import Iterator

import pytest

FAST = True

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "pgm_jax").rglob("*.py"))

SELF_EVIDENT = {"self", "cls", "key"}
FRAMEWORK_HOOKS = {"setup"}  # flax calls it, people do not
ABSOLUTE_PATH = re.compile(r"(?<![\w./}$-])/(?:work|home|root|tmp|Users)\b")

Definition = ast.FunctionDef | ast.ClassDef


def public(body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[tuple[Definition, ast.ClassDef | None]]:
    """The public functions, classes and methods of a module; a protocol is documented by its class alone."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_") or node.name in FRAMEWORK_HOOKS:
            continue
        yield node, owner
        if isinstance(node, ast.ClassDef) and not is_protocol(node):
            yield from public(node.body, node)


def is_protocol(node: ast.ClassDef) -> bool:
    """Whether a class is a protocol."""
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)


def parameters(node: Definition) -> list[str]:
    """The arguments of a function, or the public fields of a class (dataclass, NamedTuple, flax module)."""
    if isinstance(node, ast.FunctionDef):
        spec = node.args
        every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
        names = [argument.arg for argument in every if argument]
    elif is_protocol(node):
        names = []
    else:
        names = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    return [name for name in names if name not in SELF_EVIDENT and not name.startswith("_")]


def inherited(node: Definition, owner: ast.ClassDef | None, classes: dict[str, ast.ClassDef]) -> str:
    """The docstrings of what a class derives from, or of the methods that a method overrides."""
    heir = node if isinstance(node, ast.ClassDef) else owner
    texts = []
    for name in [base.id for base in (heir.bases if heir else []) if isinstance(base, ast.Name)]:
        if base := classes.get(name):
            same = [base] if node is heir else [item for item in base.body if getattr(item, "name", "") == node.name]
            texts += [ast.get_docstring(item) or "" for item in same if isinstance(item, Definition)]
            texts.append(inherited(base if node is heir else node, base, classes))
    return "\n".join(filter(None, texts))


def faults(tree: ast.Module, classes: dict[str, ast.ClassDef]) -> Iterator[str]:
    """What is missing from the docstrings of a module, in words."""
    for node, owner in public(tree.body):
        name = f"{owner.name}.{node.name}" if owner else node.name
        own, above = ast.get_docstring(node) or "", inherited(node, owner, classes)
        if not own and (isinstance(node, ast.ClassDef) or not above):
            yield f"{name}: no docstring"
            continue
        first, second, *_ = [*(own or above).splitlines(), ""]
        if not first.endswith(".") or second or re.search(r"[.!?] [A-Z]", re.sub(r"`[^`]*`", "", first)):
            yield f"{name}: the first line is to be one sentence, and a blank line to follow: {first!r}"
        for parameter in parameters(node):
            if not re.search(rf"(?<![A-Za-z]){parameter}(?![A-Za-z])", own + above):
                yield f"{name}: {parameter!r} is not explained"


def classes_of(trees: list[ast.Module]) -> dict[str, ast.ClassDef]:
    """The classes of some modules by name."""
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


@functools.cache
def parsed() -> tuple[dict[pathlib.Path, ast.Module], dict[str, ast.ClassDef]]:
    """All sources, and their classes by name."""
    trees = {source: ast.parse(source.read_text()) for source in SOURCES}
    return trees, classes_of(list(trees.values()))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_are_documented(path):
    trees, classes = parsed()
    assert ast.get_docstring(trees[path]), "a file opens with what it is for"
    found = list(faults(trees[path], classes))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f(x): ...", "no docstring"),
        ("class A:\n    '''An A.'''\n    def f(self): ...", "no docstring"),
        ("def f():\n    '''No full stop'''", "one sentence"),
        ("def f():\n    '''One. Two.'''", "one sentence"),
        ("def f():\n    '''One that goes\n    on.'''", "one sentence"),
        ("def f(x, *, lam):\n    '''The double of x.'''", "'lam' is not explained"),
        ("class A:\n    '''An A.'''\n    scale: float", "'scale' is not explained"),
        ("class A:\n    '''An A.'''\nclass B(A): ...", "B: no docstring"),
    ],
)
def test_a_fault_is_seen(source, fault):
    tree = ast.parse(source)
    assert fault in "\n".join(faults(tree, classes_of([tree])))


def test_an_override_inherits_its_docstring():
    base = "class A:\n    '''An A.'''\n    def f(self, x):\n        '''Double x.'''\n"
    tree = ast.parse(base + "class B(A):\n    '''A B.'''\nclass C(B):\n    '''A C.'''\n    def f(self, x): ...\n")
    assert not list(faults(tree, classes_of([tree])))


def test_no_file_names_a_place_on_one_machine(project_files):
    found = []
    for path in project_files:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in ABSOLUTE_PATH.finditer(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["cd @work/main", "'@tmp/x'", "--out=@home/me", "(@root/.cache)"])
def test_an_absolute_path_is_seen(text):
    assert ABSOLUTE_PATH.search(text.replace("@", "/"))


@pytest.mark.parametrize("text", ["https://a.org/home/x", "../tmp/x", "work/x", "images/home", "/workers"])
def test_other_paths_are_let_be(text):
    assert not ABSOLUTE_PATH.search(text)
