"""Listenable maps: the part of a clip that a unit needs, to hear, with how faithful it is beside it."""
