"""HTML from Jinja2 templates, in which every value is escaped, and data URLs."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.wording import join_percent

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup


def render_html(source: str, **values: object) -> Markup:
    """Render a template; only a `Markup`, such as from this function, is not escaped.

    Args:
        source: the template.
        **values: its variables; a missing one is an error.
    """
    return _to_markup(_compile_template(source), values)


def render_html_file(name: str, **values: object) -> Markup:
    """Render a template in a file; see `render_html`.

    Args:
        name: path of the file, relative to the package.
        **values: its variables.
    """
    return _to_markup(_load_environment().get_template(name), values)


def encode_data_url(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return content as an address for the `src` of an image."""
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def _to_markup(template: Template, values: dict[str, object]) -> Markup:
    from markupsafe import Markup

    # Safe, because the template has escaped its values.
    return Markup(join_percent(template.render(values)))


@cache
def _compile_template(source: str) -> Template:
    return _load_environment().from_string(source)


@cache
def _load_environment() -> Environment:
    # Most commands write no HTML, and Jinja2 takes a while to import.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
