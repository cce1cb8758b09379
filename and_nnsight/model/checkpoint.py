"""What a transformers checkpoint is: its class and config, its weights, and the class that a task's pipeline makes it.

nnsight is not needed to know it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn

from ..sites.audio_spec import reads_instead
from ..sites.blocks import blocks_in, find_blocks
from ..wording import first_line
from .part_weights import only_part

_TASKS = {
    "ForAudioClassification": "audio-classification",
    "ForSequenceClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "ForConditionalGeneration": "automatic-speech-recognition",
    "ClapModel": "zero-shot-audio-classification",
    "ClapAudioModelWithProjection": "zero-shot-audio-classification",
}
_OF_COMPOSITES = ("automatic-speech-recognition", "any-to-any", "feature-extraction")


_A_FILE = "it is a file, and a checkpoint is a folder"


class ModelError(ValueError):
    """A model that cannot be loaded; the message says why."""


def checkpoint_class(repo_id: str, revision: str | None, options: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The class that a checkpoint was saved from, the config to build it with, and the checkpoint's own config.

    The two configs differ where only a part of the checkpoint is wanted (CLAP's audio tower). Of the options, those
    that say how to reach the checkpoint count. Raises ModelError if there is no such checkpoint.
    """
    import transformers

    reach = reaching(options)
    if Path(repo_id).is_file():  # transformers would read it as a config, and find no weights in it
        raise ModelError(f"{repo_id!r} is no model: {_A_FILE}")
    try:
        config = transformers.AutoConfig.from_pretrained(repo_id, revision=revision, **reach)
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:  # a config.json of any JSON
        raise ModelError(_unreachable(repo_id, error)) from error
    except Exception as error:  # of a config whose values are not what they ought to be transformers raises anything
        raise ModelError(f"the config.json of {repo_id!r} describes no model: {reason(error)}") from error
    name = _class_name(repo_id, config)
    model_class: Any = getattr(transformers, name, None)
    if name == "ClapModel":
        model_class = transformers.ClapAudioModelWithProjection
    if model_class is None or name.endswith("ForPreTraining"):
        known: Any = transformers.AutoModel._model_mapping
        for kind in [known[type(config)]] if type(config) in known else []:
            refuse_other_kinds(kind)
        return transformers.AutoModel, config, config
    refuse_other_kinds(model_class)
    if isinstance(config, model_class.config_class):
        return model_class, config, config
    return model_class, model_class.config_class.from_pretrained(repo_id, revision=revision, **reach), config


def no_model(value: Any) -> str:
    """What to give in the place of an object that is no model, where it may hold one or stand for one."""
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    if isinstance(value, type):
        return f"{name} is a class: give a model of it, or the checkpoint by its name"
    if isinstance(getattr(value, "model", None), nn.Module):  # a pipeline, a trainer
        return f"{name} is no model, but holds one: give its .model"
    return f"{name} is no model: give a transformers module, a hub id or local folder"


def _class_name(repo_id: str, config: Any) -> str:
    """The class that a config says the checkpoint was saved from; "" where it says none."""
    names = getattr(config, "architectures", None) or [""]
    if not isinstance(names, list) or not isinstance(names[0], str):
        raise ModelError(f"the config.json of {repo_id!r} describes no model: its architectures are {names!r:.40}")
    return names[0]


def reason(error: Exception) -> str:
    """What an error says of a config or of weights; of transformers' checks of a config, what they found."""
    if isinstance(error, StrictDataclassError) and error.__cause__ is not None:
        return f"{first_line(error).rstrip(':')} ({first_line(error.__cause__)})"
    plain = isinstance(error, (ImportError, OSError, ValueError, RuntimeError, SafetensorError))
    return first_line(error) if plain else f"{type(error).__name__}: {first_line(error)}"


