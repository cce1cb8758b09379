"""Which servers can serve which models with this client: known before any job is sent."""

from __future__ import annotations

import re
import warnings
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from .settings import RemoteRunError

_SAME_MODULES_SINCE = (5, 12)
_WHOLE_AST_SINCE = (5, 16)
_LAZY_PIPELINES_SINCE = (5, 23)
_KNOWS_LAZY_PIPELINES = (0, 8, 3)  # nnsight


def check_versions(host: str, there: dict[str, str]) -> None:
    """Say, before any job is sent, if this client and the server do not fit.

    Raises RemoteRunError if they cannot work together; warns of differences that may matter.
    """
    for name in ("nnsight", "transformers"):
        ours, theirs = version(name), there.get(name, "")
        release = _release(theirs)
        if release is None or release[:2] == (_release(ours) or ())[:2]:
            continue
        both = f"{host} has {name} {theirs} and this is {ours}"
        if name == "nnsight":
            raise RemoteRunError(f"{both}, whose requests it does not understand: {_advice(name, theirs, release[:2])}")
        if release[:2] < _SAME_MODULES_SINCE:
            raise RemoteRunError(
                f"{both}: audio models have other module names in versions before "
                f"{'.'.join(map(str, _SAME_MODULES_SINCE))}, so sites cannot be found there; {_advice(name, theirs)}"
            )
        warnings.warn(f"{both}: if a job fails over a module that is not there, {_advice(name, theirs)}", stacklevel=2)


def check_model(host: str, there: dict[str, str], saved_from: str | None, trusted: bool | None) -> None:
    """Say, before any job is sent, if the server cannot build a model that it would be asked to run.

    there       versions at the server, by name
    saved_from  the class that the checkpoint was saved from
    trusted     whether it runs this key's code beside the model; None: it does not say

    Raises RemoteRunError for a model that it cannot serve; warns where it may not.
    """
    transformers, nnsight = _release(there.get("transformers", "")), _release(there.get("nnsight", ""))
    if transformers is None:
        return
    has = f"{host} has transformers {there['transformers']}"
    if saved_from == "ASTModel" and transformers[:2] < _WHOLE_AST_SINCE:
        raise RemoteRunError(
            f"{has}, which leaves 12 of the 39 parameters of a layer of an AST without a head at random: use a server "
            "with transformers 5.16 or later, or a checkpoint with a head"
        )
    if trusted or nnsight is None or nnsight >= _KNOWS_LAZY_PIPELINES or transformers[:2] < _LAZY_PIPELINES_SINCE:
        return
    reason = (
        f"{has} and nnsight {there['nnsight']}, which together build no audio model without its weights, as is done "
        "for keys that are not trusted: use a server with transformers 5.16 to 5.22 or nnsight 0.8.3, or a trusted key"
    )
    if trusted is None:
        warnings.warn(reason, stacklevel=2)
    else:
        raise RemoteRunError(reason)


def _advice(name: str, theirs: str, release: tuple[int, ...] = ()) -> str:
    """What to do about another version at the server. Never what this package's own requirements refuse."""
    allowed = _allowed(name)
    if theirs.partition("+")[0] in allowed:
        return f"install {name}=={theirs} here"
    return f"this package needs {name}{allowed}: use a server that has it"


def _allowed(name: str) -> SpecifierSet:
    """The versions of a package that this one works with, as its own distribution says."""
    try:
        needed = [Requirement(each) for each in requires("and-nnsight") or ()]
    except PackageNotFoundError:
        needed = []
    return next((each.specifier for each in needed if canonicalize_name(each.name) == name), SpecifierSet())


def _release(text: str) -> tuple[int, ...] | None:
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else None
