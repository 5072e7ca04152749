"""JPEG and PNG bytes."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8

Array = np.ndarray


def jpeg(image: UInt8[np.ndarray, "h w 3"], quality: int = 95) -> bytes:
    """JPEG bytes of an RGB image, 4:4:4."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def png(image: Array) -> bytes:
    """PNG bytes of an 8-bit RGB or grey, or a 16-bit grey image."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=3)
    return out.getvalue()
