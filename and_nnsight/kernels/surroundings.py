"""What somebody has set for torch as a whole, and what the values here do not depend on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_WITH_AUTOCAST = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def plain_torch(*, tells: bool = False) -> Iterator[None]:
    """While open, torch as it is when nothing was set: new tensors are float32 and on the CPU, and nothing is autocast.

    A model computes in the dtype of its weights, sums and cosines in the one that is written, and what is kept of a
    forward can be trained on, whoever calls within `torch.autocast`, `torch.inference_mode`, `torch.set_default_dtype`
    or `torch.set_default_device`. All of it is again as it was afterwards. Also a decorator.

    tells  warn that an autocast which is on does not count
    """
    autocast = [device for device in _WITH_AUTOCAST if torch.is_autocast_enabled(device)]
    if autocast and tells:
        names = ", ".join(str(torch.get_autocast_dtype(device)).removeprefix("torch.") for device in autocast)
        warnings.warn(
            f"torch.autocast ({names}) is on and does not count here: the model runs in the dtype of its weights; "
            "convert it (dtype=) for another",
            stacklevel=4,
        )
    default = torch.get_default_dtype()
    with ExitStack() as stack:
        for device in autocast:
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if default is not torch.float32:
            stack.callback(torch.set_default_dtype, default)
            torch.set_default_dtype(torch.float32)
        yield
