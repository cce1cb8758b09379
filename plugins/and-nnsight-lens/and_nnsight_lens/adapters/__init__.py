"""Architecture adapters, one file a family. TransformerLens imports them on its first boot, so they are light."""
