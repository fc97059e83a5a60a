"""How the site is built: ``sphinx-build -W --keep-going -n docs docs/_build/html``. It needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "noisewise"
author = "The noisewise developers"
copyright = author

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_line",
    "data_sets",
    "narrated_examples",
    "public_names",
]
exclude_patterns = ["_build", "_generated"]
default_role = "py:obj"
smartquotes = False  # options begin with two hyphens

html_theme = "furo"
html_title = "noisewise"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "imported-members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
