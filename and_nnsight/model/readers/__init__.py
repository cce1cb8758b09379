"""Parts of models that read: language models behind an ear, and decoders. Which of their positions count, and when."""
