"""Formulas become MathML when the site is built, so that they need no JavaScript and no font from elsewhere."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What `pymdownx.arithmatex` makes of $...$ and $$...$$.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(html_text: str, **_: Any) -> str:
    """The HTML of a page with its formulas as MathML."""
    html_text = _BLOCK.sub(lambda match: _formula(match[1], "block"), html_text)
    return _INLINE.sub(lambda match: _formula(match[1], "inline"), html_text)


def _formula(text: str, display: str) -> str:
    tag = "div" if display == "block" else "span"
    # A formula that is wider than the page scrolls: whoever has no mouse reaches it by the Tab key.
    reach = ' tabindex="0"' if display == "block" else ""
    text = html.unescape(text).strip().replace(r"\arg", r"\mathrm{arg}\,")  # which the converter does not know
    return f'<{tag} class="formula"{reach}>{convert(text, display=display)}</{tag}>'
