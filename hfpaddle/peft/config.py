"""What an adapter's ``adapter_config.json`` holds, and how it is read and written."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

import packaging.version
from huggingface_hub import hf_hub_download
from transformers.utils.hub import PushToHubMixin, http_user_agent

from hfpaddle.core.files import write_text
from hfpaddle.peft.mapping import config_class
from hfpaddle.peft.utils.constants import CONFIG_NAME
from hfpaddle.peft.utils.peft_types import TaskType

# The version of peft whose files and meanings these are; it is written into every config.
__version__ = "0.21.2"
_REQUIRED_KEYS = {"peft_type"}


def helped(help: str, default: Any = None) -> Any:
    """A dataclass field with a help text, as HfArgumentParser shows it."""
    return field(default=default, metadata={"help": help})


def _get_commit_hash(pkg_name: str) -> str | None:
    """The commit that a package was installed from by ``pip install git+...``, if it was."""
    try:
        distribution = importlib.metadata.distribution(pkg_name)
    except importlib.metadata.PackageNotFoundError:
        return None
    text = distribution.read_text("direct_url.json")
    return None if text is None else json.loads(text).get("vcs_info", {}).get("commit_id")


def _own_version() -> str:
    if packaging.version.Version(__version__).dev is None:
        return __version__
    commit = None
    try:
        commit = _get_commit_hash("peft")
    except Exception as error:  # whatever it is, a config must still be made
        warnings.warn(
            "A dev version of PEFT is used but there was an error while trying to determine the "
            f"commit hash: {error}",
            stacklevel=3,
        )
    return f"{__version__}@{commit or 'UNKNOWN'}"


@dataclass
class PeftConfigMixin(PushToHubMixin):
    """Fields and files that the config of every method has.

    Raises: ValueError for a task type that is unknown.
    """

    task_type: Any = helped("The type of task.")
    peft_type: Any = helped("The method.")
    auto_mapping: dict | None = helped("Class of the base model, where the task does not tell it.")
    peft_version: str | None = helped("Version of peft; filled in if it is left out.")

    def __post_init__(self) -> None:
        if self.task_type is not None and self.task_type not in list(TaskType):
            raise ValueError(
                f"Invalid task type: '{self.task_type}'. Must be one of the following task types: "
                f"{', '.join(TaskType)}."
            )
        if self.peft_version is None:
            self.peft_version = _own_version()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, nested configs as dicts."""
        return asdict(self)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write ``adapter_config.json``.

        Args:
            kwargs: ``auto_mapping_dict`` replaces the field ``auto_mapping``.
        Raises: AssertionError, as upstream, if the path is a file.
        """
        if os.path.isfile(save_directory):
            raise AssertionError(
                f"Provided path ({save_directory}) should be a directory, not a file"
            )
        os.makedirs(save_directory, exist_ok=True)
        mapping = kwargs.pop("auto_mapping_dict", None)
        values = {k: sorted(v) if isinstance(v, set) else v for k, v in self.to_dict().items()}
        if mapping is not None:
            values["auto_mapping"] = mapping
        text = json.dumps(values, indent=2, sort_keys=True)
        write_text(os.path.join(save_directory, CONFIG_NAME), text)

    @classmethod
    def from_peft_type(cls, **kwargs: Any) -> Any:
        """Build the config of the method ``peft_type``, or one of this class if it is not given.

        Names that the class does not know are dropped with a warning: they come from a later
        version. Raises: TypeError if ``peft_type`` is among what is missing then.
        """
        made = config_class(kwargs["peft_type"]) if "peft_type" in kwargs else cls
        known = inspect.signature(made.__init__).parameters
        unknown = sorted(set(kwargs) - set(known))
        if not unknown:
            return made(**kwargs)
        kept = {key: value for key, value in kwargs.items() if key in known}
        if not _REQUIRED_KEYS <= set(kept):
            raise TypeError(
                f"The {cls.__name__} config that is trying to be loaded is missing required keys: "
                f"{_REQUIRED_KEYS}."
            )
        warnings.warn(
            f"Unexpected keyword arguments {unknown} for class {made.__name__}, these are ignored. "
            "The file was probably written by a later version of peft.",
            stacklevel=2,
        )
        return made.from_peft_type(**kept)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        subfolder: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Read the config of an adapter in a folder, the Hub cache or the Hub.

        Args:
            kwargs: those of `hf_hub_download`. Fields of the class give what the file leaves out.
        Raises: ValueError if there is no such file.
        """
        hub, fields, _ = cls._split_kwargs(kwargs)
        path = _config_file(pretrained_model_name_or_path, subfolder, hub)
        return cls.from_peft_type(**cls.check_kwargs(**{**fields, **cls.from_json_file(path)}))

    @classmethod
    def from_json_file(cls, path_json_file: str | os.PathLike, **_: Any) -> dict[str, Any]:
        """Read the fields; settings that belong to one run only are left out with a warning."""
        with open(path_json_file, encoding="utf-8") as file:
            values = json.load(file)
        if values.pop("runtime_config", None) is not None:
            warnings.warn(
                f"{path_json_file} contains a `runtime_config` key. It is ignored: it counts for "
                "the run that set it.",
                stacklevel=2,
            )
        return values

    @classmethod
    def _split_kwargs(cls, kwargs: dict[str, Any]) -> tuple[dict, dict, dict]:
        """(for the Hub, fields of the config, the rest)."""
        parts: tuple[dict, dict, dict] = ({}, {}, {})
        download = inspect.signature(hf_hub_download).parameters
        for key, value in kwargs.items():
            which = 0 if key in download else 1 if key in cls.__annotations__ else 2
            parts[which][key] = value
        return parts

    @classmethod
    def _get_peft_type(cls, model_id: str | os.PathLike, **hub: Any) -> Any:
        """The method of the adapter ``model_id``."""
        path = _config_file(model_id, hub.pop("subfolder", None), hub)
        return cls.from_json_file(path)["peft_type"]

    @classmethod
    def check_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Check or change what a file holds before the config is made from it."""
        return kwargs

    @property
    def is_prompt_learning(self) -> bool:
        return False

    @property
    def is_adaption_prompt(self) -> bool:
        return False


def _config_file(model_id: Any, subfolder: str | None, hub: dict[str, Any]) -> str:
    local = os.path.join(model_id, subfolder or "", CONFIG_NAME)
    if os.path.isfile(local):
        return local
    hub = {"user_agent": http_user_agent(), **hub}
    try:
        return hf_hub_download(str(model_id), CONFIG_NAME, subfolder=subfolder, **hub)
    except Exception as error:
        raise ValueError(f"Can't find '{CONFIG_NAME}' at '{model_id}'") from error


@dataclass
class PeftConfig(PeftConfigMixin):
    """Base of the configs of all methods.

    Args:
        base_model_name_or_path, revision: the model that the adapter belongs to.
        peft_type, task_type: see `PeftType` and `TaskType`.
        inference_mode: parameters of the adapter are frozen.
    """

    base_model_name_or_path: str | None = helped("Folder or Hub id of the base model.")
    revision: str | None = helped("Revision of the base model.")
    peft_type: Any = helped("The method.")
    task_type: Any = helped("The type of task.")
    inference_mode: bool = helped("Whether the adapter is frozen.", False)


@dataclass
class PromptLearningConfig(PeftConfig):
    """Base of the configs of methods that learn virtual tokens.

    Args:
        num_virtual_tokens: how many.
        token_dim, num_attention_heads, num_layers: sizes of the base model; read from it if None.
        num_transformer_submodules: 2 for encoder-decoders, else 1; told by the task if None.
        modules_to_save: modules that are trained in full and saved with the adapter.
    """

    num_virtual_tokens: Any = helped("Number of virtual tokens.")
    token_dim: Any = helped("Hidden size of the base model.")
    num_transformer_submodules: int | None = helped("2 for encoder-decoders, else 1.")
    num_attention_heads: int | None = helped("Number of attention heads.")
    num_layers: int | None = helped("Number of layers.")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")

    @property
    def is_prompt_learning(self) -> bool:
        return True
