"""The real PyTorch models of the workloads, written here; each trains on random minibatches of real shape."""
