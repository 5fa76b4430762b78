"""The files of the page, and what a browser may load for it."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",  # the address has the token in it
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every answer: nothing is loaded from elsewhere, and no text of a model can become code."""

SERVED, EXPORTED = 'data-source="served"', 'data-source="exported"'
"""How index.html says where its data come from."""
