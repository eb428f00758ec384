"""The documentation as a site: `make docs`."""

import ast
import inspect
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

import pages  # noqa: E402
from pygments.lexers.special import TextLexer  # noqa: E402

import lensmill  # noqa: E402

project = "Lensmill"
copyright = "Lensmill developers, MIT licence"
version = release = lensmill.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
PARTS = ("rules.md", "settings.md", "measured")  # taken in by pages
exclude_patterns = ["_build", *(f"{pages.FOLDER}/{name}" for name in PARTS)]
myst_heading_anchors = 4
default_role = "code"  # as docstrings of numpy use it
nitpick_ignore = [("py:exc", "ValueError")]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "Lensmill"
html_static_path = ["static"]
html_css_files = ["lensmill.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "default", "monokai"


def fields(of: type) -> list[str]:
    """Return what the comments behind the fields of a named tuple say, as a list."""
    source = textwrap.dedent(inspect.getsource(of))
    lines = source.splitlines()
    said = []
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.AnnAssign):
            comment = lines[node.end_lineno - 1][node.end_col_offset :].strip().lstrip("# ")
            said.append(f"- **{node.target.id}**" + (f": {comment}" if comment else ""))
    return said


def list_fields(app, what, name, obj, options, lines):
    """Put the fields of a named tuple below its docstring."""
    if what == "class" and hasattr(obj, "_fields"):
        lines += ["", *fields(obj), ""]


def skip_fields(app, what, name, obj, skip, options):
    """Leave out the fields of a named tuple one by one: `list_fields` names them."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field") else None


def relink(app, docname, source):
    """Let links to files of the repository point at their pages."""
    if not docname.startswith(pages.FOLDER):
        source[0] = pages.relink(source[0], HERE / f"{docname}.md", HERE)


def setup(app):
    """Write the pages that are made of the code before the first is read."""
    pages.write(HERE / pages.FOLDER)
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", list_fields)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("source-read", relink)
