# SPDX-License-Identifier: Apache-2.0
"""The panel: a page in a browser for the person beside the robot. Its web server is a ROS node of its own.

It uses public topics and services only. ``_client`` is the side of ROS, ``_operator`` what may be said and by
whom; both need no browser. The sub-package ``web`` is the server and the page.
"""

from dit_policy_ros.evaluation.panel._panel import Panel, PanelSettings

__all__ = ["Panel", "PanelSettings"]
