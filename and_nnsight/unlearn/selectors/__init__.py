"""What ranks units for a concept, one way a file. `unlearn.selection` is the door."""
