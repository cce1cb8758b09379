"""Models that describe, answer, compare and listen, and how they are asked."""
