"""Training for real: minibatches from a true input pipeline, through a real model, on the device.

Only what is imported from here when a training starts needs PyTorch; `powertrain.workloads.open_job` does
that.
"""
