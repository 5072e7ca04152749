"""What `pvit_converters` exports: each name is there, documented, light, and nothing else shows."""

import subprocess
import sys

import pvit_cli
import pvit_converters
import pvit_converters.simulate


def test_all_and_dir_agree() -> None:
    assert dir(pvit_converters) == pvit_converters.__all__
    assert {"Converter", "ConverterOptions", "Item", "Listing", "SourceInfo", "Unwanted"} <= set(dir(pvit_converters))
    assert pvit_cli.__all__ == []


def test_every_name_has_a_docstring() -> None:
    for module in (pvit_converters, pvit_converters.simulate):
        for name in module.__all__:
            thing = getattr(module, name)
            assert not callable(thing) or name == "Progress" or thing.__doc__, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(pvit_converters, "registry_of_everything")


def test_importing_a_converter_needs_no_heavy_library() -> None:
    heavy = ["torch", "av", "h5py", "dask", "distributed", "datasets", "webdataset", "scipy"]
    code = "import sys; from pvit_converters import Converter, read_clip, read_image, read_hdf5, MatFile\n"
    code += f"print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
