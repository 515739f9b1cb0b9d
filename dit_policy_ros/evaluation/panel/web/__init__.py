# SPDX-License-Identifier: Apache-2.0
"""The panel's web server and its page. NiceGUI is imported by ``serve`` alone, when it is called."""

from dit_policy_ros.evaluation.panel.web._gate import Gate, Keys
from dit_policy_ros.evaluation.panel.web._server import LOCAL, serve

__all__ = ["LOCAL", "Gate", "Keys", "serve"]
