"""The registry: plugins are entry points, one group a role, chosen by a name such as `openai:gpt-oss-20b`.

Nothing is imported until it is chosen. What stands after the first colon goes to the plugin as its one positional
argument; keyword-only parameters of the plugin are filled from what the caller offers (a chat model, a device, a seed).
The environment variable `AND_NNSIGHT_PLUGINS` names the distributions that may be loaded, with commas between them;
empty: this package's own only; not set: all.
"""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import Parameter
from typing import Any

from . import nnsight_save

_log = logging.getLogger(__name__)
OURS = "and-nnsight"
VARIABLE = "AND_NNSIGHT_PLUGINS"
VIEWS = "and_nnsight.views"
TABLES = "and_nnsight.tables"
"""The group of what a notebook shows of this package's own classes: see `Viewed`."""


class PluginError(ValueError):
    """A plugin that does not exist, cannot be loaded, or was asked for in a way that it does not understand."""


@dataclass(frozen=True)
class Role:
    """What a plugin can be: its name in messages, its entry-point group, what it must have, and an example."""

    name: str
    group: str
    methods: tuple[str, ...]
    example: str
    attributes: tuple[str, ...] = ()


ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role("captioner", "and_nnsight.captioners", ("caption",), "column:caption", ("sampling_rate",)),
        Role("summarizer", "and_nnsight.summarizers", ("summarize",), "keywords"),
        Role("chat model", "and_nnsight.chat_models", ("chat",), "transformers:Qwen/Qwen3-8B", ("name",)),
        Role("text encoder", "and_nnsight.text_encoders", ("encode",), "words"),
        Role(
            "audio-text encoder",
            "and_nnsight.audio_text_encoders",
            ("encode_audio", "encode_text"),
            "clap:laion/clap-htsat-unfused",
            ("sampling_rate",),
        ),
        Role(
            "listener", "and_nnsight.listeners", ("fits",), "clap:laion/clap-htsat-unfused", ("name", "sampling_rate")
        ),
        Role("model", "and_nnsight.models", ("open", "adapt"), "beats:checkpoints/BEATs_iter3.pt"),
        Role(
            "dictionary",
            "and_nnsight.dictionaries",
            ("describe", "parts", "encode", "shifted"),
            "sae:saes/whisper-block-2",
            ("width", "latents"),
        ),
        Role("command", "and_nnsight.commands", (), "train-sae"),
    )
}


@dataclass(frozen=True)
class InstalledPlugin:
    """One installed plugin, as `and-nnsight plugins` shows it. `broken` says why it cannot be used here."""

    role: str
    name: str
    distribution: str
    description: str
    broken: str | None


def make(role: str, chosen: str, **offered: Any) -> Any:
    """The plugin that `chosen` ("name" or "name:argument") names, made with what it takes of the things offered.

    Raises PluginError if there is none, it cannot be imported or made, its argument is missing or not wanted, or it
    lacks what its role needs.
    """
    known = ROLES[role]
    entry, argument = _entry(known, chosen)
    factory = _load(entry, known)
    keywords = _arguments(factory, known, entry.name, argument, offered)
    nnsight_save.take_off()
    try:
        plugin = factory(*([] if argument is None else [argument]), **keywords)
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"{role} {chosen!r} cannot be made: {type(error).__name__}: {error}") from error
    missing = _missing(plugin, known)
    if missing:
        raise PluginError(f"{role} {entry.name!r} of {_distribution(entry)} has no {missing}")
    _log.info("%s %r of %s is used", role, entry.name, _distribution(entry))
    return plugin


def check(role: str, chosen: Any, **offered: Any) -> None:
    """Raise PluginError where `resolve` would, as far as that shows before a plugin is made, which may take minutes."""
    if not isinstance(chosen, str):
        resolve(role, chosen)
        return
    known = ROLES[role]
    entry, argument = _entry(known, chosen)
    _arguments(_load(entry, known), known, entry.name, argument, offered)


def factory(role: str, chosen: str) -> Any:
    """The class (of a command the function) that `chosen` names, not made yet.

    Raises PluginError if there is none or it cannot be imported.
    """
    known = ROLES[role]
    entry, _ = _entry(known, chosen)
    return _load(entry, known)


def names(role: str) -> tuple[str, ...]:
    """The names of a role's plugins, none of which is imported."""
    return tuple(sorted(_winners(_scan(), ROLES[role])))


