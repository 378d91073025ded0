"""Serves the live page: three files of `streaming.web`, nothing from elsewhere.

The page reads `/v1/status` and `/v1/events`; its policy forbids every other source, inline code and framing.
"""

from importlib.resources import files

from aiohttp import web

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def page_response(request: web.Request) -> web.Response:
    """Return the page, its script or its style."""
    name = request.match_info.get("name", "page.html")
    content = files("streaming.web").joinpath(name).read_bytes()
    headers = {
        "Content-Security-Policy": _POLICY,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(body=content, content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8", headers=headers)
