"""Chat models: plugins that answer conversations."""