def resolve(role: str, chosen: Any, **offered: Any) -> tuple[Any, str]:
    """A plugin and its name in the record, from its name (see `make`) or from an object that plays the role itself.

    Raises PluginError as `make` does, or if the object lacks one of the role's methods or attributes.
    """
    nnsight_save.take_off()
    if isinstance(chosen, str):
        return make(role, chosen, **offered), chosen
    missing = _missing(chosen, ROLES[role])
    if missing:
        raise PluginError(f"a {role} is a name or an object with the {missing}, not {chosen!r:.80}")
    return chosen, str(getattr(chosen, "name", None) or type(chosen).__qualname__)


def every(role: str) -> tuple[list[tuple[str, Any]], list[str]]:
    """Every plugin of a role that can be made without an argument, with its name; and what is wrong with the others."""
    plugins, errors = [], []
    for name in sorted(_winners(_scan(), ROLES[role])):
        try:
            plugins.append((name, make(role, name)))
        except PluginError as error:
            errors.append(str(error))
    return plugins, errors


def table(name: str) -> Any:
    """The function that makes one of this package's tables of an object: it stands above what it tells of.

    It is an entry point in the group `and_nnsight.tables`.
    """
    return _own(TABLES)[name].load()


class Viewed:
    """What a notebook shows as more than its `repr`: the view that is registered under the name of its class.

    A view is an entry point in the group `and_nnsight.views`: a function of the object that gives HTML. It stands above
    what it shows, which therefore asks for it by name. Where it lacks a package the `repr` is shown, with a warning
    that says which.
    """

    def _repr_html_(self) -> str | None:
        return view(self)


def view(value: Any) -> str | None:
    """A value as HTML; None where no view is registered for it or a package is lacking, which is warned of."""
    names = [kind.__name__ for kind in type(value).__mro__]
    entries = _own(VIEWS)
    entry = next((entries[name] for name in names if name in entries), None)
    if entry is None:
        return None
    try:
        return entry.load()(value)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(__package__ or OURS):
            raise
        warnings.warn(
            f"to see a {type(value).__name__} as more than text, pip install 'and-nnsight[look]' (there is no "
            f"{error.name})",
            stacklevel=3,
        )
        return None


def installed(about: Callable[[EntryPoint], tuple[str, Any] | None] | None = None) -> list[InstalledPlugin]:
    """Every plugin, by role; each is imported, and a broken one says why instead of raising.

    about  gives, without importing it, what a plugin says of itself and what it requires; None where it cannot
    """
    listed = []
    for role in ROLES.values():
        for name, entry in sorted(_winners(_scan(), role).items()):
            description, broken = "", None
            try:
                known = None if about is None else about(entry)
                description, requires = known or _about(_load(entry, role))
                broken = _lacking(requires)
            except PluginError as error:
                broken = str(error)
            listed.append(InstalledPlugin(role.name, name, _distribution(entry), description, broken))
    return listed


def _about(factory: Any) -> tuple[str, Any]:
    """The first line of what a plugin says of itself, and what it requires."""
    return (inspect.getdoc(factory) or "").split("\n", 1)[0], getattr(factory, "requires", {})


def require(modules: Mapping[str, str]) -> None:
    """Raise PluginError, saying what to install, if one of the modules (name to pip requirement) is not there."""
    lacking = _lacking(modules)
    if lacking:
        raise PluginError(lacking)


def refresh() -> None:
    """Look again at what is installed."""
    _scan.cache_clear()
    _own.cache_clear()


@cache
def _own(group: str) -> Mapping[str, EntryPoint]:
    """This package's own entry points of a group, by their names: others' would answer as they like for us."""
    return {entry.name: entry for entry in entry_points(group=group) if _distribution(entry) == OURS}


@lru_cache(maxsize=1)
def _scan() -> tuple[EntryPoint, ...]:
    entries = [entry for role in ROLES.values() for entry in entry_points(group=role.group)]
    allowed = os.environ.get(VARIABLE)
    if allowed is None:
        return tuple(entries)
    names = {_normal(name) for name in allowed.split(",")} | {OURS}
    return tuple(entry for entry in entries if _normal(_distribution(entry)) in names)


