"""What is raised of annotations."""

from __future__ import annotations


class AnnotationError(ValueError):
    """Annotations that cannot be read, contradict themselves, or are not of the clips that they are asked for."""
