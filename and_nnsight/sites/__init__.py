"""Named tensors of a model: which modules are sites, what they are called, and which seconds a frame covers."""