def _winners(entries: Iterable[EntryPoint], role: Role) -> dict[str, EntryPoint]:
    """One entry point a name. Ours come before others'; among others the first distribution by name, with a warning."""
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for entry in entries:
        if entry.group == role.group:
            by_name.setdefault(entry.name, {})[entry.value + _distribution(entry)] = entry
    winners = {}
    for name, rivals in by_name.items():
        ordered = sorted(rivals.values(), key=lambda e: (_distribution(e) != OURS, _distribution(e), e.value))
        winners[name] = ordered[0]
        if len(ordered) > 1:
            others = ", ".join(_distribution(entry) for entry in ordered[1:])
            warnings.warn(
                f"{role.name} {name!r} is offered by {_distribution(ordered[0])} and by {others}: the first is taken",
                UserWarning,
                stacklevel=5,
            )
    return winners


def _missing(plugin: Any, role: Role) -> str | None:
    """The first thing that a role needs and the plugin has not."""
    lacking = [f"method {name}()" for name in role.methods if not callable(getattr(plugin, name, None))]
    lacking += [f"attribute {name}" for name in role.attributes if not hasattr(plugin, name)]
    return lacking[0] if lacking else None


def _entry(role: Role, chosen: str) -> tuple[EntryPoint, str | None]:
    """The entry point of "name" or "name:argument", and the argument."""
    name, colon, argument = chosen.partition(":")
    entries = _winners(_scan(), role)
    if name not in entries:
        raise PluginError(f"unknown {role.name} {chosen!r}: {_installed(entries, role)}")
    return entries[name], argument if colon else None


def _load(entry: EntryPoint, role: Role) -> Any:
    try:
        factory = entry.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{role.name} {entry.name!r} of {_distribution(entry)} cannot be loaded: {type(error).__name__}: {error}; "
            f"{_mend(_distribution(entry))}"
        ) from error
    if not callable(factory):
        raise PluginError(
            f"{role.name} {entry.name!r} of {_distribution(entry)} is no class: {entry.value!r} is a "
            f"{type(factory).__name__}"
        )
    return factory


def _mend(distribution: str) -> str:
    """What to do about a distribution that cannot be imported."""
    again = f"install it again, or a newer one (pip install --upgrade --force-reinstall --no-deps {distribution})"
    return again if distribution == OURS else f"{again}, or do without it (pip uninstall {distribution})"


def _arguments(factory: Any, role: Role, name: str, argument: str | None, offered: Mapping[str, Any]) -> dict[str, Any]:
    """What a plugin takes by name of the things offered. Raises PluginError if it cannot be made with them."""
    lacking = _lacking(getattr(factory, "requires", {}))
    if lacking:
        raise PluginError(lacking)
    parameters = list(inspect.signature(factory).parameters.values())
    _check_parameters(parameters, role, name, argument)
    keywords = [parameter for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    arguments = {each.name: offered[each.name] for each in keywords if offered.get(each.name) is not None}
    for each in keywords:
        if each.default is Parameter.empty and each.name not in arguments:
            raise PluginError(f"{role.name} {name!r} needs a {_LONGER.get(each.name, each.name.replace('_', ' '))}")
    return arguments


_LONGER = {"chat": "chat model, for example transformers:Qwen/Qwen3-8B"}


def _check_parameters(parameters: Iterable[Parameter], role: Role, name: str, argument: str | None) -> None:
    """Raise PluginError unless a plugin names what it takes, and takes what stands after its name and needs no more."""
    for parameter in parameters:
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            raise PluginError(f"{role.name} {name!r} takes *{parameter.name}: a plugin names what it takes")
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [parameter for parameter in parameters if parameter.kind in kinds]
    if argument is not None and not positional:
        raise PluginError(f"{role.name} {name!r} takes nothing after its name, not {argument!r}")
    needed = [parameter.name for parameter in positional if parameter.default is Parameter.empty]
    if len(needed) > (argument is not None):
        raise PluginError(f"{role.name} {name!r} needs more: {name}:{needed[-1].upper()}")


def _lacking(modules: Any) -> str | None:
    if not isinstance(modules, Mapping):
        return f"its `requires` maps no modules to what to install, it is a {type(modules).__name__}"
    lacking = [what for module, what in modules.items() if not _is_there(module)]
    return f"not installed: pip install {' '.join(repr(what) for what in lacking)}" if lacking else None


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is not there, or it was taken apart
        return False


def _installed(names: Iterable[str], role: Role) -> str:
    names = ", ".join(sorted(names)) or "none"
    return (
        f"installed are {names}. A plugin is a distribution with an entry point in the group {role.group!r}; "
        f"an example of a choice: {role.example}"
    )


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")
