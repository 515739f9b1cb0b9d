# SPDX-License-Identifier: Apache-2.0
"""The panel's web server."""

import logging
import os
import tempfile

from dit_policy_ros.evaluation.panel._panel import Panel
from dit_policy_ros.evaluation.panel.web._gate import Gate, Keys

LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(panel: Panel, host: str, port: int, keys: Keys) -> None:
    """Serve the page until SIGINT or SIGTERM. Raises SystemExit if the address cannot be used."""
    # Nothing of the page is stored. NiceGUI makes the folder's name at import, so it must not be ours.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", os.path.join(tempfile.gettempdir(), "dit_policy_panel"))
    import uvicorn
    from fastapi import FastAPI
    from nicegui import ui

    from dit_policy_ros.evaluation.panel.web._page import build_page
    from dit_policy_ros.evaluation.panel.web._routes import add_routes

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(app, panel)
    ui.run_with(
        app, root=lambda: build_page(panel), title="dit_policy panel", dark=True, show_welcome_message=False
    )
    logging.getLogger("uvicorn.access").disabled = True
    uvicorn.Server(
        uvicorn.Config(Gate(app, keys), host=host, port=port, log_level="warning", ws_max_size=65536)
    ).run()
