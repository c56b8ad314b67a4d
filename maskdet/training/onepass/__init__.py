"""Training of the network that finds faces and reads the mask in one pass."""
