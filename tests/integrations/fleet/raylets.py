"""A real cluster of Ray on this machine: a head, and a raylet for each board."""

from __future__ import annotations

import os
import signal

from ray._private import ray_constants
from ray.cluster_utils import Cluster

MODEL = "jetson-orin-nano-8gb-simulated"
FEW_BYTES = 80 * 2**20
# The servers of Ray listen on loopback only, as they do on other systems than Linux.
os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR], ray_constants.ENABLE_RAY_CLUSTER = "0", False
# A head that notices within seconds that a raylet is gone; Ray's own settings take half a minute.
NOTICE = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 2,
}


class Raylets:
    """The raylets of a test, each started and ended by it, on loopback."""

    def __init__(self, *, num_cpus=2):
        before = signal.getsignal(signal.SIGTERM)
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": num_cpus,
                "include_dashboard": False,
                "object_store_memory": FEW_BYTES,
                "_system_config": NOTICE,
            },
        )
        # Ray takes the signal, and the tests are not to leave handlers behind.
        signal.signal(signal.SIGTERM, before)
        self.nodes = {}

    @property
    def address(self):
        return self.cluster.address

    def board(self, name, spec, *, model=MODEL):
        """Add a board; `ready` waits for all of them."""
        before = signal.getsignal(signal.SIGTERM)
        self.nodes[name] = self.cluster.add_node(
            wait=False,
            num_cpus=0,
            resources={f"powertrain_board:{model}": 1},
            env_vars={"POWERTRAIN_BOARD": spec},
            node_name=name,
            include_dashboard=False,
            object_store_memory=FEW_BYTES,
        )
        signal.signal(signal.SIGTERM, before)

    def ready(self):
        self.cluster.wait_for_nodes(timeout=90)

    def kill(self, name):
        """Kill the raylet of a board, by its own process id, as a power cut would."""
        os.kill(self.nodes[name].all_processes["raylet"][0].process.pid, signal.SIGKILL)

    def end(self):
        self.cluster.shutdown()
