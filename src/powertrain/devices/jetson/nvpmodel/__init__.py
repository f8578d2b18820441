"""nvpmodel, NVIDIA's own power modes: its configuration files read, and modes written in their form."""

from __future__ import annotations

from powertrain.devices.jetson.nvpmodel._conf import CONF, STATUS, asked_mode_id, present_mode, read_conf
from powertrain.devices.jetson.nvpmodel._export import ExportedMode, export_mode, free_id
from powertrain.devices.jetson.nvpmodel._parse import parse_conf
from powertrain.devices.jetson.nvpmodel._records import NvpConf, NvpMode, NvpParam, NvpSetting, rounded_clock

__all__ = [
    "CONF",
    "STATUS",
    "ExportedMode",
    "NvpConf",
    "NvpMode",
    "NvpParam",
    "NvpSetting",
    "asked_mode_id",
    "export_mode",
    "free_id",
    "parse_conf",
    "present_mode",
    "read_conf",
    "rounded_clock",
]
