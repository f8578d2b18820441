"""Callbacks and loggers for what people train with: one module for each optional package.

Each module is imported by its own name, such as `powertrain.integrations.lightning`, and needs the extra of
the same name.
"""
