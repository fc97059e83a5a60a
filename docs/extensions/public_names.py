"""Sphinx: links to the public name of a thing, wherever in the package it was written.

``noisewise.noise.additive.Gaussian``, as annotations have it, is documented as ``noisewise.noise.Gaussian``; docstrings
of other packages call it ``Gaussian`` alone. What prose names must be documented, or the strict build fails; an
annotation may name what is not, such as the types of other libraries, and stays text.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

__all__ = ["keep_colons", "resolve", "setup"]

_BEFORE_NAPOLEON = 400


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", keep_colons, priority=_BEFORE_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def resolve(app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.TextElement) -> nodes.Node | None:
    """A link to the documented name nearest to the one that was written; None, and so a warning, if prose has none."""
    if node.get("refdomain") != "py":
        return None
    objects = env.domains.python_domain.objects
    written: str = node["reftarget"]
    if not _is_ours(written):
        return content
    same = [name for name in objects if name.endswith(f".{_last(written)}")]
    if not same:
        return None if isinstance(content, nodes.literal) else content
    nearest = max(same, key=lambda name: (_shared(name, written), -len(name)))
    found = objects[nearest]
    return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content, nearest)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _shared(name: str, written: str) -> int:
    """How many packages and modules two names have in common, from the left."""
    pairs = zip(name.split("."), written.split("."), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _is_ours(name: str) -> bool:
    """Names of other libraries come with their module."""
    module = name.rpartition(".")[0]
    return name.startswith("noisewise.") or not module or module[0].isupper()


def keep_colons(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from reading the words before the first colon as the type of an attribute."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")
