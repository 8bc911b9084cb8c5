"""jaxtyping's import hook, made cheaper: its checks took two fifths of the time of the tests.

The hook compiles every module of ours anew, with `jaxtyping.jaxtyped` around each function, and beartype in it.
"""

import functools
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ForwardRef, get_args

import jaxtyping
from beartype import beartype
from jaxtyping import _import_hook

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("qrl", "envs", "agents")

with_axes = jaxtyping.jaxtyped
cache_of_hooked = _import_hook._optimized_cache_from_source


def install() -> None:
    """Check our modules as they are imported; to be called before."""
    jaxtyping.jaxtyped = checked
    _import_hook._optimized_cache_from_source = cache
    jaxtyping.install_import_hook(OURS, "beartype.beartype")


def checked(fn: Any = None, **how: Any) -> Any:
    """In place of `jaxtyping.jaxtyped`: the same checks, once a call, and axes only where some are named.

    That itself checks arguments twice and binds them by their names, for messages that say more. It is left to do so
    for classes, whose fields it checks if they are dataclasses, and for types given as strings, which may not be there.
    """
    if fn is None:
        return functools.partial(checked, **how)
    types = [part for annotation in getattr(fn, "__annotations__", {}).values() for part in parts(annotation)]
    if not inspect.isfunction(fn) or any(isinstance(each, str | ForwardRef) for each in types):
        return with_axes(fn, **how)
    strict: Callable[..., Any] = beartype(fn)
    if any(inspect.isclass(each) and issubclass(each, jaxtyping.AbstractArray) for each in types):
        strict = with_axes(strict, typechecker=None)

    @functools.wraps(fn)
    def call(*arguments: Any, **keywords: Any) -> Any:
        return (fn if jaxtyping.config.jaxtyping_disable else strict)(*arguments, **keywords)

    return call


def parts(annotation: Any) -> Iterator[Any]:
    """A type and the types in it."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def cache(typechecker: str, /, path: str, debug_override: bool | None = None) -> str:
    """Where the byte code of a module is kept that is imported while one of ours is.

    The hook looks for that of all of them where its own is kept: it compiled PennyLane, SciPy and SymPy anew.
    """
    if any(Path(path).is_relative_to(ROOT / name) for name in OURS):
        return cache_of_hooked(typechecker, path, debug_override)
    return importlib.util.cache_from_source(path, debug_override)
