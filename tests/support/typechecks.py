"""Shapes and types checked at run time: an import hook that puts `checked` around each function and class of ours.

jaxtyping's own hook checks arguments twice, which took two fifths of the time of the tests, and looks for the byte code
of whatever our modules import where its own is kept: it compiled PennyLane, SciPy and SymPy anew.
"""

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, ForwardRef, get_args

import jaxtyping
from beartype import beartype

OURS = ("qrl", "envs", "agents")
DECORATOR = "__checked__"
"""The name of `checked` in each module of ours."""


def install() -> None:
    """Check our modules as they are imported; to be called before."""
    sys.meta_path.insert(0, CheckedFinder())


def checked(fn: Any) -> Any:
    """The checks of jaxtyping with beartype, once a call, and axes only where some are named.

    `jaxtyping.jaxtyped` itself checks arguments twice and binds them by their names, for messages that say more. It is
    left to do so for classes, whose fields it checks if they are dataclasses, and for types given as strings, which may
    not be there.
    """
    types = [part for annotation in getattr(fn, "__annotations__", {}).values() for part in parts(annotation)]
    if not inspect.isfunction(fn) or any(isinstance(each, str | ForwardRef) for each in types):
        return jaxtyping.jaxtyped(fn, typechecker=beartype)
    strict: Callable[..., Any] = beartype(fn)
    if any(inspect.isclass(each) and issubclass(each, jaxtyping.AbstractArray) for each in types):
        strict = jaxtyping.jaxtyped(strict, typechecker=None)

    @functools.wraps(fn)
    def call(*arguments: Any, **keywords: Any) -> Any:
        return (fn if jaxtyping.config.jaxtyping_disable else strict)(*arguments, **keywords)

    return call


def parts(annotation: Any) -> Iterator[Any]:
    """A type and the types in it."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


class CheckedFinder(MetaPathFinder):
    """Finds modules of ours where they always are, and has them loaded with checks."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in OURS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = CheckedLoader(spec.loader.name, spec.loader.path)
        return spec


class CheckedLoader(SourceFileLoader):
    """Compiles a module anew with its decorators, so that byte code on disk is always of the module without them."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = DecorateAll().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[DECORATOR] = checked
        super().exec_module(module)


class DecorateAll(ast.NodeTransformer):
    """Functions below their other decorators, which may hide types; classes above, as dataclasses are to be made."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list.append(ast.copy_location(ast.Name(DECORATOR, ast.Load()), node))
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list.insert(0, ast.copy_location(ast.Name(DECORATOR, ast.Load()), node))
        return self.generic_visit(node)
