"""How a remote run goes: where to, how much at once, and how patient."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from nnsight.schema.config import CONFIG

from ..redaction import without_credentials
from .payloads import Audio

LOCAL = "local"
_LEAST = {
    "clips_per_job": 1,
    "bytes_per_job": 1,
    "in_flight": 1,
    "most_bytes_home": 1,
    "most_dictionary_bytes": 1,
    "retries": 0,
}
_CHOICES = {"gather": ("trace", "cache", None), "audio": ("exact", "int16", "features")}


class RemoteRunError(RuntimeError):
    """A remote run that cannot go on; the message says why and what to do. What came home is kept."""

    def __init__(self, message: object = "") -> None:
        super().__init__(without_credentials(str(message)))


@dataclass(frozen=True)
class Remote:
    """Settings of a remote run: `dissect(..., remote=Remote("https://…", clips_per_job=64))`.

    Raises ValueError for a setting that makes no sense.

    url             the server; None: nnsight's configured host (NDIF_HOST); "local": nnsight's dry run, in this process
    api_key         None: NDIF_API_KEY, else what nnsight is configured with
    clips_per_job   at most this many clips a job, or one batch; it is also full at about `bytes_per_job` (before
                    compression)
    in_flight       jobs that are at the server at once, while further ones are made ready
    deadline        seconds after which a job that has not ended is taken for lost and sent again; time in which the
                    server does not answer counts
    retries         how often one job is sent again
    patience        seconds without any answer from the server after which the run gives up
    gather          "trace": reduce while the model runs; "cache": let nnsight keep the sites and reduce after each
                    batch, which is faster in a sandbox. None: "trace" if the server trusts the key, else "cache"
    audio           "exact": whatever form is smallest and loses nothing; "int16": round samples to 16 bits;
                    "features": make the model's inputs here
    most_bytes_home a job's answer that is larger is refused
    most_dictionary_bytes  encoders of dictionaries that are larger together are refused: they go up with every job, so
                    a larger `clips_per_job` sends them less often
    """

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    clips_per_job: int = 128
    bytes_per_job: int = 32_000_000
    in_flight: int = 2
    deadline: float = 1_800.0
    retries: int = 4
    patience: float = 300.0
    gather: Literal["trace", "cache"] | None = None
    audio: Audio = "exact"
    most_bytes_home: int = 2_000_000_000
    most_dictionary_bytes: int = 128_000_000

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
        for name in ("deadline", "patience"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not value >= 0:
                raise ValueError(f"{name} must be a number of seconds, not {value!r}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it may be {', '.join(map(repr, known))}")
        if self.url not in (None, LOCAL) and not _is_address(self.url):
            url = without_credentials(str(self.url))
            raise ValueError(f"{url!r} is no server: give http://… or https://…, 'local', or True for nnsight's host")

    def __repr__(self) -> str:
        settings = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
        return without_credentials(f"Remote({', '.join(settings)})")

    @property
    def shown(self) -> str:
        """The server's base URL as it may be shown: without a password or a key."""
        return without_credentials(self.host)

    @property
    def host(self) -> str:
        """The server's base URL, without a slash at its end."""
        return (self.url or CONFIG.API.HOST).rstrip("/")

    @property
    def key(self) -> str:
        """The API key; "" if there is none."""
        return self.api_key or os.environ.get("NDIF_API_KEY") or CONFIG.API.APIKEY or ""


def _is_address(url: object) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False


def as_settings(remote: bool | str | Remote) -> Remote:
    """Settings out of what `dissect`'s `remote` may be. Raises ValueError for anything else."""
    if isinstance(remote, Remote):
        return remote
    if isinstance(remote, str) and remote:
        return Remote(url=remote)
    if remote is True:
        return Remote()
    raise ValueError(f"remote is {without_credentials(repr(remote))}: give True, a server's URL, 'local', or a Remote")


def at(settings: Remote, **changes: Any) -> Remote:
    """The settings with some changed; None leaves one as it is."""
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})
