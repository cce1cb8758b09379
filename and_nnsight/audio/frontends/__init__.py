"""Feature extraction in torch, batched, on any device and with gradients, where it equals the checkpoint's own."""

from .families import front_end as front_end
from .fitted import FittedFrontEnd as FittedFrontEnd
from .interface import FrontEnd as FrontEnd
from .interface import FrontEndError as FrontEndError
from .resampling import resample as resample
