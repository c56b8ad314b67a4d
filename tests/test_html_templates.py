from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from maskdet.html_templates import render_html


def test_values_are_escaped_and_rendered_html_is_not() -> None:
    inner = render_html("<b>{{ name }}</b>", name="<script>\"'&")
    assert inner == "<b>&lt;script&gt;&#34;&#39;&amp;</b>"
    assert render_html("<p>{{ inner }}</p>", inner=inner) == f"<p>{inner}</p>"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="name"):
        render_html("{{ name }}")
