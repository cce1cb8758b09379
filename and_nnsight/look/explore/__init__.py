"""A page on this machine: browse a dissection, search it by words and by sound, sing into it, silence units."""
