"""Training: synthetic rain, data resident on a device, the paper's loss, and the program that uses them."""
