"""Templates of pages, which escape everything that comes from files."""

from functools import cache

import jinja2


@cache
def template(name: str) -> jinja2.Template:
    """Return a template of this package, such as "page.html"."""
    loader = jinja2.PackageLoader("agents.compare.page")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(name)
