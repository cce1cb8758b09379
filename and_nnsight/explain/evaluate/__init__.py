"""Whether what is said of a unit is true of clips that it was not found on."""
