"""Sparse autoencoders on a site's activations: their latents as units, encoded in parts, in bounded memory."""
