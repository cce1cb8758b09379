"""Models that hear: opening a checkpoint or a module, tracing it with nnsight, the interface that a run asks."""
