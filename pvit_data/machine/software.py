"""What is installed: versions against those that we ask for, codecs by use, and torch with its GPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib import metadata, util

import numpy as np

from pvit_data.errors import FormatError
from pvit_data.machine.finding import Finding
from pvit_data.words import memory_text

PACKAGE = "pvit-toolkit"
TRAIN = "train"
OPTIONAL = {
    TRAIN: "training, evaluation, predict",
    "dask": "conversion on a cluster",
    "export": "ONNX",
    "smpl": "body meshes of SURREACT",
}
"""Extras, and what each is for."""
DRIVER = "/proc/driver/nvidia/version"


def look_at_python() -> Iterator[Finding]:
    """Python, the system, and our own version."""
    version = metadata.version(PACKAGE)
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield Finding(PACKAGE, "ok", version)


def look_at_packages() -> Iterator[Finding]:
    """What we ask for, by extra: what is missing or too old."""
    for extra, purpose in {"": "", **OPTIONAL}.items():
        lacking, there = _required(extra)
        name = f"extra [{extra}]" if extra else "packages"
        command = f"pip install '{PACKAGE}[{extra}]'" if extra else f"pip install -U {PACKAGE}"
        if not lacking:
            yield Finding(name, "ok", ", ".join(there))
        elif not extra:
            yield Finding(name, "problem", f"missing or too old: {', '.join(lacking)}", command)
        else:
            found = f"for {purpose}: missing or too old: {', '.join(lacking)}"
            yield Finding(name, "note", found, f"{command}, if you need it")


def _required(extra: str) -> tuple[list[str], list[str]]:
    """Requirements of an extra ("": of the toolkit itself) that are not fulfilled, and what is there for the others."""
    from packaging.requirements import Requirement

    lacking, there = [], []
    for text in metadata.requires(PACKAGE) or ():
        wanted = Requirement(text)
        is_of_extra = wanted.marker is not None and "extra" in str(wanted.marker)
        if is_of_extra != bool(extra) or not (
            wanted.marker is None or wanted.marker.evaluate({"extra": extra})
        ):
            continue
        plain = f"{wanted.name}{wanted.specifier}"
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            lacking.append(plain)
            continue
        if wanted.specifier.contains(version, prereleases=True):
            there.append(f"{wanted.name} {version}")
        else:
            lacking.append(f"{plain} (there is {version})")
    return lacking, there


def look_at_codecs() -> Iterator[Finding]:
    """Videos and stills, by writing one and reading it; and what else can be decoded."""
    import av

    from pvit_data.codecs.still import decode_still, encode_still
    from pvit_data.codecs.video import CODECS, decode_video, encode_video

    again = "pip install --force-reinstall --only-binary :all: av pillow"
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    try:
        same = decode_video(encode_video(frames, 10.0)).shape == frames.shape
        same &= decode_still(encode_still(frames[0])).shape == frames.shape[1:]
    except (FormatError, OSError, ValueError) as error:
        yield Finding("codecs", "problem", f"H.264 and JPEG do not work: {error}", again)
        return
    missing = [name for name in sorted(CODECS) if not _decodes(name)]
    if not same:
        yield Finding("codecs", "problem", "a written clip is read otherwise", again)
    elif missing:
        told = f"H.264 and JPEG are written and read; no decoder for {', '.join(missing)}"
        yield Finding("codecs", "note", told, f"videos of that kind cannot be read; {again}")
    else:
        yield Finding(
            "codecs", "ok", f"PyAV {av.__version__} writes H.264, reads {_listed(CODECS)}"
        )


def _listed(codecs: frozenset[str]) -> str:
    return ", ".join(sorted(codecs))


def _decodes(name: str) -> bool:
    import av

    try:
        av.codec.Codec(name, "r")
    except ValueError:
        return False
    return True


def look_at_gpu() -> Iterator[Finding]:
    """What torch can compute on; torch is imported only where it is installed."""
    has_card = os.path.exists(DRIVER)
    if util.find_spec("torch") is None:
        seen = "a card of NVIDIA" if has_card else "no card of NVIDIA"
        told = f"torch is not installed ({seen})"
        yield Finding("GPU", "note", told, f"to train: pip install '{PACKAGE}[{TRAIN}]'")
        return
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
            told = f"{card.name}, {memory_text(card.total_memory)}, {precision}"
            yield Finding(f"GPU {number}", "ok", told)
    elif has_card:
        kind = "was built without CUDA" if torch.version.cuda is None else "cannot use it"
        yield Finding(
            "GPU",
            "problem",
            f"there is a card of NVIDIA, and torch {torch.__version__} {kind}",
            "install torch for the driver's CUDA version (pytorch.org), or update the driver (nvidia-smi)",
        )
    else:
        told = f"none; torch {torch.__version__} computes on the CPU"
        yield Finding("GPU", "note", told, "small models train on a CPU: --recipe demo")
