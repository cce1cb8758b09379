"""The files of a dictionary: tensors that stay on the disk until they are used, and settings. Nothing there is run."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import DictionaryError

SAFE_TENSORS = ".safetensors"


class Weights:
    """The tensors of a file by their names, memory-mapped: a decoder that nobody asks for takes no memory.

    more  what the file holds beside tensors; a safetensors file nothing
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], more: Mapping[str, Any]) -> None:
        self.path, self.tensors, self.more = path, tensors, more

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def tensor(self, name: str) -> Tensor:
        """A tensor as the file has it. Raises DictionaryError, naming it, if there is none."""
        if name not in self.tensors:
            there = ", ".join(sorted(self.tensors)[:8]) or "nothing"
            raise DictionaryError(f"{self.path} has no {name!r}, which such a dictionary has; it has {there}")
        return self.tensors[name]

    def floats(self, name: str, *shape: int) -> Tensor:
        """A tensor of this shape in float32. Raises DictionaryError, naming it, for another shape, or none."""
        tensor = self.tensor(name)
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise DictionaryError(
                f"{name!r} in {self.path} is {_of(tensor)}, and it should be numbers of shape {list(shape)}"
            )
        return tensor.float()

    def matrix(self, name: str) -> Tensor:
        """A matrix as the file has it. Raises DictionaryError, naming it, for anything else."""
        tensor = self.tensor(name)
        if tensor.ndim != 2 or not tensor.is_floating_point():
            raise DictionaryError(f"{name!r} in {self.path} is {_of(tensor)}, and it should be a matrix of numbers")
        return tensor


def _of(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {list(tensor.shape)}"


def read_weights(path: Path) -> Weights:
    """A safetensors file, or what `torch.save` wrote of tensors and plain values. Raises DictionaryError for others."""
    if path.suffix == SAFE_TENSORS:
        with _readable(path), safe_open(path, framework="pt") as file:
            return Weights(path, {name: file.get_tensor(name) for name in file.keys()}, {})  # noqa: SIM118
    content = _saved_by_torch(path)
    if not isinstance(content, Mapping):
        raise DictionaryError(
            f"{path} holds a {type(content).__name__}: a dictionary's file is a state dict of tensors"
        )
    state = content["model"] if isinstance(content.get("model"), Mapping) else content
    return Weights(
        path,
        {str(name): value for name, value in state.items() if isinstance(value, Tensor)},
        {str(name): value for name, value in content.items() if not isinstance(value, Tensor)},
    )


def _saved_by_torch(path: Path) -> Any:
    """What `torch.save` wrote, as long as it is tensors and plain values: a pickle may run whatever it likes."""
    with _readable(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of protocols that it may refuse: what it refuses is said below
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
        except pickle.UnpicklingError as error:
            raise DictionaryError(
                f"{path} holds pickled objects beside its tensors (or is no file of torch's), and reading those could "
                "run any code: open it with the library that wrote it, if you trust where it came from, and save its "
                "state_dict() with safetensors.torch.save_file"
            ) from error


def _is_zip(path: Path) -> bool:
    """Whether torch can map a file to memory: the form that it has written since version 1.6."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except DictionaryError:
        raise
    except FileNotFoundError as error:
        raise DictionaryError(f"there is no file {path}: the dictionary is not whole; download it again") from error
    except PermissionError as error:
        raise DictionaryError(f"{path} may not be read: change its permissions") from error
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DictionaryError(f"{path} cannot be read ({reason}): it is damaged, or of another kind") from error


def read_settings(path: Path) -> Mapping[str, Any]:
    """A JSON file of settings. Raises DictionaryError for anything else."""
    with _readable(path):
        settings = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(settings, Mapping):
        raise DictionaryError(f"{path} holds no settings: it is a JSON {type(settings).__name__}, not an object")
    return settings


def content_hash(*paths: Path) -> str:
    """A hash of what files hold."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()
