"""What the steps of an explanation leave in a dissection's folder, and the clips and units that they are about."""
