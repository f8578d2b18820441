"""The parts of the agent on the nodes of a Kubernetes cluster; see `powertrain.integrations.kubernetes`."""
