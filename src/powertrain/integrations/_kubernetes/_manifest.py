"""The manifest of the agents: a DaemonSet, and the rights that it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources

__all__ = ["manifest"]

UNPRIVILEGED = """\
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {user}
runAsGroup: {user}
capabilities:
  drop: ["ALL"]
seccompProfile:
  type: RuntimeDefault"""
PRIVILEGED = """\
privileged: true
readOnlyRootFilesystem: true
runAsUser: 0"""
SOCKETS = {"helper": "/run/powertrain", "zeusd": "/run/zeusd"}
"""Folders of the host with the sockets of those who set a board for users who may not."""


def manifest(
    image: str, *, arguments: Sequence[str] = (), namespace: str = "powertrain", user: int | None = None
) -> str:
    """Return the manifest, as YAML for `kubectl apply`.

    Args:
        image: The image with PowerTrain, as a registry has it.
        arguments: Of `powertrain kubernetes`, on every node.
        namespace: Where it runs.
        user: The number of the user who runs it without any rights, and whom powertrain-helper or zeusd of
            the nodes admits; None for a privileged container, which sets the board itself.

    Raises:
        ValueError: The image or the namespace is no such name.
    """
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,511}", image):
        raise ValueError(f"{image!r} is no image: give one as in registry.example/powertrain:0.4")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise ValueError(f"{namespace!r} is no namespace: give small letters, digits and hyphens")
    if user is None:
        security, folders = PRIVILEGED, {"state": "/var/lib/powertrain-kubernetes"}
        mounts, state = "", _host("state", folders["state"], kind="DirectoryOrCreate")
        volumes = state
    else:
        security = UNPRIVILEGED.format(user=user)
        mounts = "\n".join(f"- name: {name}\n  mountPath: {path}" for name, path in SOCKETS.items())
        # A folder that is not there is made, empty: then nobody sets the board, and the agent says so.
        hosts = [_host(name, path, kind="DirectoryOrCreate") for name, path in SOCKETS.items()]
        volumes = "\n".join(["- name: state\n  emptyDir: {}", *hosts])
    values = {
        "image": json.dumps(image),
        "namespace": json.dumps(namespace),
        "args": json.dumps(list(arguments)),
        "security": _indented(security, 12),
        "mounts": _indented(mounts, 12),
        "volumes": _indented(volumes, 8),
    }
    file = resources.files("powertrain.integrations._kubernetes") / "manifest.yaml"
    text = file.read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"


def _host(name: str, path: str, *, kind: str) -> str:
    return f"- name: {name}\n  hostPath:\n    path: {path}\n    type: {kind}"


def _indented(text: str, blanks: int) -> str:
    return "\n".join(" " * blanks + line for line in text.splitlines())
