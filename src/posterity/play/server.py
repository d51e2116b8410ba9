"""The playground's server: loopback only, its own page only, small requests only."""

import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from posterity.play.answers import Answers
from posterity.play.modes import HIGHEST, LOWEST, MODES, Points
from posterity.play.tables import MAX_POINTS, points_of_table
from posterity.runtime.errors import InputError, lookup
from posterity.runtime.plain import without_nan

__all__ = ["HOST", "listen", "make_app", "serve"]

HOST = "127.0.0.1"
MAX_BYTES = 2_000_000
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FILES = {
    "/": ("page.html", "text/html"),
    "/play.js": ("play.js", "text/javascript"),
    "/plot.js": ("plot.js", "text/javascript"),
    "/play.css": ("play.css", "text/css"),
}

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Name = Annotated[str, Field(max_length=200)]


class Place(BaseModel):
    """One point."""

    x: Finite
    y: Finite
    kind: Annotated[int, Field(ge=0, le=100)] = 0


class Question(BaseModel):
    """What a posterior is asked of."""

    mode: Name
    points: Annotated[list[Place], Field(max_length=MAX_POINTS)]
    sliders: Annotated[dict[str, Finite], Field(max_length=8)] = {}
    refine: bool = False

    def arrays(self) -> Points:
        """The points as arrays."""
        return Points(
            np.array([point.x for point in self.points]),
            np.array([point.y for point in self.points]),
            np.array([point.kind for point in self.points], int),
        )


class Table(BaseModel):
    """A CSV of the user's own."""

    mode: Name
    name: Name
    text: Annotated[str, Field(max_length=MAX_BYTES)]
    chosen: Annotated[dict[str, Name], Field(max_length=4)] = {}


def make_app(port: int, *, seed: int = 0) -> FastAPI:
    """The application.

    Args:
        port: Where it will listen: requests that were sent to other names, or by pages of others, are refused.
        seed: Decides all draws.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    answers = Answers(seed)
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = await _refusal(request, hosts)
        response = await go_on(request) if refusal is None else refusal
        response.headers.update(SECURITY)
        return response

    @app.exception_handler(InputError)
    def refuse(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def refuse_shape(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"request, {where}: {first['msg']}"}, 422)

    def file(name: str, kind: str) -> Callable[[], Response]:
        return lambda: Response(_text(name), media_type=f"{kind}; charset=utf-8")

    for path, (name, kind) in FILES.items():
        app.get(path)(file(name, kind))

    @app.get("/modes")
    def modes() -> dict[str, Any]:
        """What there is to play with."""
        return {"low": LOWEST, "high": HIGHEST, "most": MAX_POINTS, "modes": {key: _told(key) for key in MODES}}

    @app.post("/posterior")
    def posterior(question: Question) -> Response:
        """The posterior of some points."""
        found = answers.posterior(question.mode, question.arrays(), question.sliders, refine=question.refine)
        return JSONResponse(without_nan(found))

    @app.post("/nuts")
    def nuts(question: Question) -> Response:
        """The same by NUTS."""
        return JSONResponse(without_nan(answers.nuts(question.mode, question.arrays(), question.sliders)))

    @app.post("/table")
    def table(given: Table) -> dict[str, Any]:
        """Points from a CSV."""
        return points_of_table(lookup("mode", given.mode, MODES), given.text, given.name, given.chosen)

    return app


def listen(port: int) -> socket.socket:
    """A socket of this machine's own; other machines cannot reach it.

    Args:
        port: 0 for any that is free.

    Raises:
        InputError: The port is in use or not allowed.
    """
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise InputError(f"--port {port}: {error}. Choose another, or 0 for any that is free.") from None


def serve(listening: socket.socket, *, seed: int = 0) -> None:
    """Serves the playground until it is interrupted: by KeyboardInterrupt, as any other work.

    Args:
        listening: From `listen`.
        seed: Decides all draws.
    """
    app = make_app(listening.getsockname()[1], seed=seed)
    settings = uvicorn.Config(app, log_level="warning", ws="none", lifespan="off", timeout_graceful_shutdown=1)
    uvicorn.Server(settings).run(sockets=[listening])


async def _refusal(request: Request, hosts: set[str]) -> Response | None:
    """Why a request is not answered; None if it is.

    A page of another site could name this server by a host name of its own (DNS rebinding) or post to it blindly: the
    first shows in `Host`, the second in `Origin`, which browsers always send with a post.
    """
    if request.headers.get("host") not in hosts:
        return JSONResponse({"error": "this host name is not served here"}, 421)
    origin = request.headers.get("origin")
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return JSONResponse({"error": "only the playground's own page may ask"}, 403)
    if request.method == "GET":
        return None
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return JSONResponse({"error": "expected JSON"}, 415)
    length = request.headers.get("content-length", "")
    if not length.isdecimal():  # a body without a length could be endless; the HTTP parser holds it to one given
        return JSONResponse({"error": "expected a Content-Length"}, 411)
    if int(length) > MAX_BYTES:
        return JSONResponse({"error": f"{int(length):,} bytes are more than the {MAX_BYTES:,} allowed"}, 413)
    return None


def _told(key: str) -> dict[str, Any]:
    mode = MODES[key]
    at = zip(mode.start.x, mode.start.y, mode.start.kind, strict=True)
    return {
        "title": mode.title,
        "hint": mode.hint,
        "sliders": [vars(slider) for slider in mode.sliders],
        "columns": mode.columns,
        "kinds": mode.kinds,
        "x_label": mode.x_label,
        "y_label": mode.y_label,
        "points": [{"x": float(x), "y": float(y), "kind": int(kind)} for x, y, kind in at],
    }


def _text(name: str) -> str:
    text = (resources.files("posterity.play") / name).read_text(encoding="utf-8")
    if name != "play.css":
        return text
    return (resources.files("posterity.report") / "style.css").read_text(encoding="utf-8") + text
