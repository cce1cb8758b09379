"""Talking to an NDIF server: what it has installed, sending a job, asking after it, fetching its answer."""

from __future__ import annotations

import functools
import io
import ssl
import warnings
from typing import Any
from urllib.parse import urljoin

import httpx
import nnsight
import torch
import zstandard
from nnsight.intervention.backends.display import StatusDisplay
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError
from nnsight.schema.response import ResponseModel, Status
from pydantic import ValidationError

from ..model.audio_model import AudioModel
from ..model.remote_model import ship_by_value
from ..redaction import without_control_characters
from .on_server import run_job
from .settings import Remote, RemoteRunError

_TIMEOUT = httpx.Timeout(10.0, read=600.0)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Whom httpx trusts by default. Reading that takes longer than a question, and a job is asked after many times."""
    return httpx.create_ssl_context()


class Unanswered(Exception):
    """The server could not be reached, or is not ready: worth another try."""


class JobLost(Exception):
    """A job of which the server knows nothing any more, or whose answer cannot be had: worth sending again."""


class JobFailed(Exception):
    """A job that the server ended with an error; the text is the server's."""


class Job(RemoteBackend):
    """One job at a server: nnsight's backend, with an answer that is bounded and never unpickled.

    `sent` and `received` are bytes of the request's and the answer's payload.
    """

    def __init__(self, model: AudioModel, settings: Remote) -> None:
        super().__init__(
            model.to_model_key(),
            host=settings.host,
            api_key=settings.key or None,
            env=model._remoteable_get_env(),
            blocking=False,
        )
        self.settings = settings
        self.display = StatusDisplay(enabled=False)
        self.sent = self.received = 0

    def launch(self, model: AudioModel, content: dict[str, Any]) -> None:
        """Send the job off. Raises Unanswered, or RemoteRunError for a request that the server refuses."""
        try:
            _submit(model, content, self)
        except RemoteError as error:
            raise self._refusal(error) from error
        except ValidationError as error:
            raise RemoteRunError(
                f"{self.host} took a job and answered as no NDIF server does: check the URL"
            ) from error
        self.status = None  # until the server itself says something of it

    def _serialize(self, tracer: Any) -> bytes:
        blob = super()._serialize(tracer)
        self.sent = len(blob)
        return blob

    def _refusal(self, error: RemoteError) -> Exception:
        cause = error.__cause__
        if not isinstance(cause, httpx.HTTPStatusError):
            return Unanswered(f"{self.host} does not answer ({one_line(cause or error)})")
        code, detail = cause.response.status_code, one_line(str(error).removeprefix("Failed to send request: "))
        if code in (401, 403) or (code == 400 and "key" in detail.lower()):
            return RemoteRunError(_about_the_key(self.host, bool(self.api_key), detail))
        if code == 413:
            return RemoteRunError(
                f"{self.host} takes no request of {self.sent:,} bytes: lower clips_per_job or batch_size ({detail})"
            )
        if code >= 500 or code == 429:
            return Unanswered(f"{self.host} is not ready ({code}: {detail})")
        return RemoteRunError(f"{self.host} refused the job ({code}: {detail})")

    def ask(self) -> dict[str, Any] | None:
        """The job's answer, or None while there is none.

        Raises Unanswered; JobLost if the server does not know the job or its answer cannot be used; JobFailed.
        """
        headers = {"ndif-api-key": self.api_key} if self.api_key else None
        try:
            with httpx.Client(timeout=_TIMEOUT, verify=_certificates()) as client:
                response = client.get(f"{self.host}/response/{self.job_id}", headers=headers)
        except httpx.HTTPError as error:
            raise Unanswered(f"{self.host} does not answer ({one_line(error)})") from error
        if response.status_code == 404 and self.status is not None:
            raise JobLost("the server has forgotten it")
        if response.status_code == 404:
            return None
        return self._answer(self._response(response))

    def _response(self, response: httpx.Response) -> ResponseModel:
        """What the server says of the job; it is kept as the job's status. Raises as `ask` does."""
        if response.status_code >= 500 or response.status_code == 429:
            raise Unanswered(f"{self.host} is not ready ({response.status_code})")
        if response.is_error:
            raise RemoteRunError(
                f"{self.host} does not tell of its jobs ({response.status_code}: {one_line(response.text)})"
            )
        try:
            model = ResponseModel.model_validate_json(response.text)
        except ValueError as error:
            raise JobLost(f"the server's word of it makes no sense ({one_line(error)})") from error
        self.status, self.meta = model.status, model.meta or self.meta
        return model

    def _answer(self, response: ResponseModel) -> dict[str, Any] | None:
        if response.status == Status.ERROR:
            raise JobFailed(response.description)
        return self._fetch(response.data) if response.status == Status.COMPLETED else None

    def _fetch(self, where: Any) -> dict[str, Any]:
        if not isinstance(where, str) or not where:
            raise JobLost("it ended without an answer")
        content = bytearray()
        try:
            with (
                httpx.Client(timeout=_TIMEOUT, verify=_certificates()) as client,
                client.stream("GET", urljoin(self.host, where)) as response,
            ):
                response.raise_for_status()
                for chunk in response.iter_bytes():
                    content += chunk
                    self._bound(len(content))
        except httpx.HTTPStatusError as error:
            raise JobLost(f"its answer cannot be fetched ({error.response.status_code})") from error
        except httpx.InvalidURL as error:
            raise JobLost(f"its answer is said to be where nothing can be ({one_line(error)})") from error
        except httpx.HTTPError as error:
            raise Unanswered(f"fetching an answer from {self.host} broke off ({one_line(error)})") from error
        self.received = len(content)
        return self._read(bytes(content))

    def _read(self, content: bytes) -> dict[str, Any]:
        if self.compress:
            plain = bytearray()
            try:
                for chunk in zstandard.ZstdDecompressor().read_to_iter(content):
                    plain += chunk
                    self._bound(len(plain))
            except zstandard.ZstdError as error:
                raise JobLost(f"its answer is damaged ({one_line(error)})") from error
            content = bytes(plain)
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever a damaged or a malicious file makes it raise
            raise JobLost(f"its answer cannot be read as plain tensors ({one_line(error)})") from error
        if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
            raise JobLost("its answer holds no state")
        return saved["state"]

    def _bound(self, size: int) -> None:
        if size > self.settings.most_bytes_home:
            raise RemoteRunError(
                f"a job's answer is larger than {self.settings.most_bytes_home:,} bytes: ask for fewer sites or a "
                "smaller k, or allow more with Remote(most_bytes_home=…)"
            )


