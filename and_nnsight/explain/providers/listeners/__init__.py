"""Our own listeners: what hears clips and says how well they fit a statement."""
