"""Dissections on the hub: a dataset repository whose folder `dissection/` is a dissection's own folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DissectionError

FOLDER = "dissection"
"""Where in a repository the dissection's own folder is."""

# A Path has one slash where the address has two.
_ADDRESS = re.compile(
    r"(?:hf:/{1,2})?(?:datasets/)?(?P<name>(?!(?:datasets|models|spaces)/)[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./%-]+))?/?"
)


@dataclass(frozen=True)
class HubAddress:
    """A dataset repository, OWNER/NAME, and a branch, a tag or a commit of it; None: its main branch."""

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, text: str | Path) -> HubAddress:
        """What `hf://datasets/OWNER/NAME@REVISION` or `OWNER/NAME` says. Raises DissectionError for anything else."""
        found = _ADDRESS.fullmatch(str(text))
        if found is None:
            raise DissectionError(
                f"{str(text)!r} is no address of a dissection on the hub: give OWNER/NAME, or "
                "hf://datasets/OWNER/NAME@REVISION"
            )
        revision = found["revision"]
        return cls(found["name"], revision.replace("%2F", "/") if revision else None)

    def __str__(self) -> str:
        return f"hf://datasets/{self.name}" + (f"@{self.revision}" if self.revision else "")


def is_hub_address(folder: str | Path) -> bool:
    """Whether what should be a folder is an address on the hub."""
    return str(folder).startswith("hf:/")


def fetched(address: HubAddress, token: str | bool | None = None, place: Path | None = None) -> Path:
    """The folder of a dissection on the hub; what is there already is not fetched again.

    place  a folder to put it in; None: the hub's own cache, whose files are for reading

    Raises DissectionError, which says what to do, where it cannot be had.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(address):
        root = snapshot_download(
            address.name,
            repo_type="dataset",
            revision=address.revision,
            allow_patterns=f"{FOLDER}/*",
            local_dir=place,
            token=token,
        )
    folder = Path(root) / FOLDER
    if not folder.is_dir():
        raise DissectionError(
            f"{address} holds no dissection: it has no folder {FOLDER}/. What `and-nnsight push` puts there has one"
        )
    return folder


def commit_of(address: HubAddress, token: str | bool | None = None) -> HubAddress:
    """The commit that a repository, or a branch or tag of it, is at. Raises DissectionError as `fetched` does."""
    from huggingface_hub import HfApi

    with hub_errors(address):
        return HubAddress(address.name, HfApi(token=token).dataset_info(address.name, revision=address.revision).sha)


@contextmanager
def hub_errors(address: HubAddress, on_failure: str = "run the same again, it goes on from there") -> Iterator[None]:
    """Raise DissectionError, a sentence that says what to do, for what the hub or the way to it refuses."""
    from huggingface_hub import errors

    # Of httpx or httpx2, whichever the hub's client goes by.
    of_the_way: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except (of_the_way, errors.OfflineModeIsEnabled, errors.LocalTokenNotFoundError, errors.HFValidationError) as error:
        raise DissectionError(f"{address}: {_sentence(error, on_failure)}") from error
    except errors.LocalEntryNotFoundError as error:
        raise DissectionError(f"{address}: {_not_reached(error)}") from error
    except OSError as error:
        if error.errno is None:  # of the hub's client; those of the disk name their file
            raise DissectionError(f"{address}: {_first_line(error)}; {on_failure}") from error
        raise
    except RuntimeError as error:  # of an upload, whose own error is behind it
        cause = error.__cause__ or error
        reason = (
            _sentence(cause, on_failure) if isinstance(cause, of_the_way) else f"{_first_line(cause)}; {on_failure}"
        )
        raise DissectionError(f"{address}: {_first_line(error)}: {reason}") from error
    except ValueError as error:  # what its card says, for example
        if isinstance(error, DissectionError):
            raise
        raise DissectionError(f"{address}: the hub does not take it: {' '.join(str(error).split())[:500]}") from error


_LOG_IN = "log in (`hf auth login`, or the variable HF_TOKEN)"


def _sentence(error: Any, on_failure: str) -> str:
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    code = getattr(response, "status_code", None)
    known = (
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE forbids to reach the hub: unset it"),
        (errors.LocalTokenNotFoundError, f"there is no token: {_LOG_IN}"),
        (errors.HFValidationError, f"the hub allows no such name ({_first_line(error)}): give OWNER/NAME"),
        (errors.GatedRepoError, f"its owner lets in whom they know: ask for access on its page, then {_LOG_IN}"),
        (
            errors.RepositoryNotFoundError,
            f"there is no such dataset repository, or it is private: check the name, or {_LOG_IN}",
        ),
        (errors.RevisionNotFoundError, "it has no such branch, tag or commit: check the revision"),
    )
    for kind, sentence in known:
        if isinstance(error, kind):
            return sentence
    if code == 401:
        return f"the hub does not know who asks: {_LOG_IN}"
    if code == 403:
        return f"the token may not do this: take one with the right to write there ({_first_line(error)})"
    if code is None:
        return _not_reached(error)
    return f"the hub answered {code} ({_first_line(error)}); {on_failure}"


def _not_reached(error: BaseException) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "it was not fetched before, and HF_HUB_OFFLINE forbids to reach the hub: unset it"
    return f"the hub cannot be reached ({_first_line(error)}): check the network, then run the same again"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    server = getattr(error, "server_message", None)
    return str(server or (lines[0] if lines else type(error).__name__)).rstrip(".")[:300]