def _submit(model: AudioModel, content: dict[str, Any], backend: Any) -> None:
    ship_by_value(run_job.__module__)
    with model.session(backend=backend):
        state = nnsight.save(run_job(model, content))  # noqa: F841  # its name is the answer's


def run_here(model: AudioModel, content: dict[str, Any]) -> dict[str, Any]:
    """nnsight's dry run: everything travels, and comes back to this process."""
    ship_by_value(run_job.__module__)
    with model.session(remote="local"):
        state = nnsight.save(run_job(model, content))
    return state  # noqa: RET504  # bound by nnsight, when the block ends


def trusts(settings: Remote) -> bool | None:
    """Whether the server runs this key's code beside the model, not in a sandbox. None where it does not say."""
    headers = {"ndif-api-key": settings.key} if settings.key else None
    try:
        with httpx.Client(timeout=_TIMEOUT, verify=_certificates()) as client:
            user = client.get(f"{settings.host}/whoami", headers=headers).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    tags = user.get("tags") if isinstance(user, dict) else None
    if not isinstance(tags, list) or (not tags and user.get("email") is None):  # it knows nobody by this key
        return None
    return "trusted" in tags


def installed(settings: Remote) -> dict[str, str]:
    """Versions of what is installed at the server, by name; empty, with a warning, if it does not say.

    Raises RemoteRunError if no server answers.
    """
    try:
        with httpx.Client(timeout=httpx.Timeout(10.0, read=90.0), verify=_certificates()) as client:
            response = client.get(f"{settings.host}/env")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RemoteRunError(
            f"no server answers at {settings.host} ({one_line(error)}): check the URL, or that it is running"
        ) from error
    try:
        packages = response.raise_for_status().json()["packages"]
        return {str(name).lower(): str(number) for name, number in packages.items()}
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        warnings.warn(f"{settings.shown} does not tell its versions: whether they fit is not known", stacklevel=2)
        return {}


def _about_the_key(host: str, given: bool, detail: str) -> str:
    if given:
        return f"{host} does not accept the API key ({detail}): check NDIF_API_KEY, or run `nnsight login`"
    return f"{host} wants an API key ({detail}): set NDIF_API_KEY, or run `nnsight login`"


def one_line(message: BaseException | str, most: int = 400) -> str:
    """The first line of what somebody else says, without what would command a terminal."""
    text = without_control_characters(next(iter(str(message).strip().splitlines()), "")).strip()
    return text[:most] or (type(message).__name__ if isinstance(message, BaseException) else "it does not say why")
