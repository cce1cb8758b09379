"""delphi's folders (EleutherAI's automated interpretability): latents caches out, explanations out and back."""

from .explanations import ImportedExplanations, import_explanations
from .exporting import DelphiExport, export_delphi
from .tokenizer import ClipTokenizer

__all__ = ["ClipTokenizer", "DelphiExport", "ImportedExplanations", "export_delphi", "import_explanations"]
