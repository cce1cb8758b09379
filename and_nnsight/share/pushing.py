"""A dissection to the hub, as a dataset repository, and back."""

from __future__ import annotations

import glob
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.hub import FOLDER, HubAddress, commit_of, fetched, hub_errors
from ..storage import make_folder, short_hash
from .dataset_folder import DatasetFolder, DatasetOptions, write_dataset
from .new_folder import refuse_files
from .scratch import scratch_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OURS = ["data/*", f"{FOLDER}/*"]
_EMPTY = {"README.md", ".gitattributes"}


@dataclass(frozen=True)
class Pushed:
    """A dissection that is on the hub now.

    url      its page
    commit   what the repository is at
    dataset  what went up
    bytes    of all files
    """

    url: str
    commit: str
    dataset: DatasetFolder
    bytes: int


def push(
    dissection: Dissection,
    repo: str,
    *,
    audio: bool | None = None,
    license: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    best: int = 100,
    exemplars: int = 8,
    data: Any = None,
    keep_paths: bool = False,
    overwrite: bool = False,
    message: str | None = None,
    token: str | bool | None = None,
) -> Pushed:
    """Put a dissection on the hub, as a dataset repository that its viewer shows and plays.

    Everything goes up in one commit: whoever reads meanwhile sees all of it or none. What went up before an
    interruption is not sent again. A dissection that is there already is replaced, and stays in the history.

    repo        OWNER/NAME, which is made if it is not there
    audio, license, best, exemplars, data, keep_paths  see `DatasetOptions`
    private     whether a repository that is made is private; None: as its owner has it
    revision    a branch, which is made if it is not there; None: the main one
    overwrite   also into a repository that holds something else
    token       of the hub; None: that of `hf auth login` or HF_TOKEN

    Raises DissectionError, which says what to do, for what cannot be shared (see `write_dataset`) or sent.
    """
    address = HubAddress.of(repo)
    if address.revision is not None:
        raise DissectionError(f"give the branch as revision= (--revision): {repo}")
    address = HubAddress(address.name, revision)
    options = DatasetOptions(
        audio=audio, license=license, best=best, exemplars=exemplars, data=data, keep_paths=keep_paths
    )
    with scratch_folder() as place:
        folder = place / "dataset"
        dataset = write_dataset(dissection, folder, options, name=address.name, link=True)
        url, commit = _send(folder, address, private, overwrite, message, token)
        return Pushed(url, commit, dataset, dataset.bytes)


def _send(
    folder: Path,
    address: HubAddress,
    private: bool | None,
    overwrite: bool,
    message: str | None,
    token: str | bool | None,
) -> tuple[str, str]:
    from huggingface_hub import CommitInfo, HfApi

    api = HfApi(token=token)
    with hub_errors(address, "run the same again: what went up is not sent twice, and the repository is as it was"):
        api.create_repo(address.name, repo_type="dataset", private=private, exist_ok=True)
        _check_repository(api, address, private, overwrite)
        if address.revision is not None:
            api.create_branch(address.name, repo_type="dataset", branch=address.revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=address.name,
            repo_type="dataset",
            folder_path=folder,
            revision=address.revision,
            commit_message=message or "A dissection",
            delete_patterns=_OURS,  # what an earlier one had and this one has not: its sounds, for example
        )
    if isinstance(done, CommitInfo):
        return f"{api.endpoint}/datasets/{address.name}", str(done.oid)
    raise DissectionError(f"{address}: the hub did not say what it made of it; look at its page, or run the same again")


def _check_repository(api: HfApi, address: HubAddress, private: bool | None, overwrite: bool) -> None:
    """Raise DissectionError for a repository that is public and was wanted private, or holds something else.

    What it holds is looked at where this goes: on its branch, or on the main one, which a new branch begins with.
    """
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        about = api.dataset_info(address.name, revision=address.revision)
    except RevisionNotFoundError:
        about = api.dataset_info(address.name)
    if private and not about.private:
        raise DissectionError(f"{address} is there and public: make it private on its page, or take another name")
    files = {file.rfilename for file in about.siblings or ()} - _EMPTY
    if files and not overwrite and f"{FOLDER}/manifest.json" not in files:
        raise DissectionError(
            f"{address} is there and holds something that is no dissection ({min(files)} …): take another name, or "
            "put the dissection beside it (overwrite=True, --overwrite), which replaces its README.md and data/"
        )


def pull(repo: str, folder: str | Path, *, revision: str | None = None, token: str | bool | None = None) -> Dissection:
    """Fetch a dissection from the hub into a folder of one's own: the same bytes that went up.

    repo      OWNER/NAME, or hf://datasets/OWNER/NAME@REVISION
    folder    a folder that is not there, or an empty one
    revision  a branch, a tag or a commit; None: that of `repo`, or the main branch

    After an interruption the same call goes on; until then what came is beside the folder, under a hidden name.

    Raises DissectionError, which says what to do, where it cannot be had, is damaged or is no dissection.
    """
    address = HubAddress.of(repo)
    address = HubAddress(address.name, revision or address.revision)
    target = Path(folder).expanduser().absolute()
    refuse_files(target)
    commit = commit_of(address, token)
    make_folder(target.parent, DissectionError)
    place = target.parent / f".{target.name}.{short_hash(str(commit))}.pull"  # an interrupted one goes on there
    source = fetched(commit, token, place)
    _check_whole(Dissection.load(source), address)
    if target.exists():
        target.rmdir()
    source.replace(target)
    for each in target.parent.glob(f".{glob.escape(target.name)}.*.pull"):  # of other commits, too
        shutil.rmtree(each, ignore_errors=True)
    return Dissection.load(target)


def _check_whole(dissection: Dissection, address: HubAddress) -> None:
    """Raise DissectionError where the files that are read at once are not those that went up."""
    try:
        dissection.check(dissection.folder / "clips.parquet")
        for site in dissection.sites:
            dissection[site]
            dissection.activations(site)
    except ValueError as error:
        raise DissectionError(f"what {address} holds is damaged ({error}): it has to be pushed again") from error
