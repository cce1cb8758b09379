"""Neuronpedia's formats: batches that its client uploads, and the files that its importer reads."""

from .checks import check_upload
from .exporting import NeuronpediaExport, export_neuronpedia

__all__ = ["NeuronpediaExport", "check_upload", "export_neuronpedia"]
