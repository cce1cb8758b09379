"""What ranks units for a concept, one way a file. `choosing` is the door."""
