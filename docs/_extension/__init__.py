"""What Sphinx is told beside the pages; none of it imports Sphinx, so that tests can hold it without."""
