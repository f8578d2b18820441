"""Kubernetes: an agent on each node that labels it and keeps the watt budget of its annotation.

```py
from powertrain.fleet import known_modes
from powertrain.integrations.kubernetes import Agent, ApiServer

board = pt.open_device("jetson")
server = ApiServer.of_pod("node-7")
known = known_modes(board, predictors=[Path("resnet.ptm")])
Agent(server, board, known, name="agent-7").run(threading.Event())
```

It needs no package: three requests to the API server are Python's own HTTP. `powertrain kubernetes` runs it.
"""

from __future__ import annotations

from powertrain.integrations._kubernetes._agent import DOMAIN, Agent, Pace
from powertrain.integrations._kubernetes._manifest import manifest
from powertrain.integrations._kubernetes._server import ApiServer, ServerError

__all__ = ["DOMAIN", "Agent", "ApiServer", "Pace", "ServerError", "manifest"]
