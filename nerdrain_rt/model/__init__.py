"""NeRD-Rain: the network, its checkpoints and its weights."""
