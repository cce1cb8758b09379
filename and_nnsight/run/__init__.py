"""A run over a dataset: the loop, what it keeps between batches, and the folder that it fills."""
