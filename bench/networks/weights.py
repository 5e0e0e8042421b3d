"""Files of weights: reading them without running their code, hashes, and downloads."""

import contextlib
import hashlib
import pickle
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.errors import InputError, Unavailable, reason_of

#: Seconds within which a server of weights has to answer before a download is begun.
PATIENCE = 3.0

#: Entries of a checkpoint that hold the weights, the preferred ones first.
_ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file: safetensors by its suffix, otherwise a ``.pth`` of torch.

    Only weights are read, never pickled code. Of a checkpoint the averaged weights are taken where
    it has them; prefixes of parallel training are left out.

    Raises:
        InputError: where there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no file of weights {path}: give another --weights")
    try:
        if path.suffix == ".safetensors":
            loaded: Any = load_file(path)
        else:
            with warnings.catch_warnings():  # of another kind of pickle, in a damaged file
                warnings.simplefilter("ignore")
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} is damaged, or holds more than weights, which is not loaded: give a "
            "safetensors file, or a .pth that torch.load reads with weights_only=True"
        ) from None
    except Exception as error:  # a damaged file leads both readers anywhere
        raise InputError(
            f"{path} is damaged, or no file of weights ({reason_of(error)[:100]}): give a "
            "safetensors or .pth file"
        ) from None
    weights = _tensors(loaded)
    if not weights:
        raise InputError(f"{path} holds no weights by name: give a file of a state dict")
    return weights


def _tensors(loaded: Any) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        return {}
    entry = next((key for key in _ENTRIES if isinstance(loaded.get(key), Mapping)), None)
    state = loaded if entry is None else loaded[entry]
    return {
        str(key).removeprefix("module.").removeprefix("_orig_mod."): value
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


# ----------------------------------------------------------------------------
# downloads


def hub_file(name: str, repository: str, files: Iterable[str]) -> Path:
    """Return the first of these files that a repository of the Hugging Face hub has.

    A file in the hub's cache needs no network.

    Args:
        name: of the network, for the message.
        repository: OWNER/NAME, or OWNER/NAME@REVISION.

    Raises:
        Unavailable: where it is neither cached nor to be had.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    files = list(files)
    repository, _, revision = repository.partition("@")
    for file in files:
        cached = hub.try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    address = hub.hf_hub_url(repository, files[0], revision=revision or None)
    if not _answers(lambda: hub.get_session().head(address, timeout=PATIENCE)):
        raise _out_of_reach(name, address)
    for file in files:
        try:
            return Path(hub.hf_hub_download(repository, file, revision=revision or None))
        except LocalEntryNotFoundError:  # the network was lost
            break
        except EntryNotFoundError:
            continue
        except Exception as error:  # of the hub, of its client of HTTP, or of the file system
            raise _out_of_reach(name, address, reason_of(error)) from None
    raise _out_of_reach(name, address)


def address_file(name: str, address: str) -> Path:
    """Return the file at an address; torch's cache is looked into before.

    Args:
        name: of the network, for the message.
        address: whose last part is the name of the file, such as resnet50-0676ba61.pth. The part
            after the dash is the beginning of its SHA-256, which is checked.

    Raises:
        Unavailable: where it is neither cached nor to be had.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / address.rpartition("/")[2]
    if path.is_file():
        return path
    if not _answers(lambda: _head(address)):
        raise _out_of_reach(name, address)
    match = torch.hub.HASH_REGEX.search(path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(path), match and match.group(1))
    except (OSError, RuntimeError) as error:
        raise _out_of_reach(name, address, reason_of(error)) from None
    return path


def _head(address: str) -> None:
    with contextlib.suppress(HTTPError):  # a server that refuses does answer
        urlopen(Request(address, method="HEAD"), timeout=PATIENCE).close()


def _answers(ask: Callable[[], object]) -> bool:
    """Return whether a server answers in time; the look-up of its name may hang in a thread."""
    answers: list[bool] = []

    def run() -> None:
        try:
            ask()
        except Exception:  # clients of HTTP have errors of their own
            answers.append(False)
        else:
            answers.append(True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(answers) and answers[0]


def _out_of_reach(name: str, address: str, reason: str = "no network, none cached") -> Unavailable:
    return Unavailable(
        f"cannot get the weights of {name} ({reason[:200]}): fetch {address} where there is a "
        "network, and give the file by --weights FILE, together with this name of the network"
    )
