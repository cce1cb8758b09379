"""The documentation site: `python -m sphinx -W --keep-going docs OUT`, with the extra `docs`.

The pages are those that the repository shows. Notebooks are shown without their outputs, unless
`-D nb_execution_mode=force` asks for them to be run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _extension import contents, docstrings, reference

from and_nnsight import __version__

project, author, release = "and_nnsight", "the authors of and_nnsight", __version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
# README.md lists the guides where the repository is read on the web; here it is the side bar (`contents`).
_here = Path(__file__).parent
_scripts = [path.relative_to(_here) for path in _here.rglob("*.py") if path.parent.name != "notebooks"]
exclude_patterns = ["README.md", *(path.as_posix() for path in _scripts)]
root_doc, language = "index", "en"

myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "off"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # bars of loading

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
default_role = "literal"

html_theme = "furo"
html_title = f"and_nnsight {release}"
html_show_copyright = html_show_sphinx = html_copy_source = html_show_sourcelink = False
# A summary is read from the page that was found, which a page opened from a file may not do.
html_show_search_summary = False
html_theme_options = {
    "source_repository": contents.REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}


def setup(app: Any) -> None:
    """Side bar, links and reference are made of what is there: README's table, the facade's names, the commands."""
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir) / "reference"))
    app.connect("source-read", contents.complete)
    app.connect("autodoc-process-docstring", docstrings.as_rst)
