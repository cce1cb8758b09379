"""Captioners that come with the package; others are installed (see `and_nnsight.plugins`)."""
