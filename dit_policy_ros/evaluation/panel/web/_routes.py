# SPDX-License-Identifier: Apache-2.0
"""The panel's few plain addresses: heartbeat, stop, pictures and the joints' history."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dit_policy_ros.evaluation.panel._panel import Panel

_JPEG = {"media_type": "image/jpeg", "headers": {"Cache-Control": "no-store"}}


def add_routes(app: FastAPI, panel: Panel) -> None:
    """Add them. Everything else that changes something goes through the page's own connection."""

    @app.post("/beat")
    def beat(request: Request) -> JSONResponse:
        return JSONResponse({"in_charge": panel.operator.charge.beat(request.scope["visitor"].browser)})

    @app.post("/stop")
    def stop(request: Request) -> JSONResponse:
        panel.operator.stop(request.scope["visitor"].browser)
        return JSONResponse({"latched": panel.client.latched[0]})

    @app.get("/camera/{name}.jpg")
    def camera(name: str) -> Response:
        view = panel.client.cameras.get(name)
        return _picture(b"" if view is None else view.jpeg())

    @app.get("/scene/{name}.jpg")
    def scene(name: str) -> Response:
        view = panel.client.cameras.get(name)
        return _picture(b"" if view is None else view.scene)

    @app.get("/thumbnail/{index}.jpg")
    def thumbnail(index: int) -> Response:
        return _picture((panel.shelf.shelf.thumbnails or {}).get(index, b""))

    @app.get("/joints")
    def joints() -> JSONResponse:
        return JSONResponse({} if panel.client.joints is None else panel.client.joints.as_json())


def _picture(jpeg: bytes) -> Response:
    return Response(jpeg, **_JPEG) if jpeg else Response(status_code=204)
