"""Names of a package that are imported with their first use."""

import importlib
from collections.abc import Callable, Collection, Mapping


def lazy_names(
    package: str, homes: Mapping[str, Collection[str]], *defined: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose public names live in these modules.

    `defined` are the names that the package defines itself.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home_of[name]), name)

    public = sorted([*home_of, *defined])
    return get, lambda: public, public
