"""What ranks units for a concept, one way a file. `selection` is the door."""
