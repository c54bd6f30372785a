"""How fast the network and the pipeline are on this machine, how exact, and how far from what the device could do."""