def reaching(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of a load, those that say how a checkpoint is reached. Its own code is not run unless they say so.

    Without a word on it, transformers would ask at the keyboard, and a job on a server would hang.
    """
    reach = {name: options[name] for name in ("token", "cache_dir") if name in options}
    return {**reach, "trust_remote_code": bool(options.get("trust_remote_code", False))}


def _unreachable(repo_id: str, error: Exception) -> str:
    folder = Path(repo_id).expanduser()
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        return (
            f"{repo_id!r} holds a PEFT adapter, not a model: open the model that it adapts with peft="
            f"{repo_id!r}, or load both with PEFT and give the model"
        )
    if "trust_remote_code" in str(error):
        return (
            f"{repo_id!r} brings code of its own, which is not run unasked: pass trust_remote_code=True if you trust it"
        )
    return (
        f"{repo_id!r} is neither a folder with a transformers checkpoint nor a model that can be had from the "
        f"hub: {_why(repo_id, folder, error)}"
    )


def _why(repo_id: str, folder: Path, error: Exception) -> str:
    """Why nothing could be loaded, in words for whoever named it."""
    if folder.is_dir():
        return _why_not_the_folder(folder)
    if folder.exists():
        return _A_FILE
    if repo_id.startswith((".", "/", "~", "\\")) or repo_id.count("/") > 1 or " " in repo_id:
        return "there is no such folder"
    return first_line(error)


def _why_not_the_folder(folder: Path) -> str:
    if (folder / "manifest.json").is_file():
        return "it is the folder of a dissection, and the model that was dissected is needed"
    config = folder / "config.json"
    if not config.is_file():
        return "the folder has no config.json"
    try:
        kind = json.loads(config.read_bytes())["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its config.json is damaged, or is none of a transformers model"
    return f"its config.json is of the type {kind!r}, which the installed transformers does not know or cannot read"


def refuse_other_kinds(kind: type[nn.Module]) -> None:
    """Raise ModelError for a class of models of text, images, or anything else that is no sound.

    One that is made of several models is let through: a part of it may hear.
    """
    composite = getattr(getattr(kind, "config_class", None), "sub_configs", None)
    if not composite and (instead := reads_instead(kind)):
        raise ModelError(f"{kind.__name__} is not a model of sound: it reads {instead}")


def load_weights(
    model_class: Any, repo_id: str, revision: str | None, options: Mapping[str, Any], part: str = ""
) -> nn.Module:
    """The module with its weights; of a `part`, by its path, alone, in what is left of the module around it.

    Raises ModelError if they cannot be had, or if those of a block are missing.
    """
    options = {**options, "trust_remote_code": reaching(options)["trust_remote_code"]}
    kind = only_part(model_class, part) if part else model_class
    try:
        module, report = kind.from_pretrained(repo_id, revision=revision, output_loading_info=True, **options)
    except MemoryError:
        raise
    except Exception as error:  # a broken file, a library that is not there, an option or a config that makes no sense
        raise ModelError(f"cannot load the weights of {repo_id!r}: {reason(error)}") from error
    blocks = tuple(f"{block.path}." for block in (blocks_in(module, part) if part else find_blocks(module)))
    if missing := sorted(name for name in report["missing_keys"] if name.startswith(blocks)):
        raise ModelError(
            f"the checkpoint {repo_id!r} lacks {len(missing)} weights of its blocks, {missing[0]} among them: "
            "its config does not describe it"
        )
    return module


def task_of(module: nn.Module) -> str:
    """The transformers pipeline task that a module is for, by the name of its class."""
    name = type(module).__name__
    return next((task for suffix, task in _TASKS.items() if name.endswith(suffix)), "audio-classification")


def task_around(whole: nn.Module) -> str:
    """The task by which a server loads the model around a part: as this class, or else as the one that has no head."""
    name = type(whole).__name__
    return next((task for task in _OF_COMPOSITES if _classes(task, whole.config)[:1] == [name]), _OF_COMPOSITES[-1])


def task_class(task: str, config: Any, repo_id: str) -> str:
    """Name of the class that a task's pipeline loads a checkpoint with this config as, here or on a server.

    Raises ModelError if there is none.
    """
    from transformers.pipelines import check_task

    candidates = check_task(task)[1]["pt"]
    for name in _classes(task, config):
        return name
    raise ModelError(
        f"no server can load {repo_id}: for the task {task!r} it has "
        f"{' and '.join(each.__name__ for each in candidates)}, and no class for a {type(config).__name__}"
    )


def _classes(task: str, config: Any) -> list[str]:
    """Names of the classes that a task has for a config, as they are tried."""
    from transformers.pipelines import check_task

    kinds = (type(config), type(getattr(config, "audio_config", None)))
    known = [(automatic._model_mapping, kind) for automatic in check_task(task)[1]["pt"] for kind in kinds]
    return [mapping[kind].__name__ for mapping, kind in known if kind in mapping]
