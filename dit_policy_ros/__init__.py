# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 package around the Multitask Diffusion Transformer policy for two-armed robots."""

import pkgutil

# The generated msg and srv modules live in the build's install tree; extending the path lets a source
# checkout that comes first on sys.path still find them there.
__path__ = pkgutil.extend_path(__path__, __name__)
