"""Extremities that SMPL's 24 joints lack, read off its mesh: head, hand tips, thumbs.

The mesh is posed by `smplx` from the user's own model files, laid onto the given joints, and its vertices are named by
`smplx` (vertex ids of finger tips and ears). Model files must be `.npz`: the official ones are pickles, which execute
code when they are opened and are refused.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from pvit_converters.raw.files import regular_path
from pvit_data.errors import SourceError, UsageError

CHUNK = 64
VERTICES = 6890
POINTS = ("Head", "HandTipLeft", "ThumbLeft", "HandTipRight", "ThumbRight")
"""The Kinect joints that the mesh gives, in the order of `extremities`."""

MAX_RESIDUAL = 0.03
"""Metres (root mean square) by which the posed joints may miss the given ones."""

_VERTICES = {
    "Head": (583, 4071),  # both ears: their middle is the middle of the head
    "HandTipLeft": (2445,),
    "ThumbLeft": (2746,),
    "HandTipRight": (5905,),
    "ThumbRight": (6191,),
}
"""smplx, vertex_ids.py, entry 'smplh', which has SMPL's topology."""

_SHAPES = {
    "v_template": (VERTICES, 3),
    "shapedirs": (VERTICES, 3, None),
    "posedirs": (VERTICES, 3, 207),
    "J_regressor": (24, VERTICES),
    "weights": (VERTICES, 24),
    "kintree_table": (2, 24),
    "f": (None, 3),
}


def find_model(folder: Path, is_female: bool) -> Path:
    """The model file of a gender.

    Raises:
        UsageError: if it is not there; the message says how to make one of a pickle.
    """
    name = f"SMPL_{'FEMALE' if is_female else 'MALE'}.npz"
    path = folder / name
    if not path.is_file():
        raise UsageError(
            f"--smpl-models {folder}: no {name} with the arrays {', '.join(_SHAPES)}. The official files "
            "are pickles, which we don't open: load one yourself and store its arrays with numpy.savez"
        )
    return path


@lru_cache(maxsize=2)
def _model(path: Path) -> Any:
    try:
        import smplx
        from smplx.utils import Struct
    except ImportError as error:
        raise UsageError(
            "--smpl-models needs the extra [smpl]: pip install 'pvit-toolkit[smpl,train]'"
        ) from error
    arrays = _arrays(path)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how many shapes it has
        return smplx.SMPL(
            str(path),
            data_struct=Struct(**arrays),
            create_betas=False,
            create_global_orient=False,
            create_body_pose=False,
            create_transl=False,
        )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    out = {}
    try:
        with np.load(regular_path(path), allow_pickle=False) as file:
            for name, shape in _SHAPES.items():
                array = file[name]
                fits = len(shape) == array.ndim and all(
                    n in (None, m) for n, m in zip(shape, array.shape, strict=True)
                )
                if not fits or array.dtype.kind not in "fiu":
                    raise ValueError(f"'{name}' has {array.dtype} {array.shape}, expected {shape}")
                out[name] = array
    except (
        SourceError,
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UsageError(f"--smpl-models {path}: not a file of SMPL arrays ({error})") from error
    return out


def extremities(
    path: Path,
    pose: Float[np.ndarray, "t 72"],
    betas: Float[np.ndarray, "10"],
    joints: Float[np.ndarray, "t 24 3"],
) -> tuple[Float32[np.ndarray, "t 5 3"], float]:
    """The points of `POINTS`, in the axes of the joints.

    Args:
        path: model file, see `find_model`.
        pose: axis-angle of all 24 joints, the root first.
        betas: shape.
        joints: where the 24 joints are, metres.

    Returns:
        The points, and the root mean square in metres by which the posed joints miss the given ones after each frame
        was moved rigidly onto them.

    Raises:
        UsageError: if `smplx` or torch is not there, or the file is no model.
        SourceError: if a pose is not finite.
    """
    import torch

    if not (np.isfinite(pose).all() and np.isfinite(betas).all() and np.isfinite(joints).all()):
        raise SourceError("SMPL pose, shape or joints are not finite", reason="bad-pose")
    model = _model(path)
    out = np.empty((len(pose), len(POINTS), 3), np.float32)
    misses = []
    shape = torch.as_tensor(betas[None], dtype=torch.float32)
    for start in range(0, len(pose), CHUNK):
        part = torch.as_tensor(
            np.ascontiguousarray(pose[start : start + CHUNK]), dtype=torch.float32
        )
        with torch.no_grad():
            posed = model(
                betas=shape[:, : model.num_betas].expand(len(part), -1),
                global_orient=part[:, :3],
                body_pose=part[:, 3:],
                transl=torch.zeros(len(part), 3),
            )
        mesh, skeleton = posed.vertices.double().numpy(), posed.joints[:, :24].double().numpy()
        given = joints[start : start + CHUNK].astype(np.float64)
        turn, move = rigid(skeleton, given)
        misses.append(((skeleton @ turn.transpose(0, 2, 1) + move - given) ** 2).sum(-1))
        points = np.stack([mesh[:, list(_VERTICES[name])].mean(1) for name in POINTS], 1)
        out[start : start + CHUNK] = points @ turn.transpose(0, 2, 1) + move
    return out, float(np.sqrt(np.concatenate(misses).mean())) if misses else 0.0


def rigid(
    a: Float64[np.ndarray, "t n 3"], b: Float64[np.ndarray, "t n 3"]
) -> tuple[Float64[np.ndarray, "t 3 3"], Float64[np.ndarray, "t 1 3"]]:
    """The rotations and translations that move the points a best onto b: b ~ a R^T + t (Kabsch)."""
    middle_a, middle_b = a.mean(1, keepdims=True), b.mean(1, keepdims=True)
    u, _, vt = np.linalg.svd((b - middle_b).transpose(0, 2, 1) @ (a - middle_a))
    sign = np.linalg.det(u @ vt)
    u[:, :, 2] *= sign[:, None]
    turn = u @ vt
    return turn, middle_b - middle_a @ turn.transpose(0, 2, 1)
