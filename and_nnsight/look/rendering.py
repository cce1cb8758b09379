"""Templates to HTML: everything from data is escaped, and no script or style runs but those of this package."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from ..explain.labels.concept_lists import concept_text
from ..redaction import without_control_characters, without_credentials
from .exemplar_view import ExemplarView
from .spectrogram import data_address
from .wording import percent, signed

_PACKAGE = __name__.rpartition(".")[0]


def render(template: str, **values: Any) -> str:
    """A template of this package, filled in."""
    return _environment().get_template(template).render(**values)


def static_text(*names: str) -> str:
    """Files of the package's folder `static`, one after another."""
    folder = files(_PACKAGE) / "static"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def content_policy(script: str, style: str) -> str:
    """The Content-Security-Policy of a page that runs this script and this style, and asks nothing of any network."""
    return (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def shown(text: object, most: int) -> str:
    """Text from data as it may be shown: on one line, no longer than that, without passwords and turns of direction."""
    words = without_credentials(" ".join(without_control_characters(str(text)[: 4 * most]).split()))
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def moment(exemplar: ExemplarView) -> str:
    """When an exemplar's frame begins, in seconds of its clip."""
    return "" if exemplar.start is None else f"at {exemplar.start:.2f} s"


def as_markup(text: str) -> Any:
    """Text of this package's own, which a template does not escape."""
    from markupsafe import Markup

    return Markup(text)


def _score(score: float) -> str:
    return signed(score, 2)


def _base64(content: bytes) -> Any:
    return as_markup(base64.b64encode(content).decode("ascii"))


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "percent": percent,
        "moment": moment,
        "concept": concept_text,
        "score": _score,
        "base64": _base64,
        "image": data_address,
    }
    return environment
