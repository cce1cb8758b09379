# The public names of `look`, once: `__init__.py` imports each on first use (SPEC 1), type checkers read this.
from .lost_and_gained import write_lost_and_gained as write_lost_and_gained
from .report import Report as Report
from .report import write_report as write_report
from .spectrogram import spectrogram_png as spectrogram_png
