"""What a run leaves behind: the folder and the object that reads it, its exemplars, and which clips are the same."""
