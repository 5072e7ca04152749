"""What a sample takes along from where it was read never gets freer by being written again."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data import Boxes, Sample, ShardWriter
from pvit_data.errors import LicenceError
from pvit_data.format.manifest import SourceSpec, read_manifest
from pvit_data.lineage.fields import lineage_of
from pvit_data.publishing.guard import Consent, require_allowed
from pvit_data.sample.rights import Rights, is_open
from pvit_data.storage.storage import Storage

CC: dict[str, Any] = {"licence": "CC-BY-4.0", "redistributable": True}
MIT: dict[str, Any] = {"licence": "MIT", "redistributable": True}
CLOSED = "Theirs (no redistribution)"
VENDOR = Rights("Vendor", "no", "They said no.")
DEPTH = np.ones((2, 8, 8), np.float32)
VERBS = {"action": pvit_data.LabelSpace("verbs", ("open", "shut"))}


def made(folder: Path, **declared: Any) -> pvit_data.ShardDataset:
    with ShardWriter(folder, SourceSpec(**{"name": "base", "spaces": VERBS, **declared})) as writer:
        boxes = Boxes([[0.1, 0.1, 0.5, 0.5]])
        rgb = np.zeros((2, 8, 8, 3), np.uint8)
        meta = {"label": "Opening a jar", "fps": 12}
        writer.write(Sample(key="a", rgb=rgb, fps=2, boxes=boxes, action=1, meta=meta))
    return pvit_data.open(folder)


def written(out: Path, name: str, samples: Iterable[Sample], **declared: Any) -> dict[str, tuple[str, str]]:
    """Verdict and licence of each field of what is written."""
    with ShardWriter(out, name, spaces=VERBS, **declared) as writer:
        for sample in samples:
            writer.write(sample)
    lines = lineage_of(read_manifest(Storage(out)))
    return {line.field: (line.public, line.licence) for line in lines if line.name == name}


def test_a_copied_field_keeps_its_own_rights(tmp_path: Path) -> None:
    """Whatever is declared of it, in a copy of a copy, and in a layer without a word of its own."""
    base = made(tmp_path / "base", rights={"boxes": VENDOR}, **CC)
    for name in ("once", "twice"):
        found = written(tmp_path / name, "copy", base, **CC)
        assert (found["rgb"][0], found["record"][0], found["boxes"]) == ("yes", "yes", ("no", "CC-BY-4.0; Vendor"))
        base = pvit_data.open(tmp_path / name)
    free = SourceSpec(name="free", spaces=VERBS, rights={"boxes": Rights("MIT", "yes")}, **CC)
    with ShardWriter(tmp_path / "free", free) as writer:
        writer.write(base[0])
    assert {f.field: f.public for f in lineage_of(read_manifest(Storage(tmp_path / "free")))}["boxes"] == "no"
    alone = [replace(base[0], boxes=None)]
    assert {public for public, _ in written(tmp_path / "none", "copy", alone, **CC).values()} == {"yes"}
    rows = [replace(s, rgb=None, action=None) for s in pvit_data.open(tmp_path / "base")]
    for name, declared in (("lay", MIT), ("plain", {})):
        found = written(tmp_path / "base", name, rows, base="base", **declared)
        assert found["boxes"][0] == "no"
        assert "Vendor" in found["boxes"][1]


def test_a_licence_of_its_own_is_not_lost(tmp_path: Path) -> None:
    """Nor is it asked for twice: where it is named, or asks nothing, or a layer has that of its base."""
    base = made(tmp_path / "base", rights={"boxes": Rights("ODbL", "yes", "Theirs.")}, **CC)
    assert written(tmp_path / "a", "copy", base, **CC)["boxes"] == ("unknown", "CC-BY-4.0; ODbL")
    both = {"licence": "CC-BY-4.0; ODbL", "redistributable": True}
    assert {public for public, _ in written(tmp_path / "b", "copy", base, **both).values()} == {"yes"}
    rows = [replace(s, rgb=None, boxes=None) for s in base]
    assert written(tmp_path / "base", "mine", rows, base="base", **MIT)["action"] == ("unknown", "MIT; CC-BY-4.0")
    rows = [replace(s, rgb=None, action=None) for s in made(tmp_path / "c", **CC)]
    assert written(tmp_path / "c", "plain", rows, base="base")["boxes"] == ("yes", "CC-BY-4.0")
    nothing = made(tmp_path / "d", licence="CC0-1.0", redistributable=True)
    assert written(tmp_path / "e", "copy", nothing, **CC)["boxes"] == ("yes", "CC-BY-4.0")


@pytest.mark.parametrize("licence", [CLOSED, "unknown (see example.org)", ""])
def test_the_same_words_give_no_more_than_they_gave(licence: str, tmp_path: Path) -> None:
    base = made(tmp_path / "base", licence=licence)
    public = "no" if licence == CLOSED else "unknown"
    free = {"licence": licence, "redistributable": True}
    assert {verdict for verdict, _ in written(tmp_path / "c", "copy", base, **free).values()} == {public}
    (tmp_path / "stream/base").mkdir(parents=True)
    (tmp_path / "stream/base/train-0.tar").write_bytes((tmp_path / "base/base/train-00000.tar").read_bytes())
    stream = pvit_data.open(tmp_path / "stream")
    assert {verdict for verdict, _ in written(tmp_path / "s", "copy", stream, **free).values()} == {public}
    assert not is_open(SourceSpec(name="copy", **free)) or public == "unknown"
    owned = [replace(sample, licence="CC-BY-4.0") for sample in base]  # its owner says more
    assert {verdict for verdict, _ in written(tmp_path / "own", "copy", owned, **CC).values()} == {"yes"}


def test_what_a_licence_says_of_annotations_goes_along_with_the_pictures(tmp_path: Path) -> None:
    base = made(tmp_path / "base", derived="no", derived_clause="Nothing of it.", **CC)
    written(tmp_path / "copy", "copy", base, **CC)
    own = [Sample(key="a", depth=DEPTH)]
    assert written(tmp_path / "copy", "lay", own, base="copy", **MIT)["depth"][0] == "no"
    with pytest.raises(LicenceError, match="Nothing of it"):
        require_allowed(read_manifest(Storage(tmp_path / "copy")), Consent(confirmed=("lay",)))


def test_a_layer_of_its_makers_own_fields_is_free_and_repeats_no_meta(tmp_path: Path) -> None:
    """Over pictures and labels that are not: nothing of these is in it."""
    base = made(tmp_path / "base", licence=CLOSED, derived="yes", derived_clause="Keys may be.")
    rows = [replace(s, rgb=None, boxes=None, action=None, depth=DEPTH, meta={**s.meta, "by": 7}) for s in base]
    found = written(tmp_path / "base", "lay", rows, base="base", **MIT)
    assert found == {"record": ("yes", "MIT"), "depth": ("yes", "MIT")}
    rows = [replace(row, depth=None, meta={**row.meta, "fps": 3}) for row in rows]
    found = written(tmp_path / "base", "few", rows, base="base", kind="protocol", **MIT)
    assert found == {"record": ("yes", "MIT")}
    for name in ("lay", "few"):
        text = (tmp_path / f"base/layers/{name}/train-00000.tar").read_bytes()
        assert b"Opening" not in text
        assert b"by" in text
    joined = pvit_data.open(tmp_path / "base", source="few", layers=["lay"])[0]
    assert joined.meta == {"label": "Opening a jar", "fps": 3, "by": 7, "layers": {"lay": {"by": 7}}}
    for name, row in (("boxed", replace(base[0], rgb=None, action=None)), ("told", replace(base[0], rgb=None))):
        kind = {"kind": "protocol"} if name == "told" else {}
        row = replace(row, boxes=None) if kind else row
        assert {v for v, _ in written(tmp_path / "base", name, [row], base="base", **kind, **MIT).values()} == {"no"}


def test_meta_of_another_source_stays_in_a_layer_and_so_does_its_licence(tmp_path: Path) -> None:
    theirs = made(tmp_path / "theirs", name="theirs", licence=CLOSED, derived="yes")[0]
    made(tmp_path / "base", **CC)
    row = replace(theirs, rgb=None, boxes=None, action=None, depth=DEPTH)
    found = written(tmp_path / "base", "lay", [row], base="base", **CC)
    assert {public for public, _ in found.values()} == {"no"}
    joined = pvit_data.open(tmp_path / "base", source="base", layers=["lay"])[0]
    assert joined.meta["layers"] == {"lay": json.loads(theirs.origins[0].meta)}
    assert written(tmp_path / "copy", "copy", [joined], **CC)["depth"][0] == "no"


def test_a_sample_among_others_is_under_its_own_words(tmp_path: Path) -> None:
    """One that is free stays so, when it is copied out of a source that holds others, too."""
    samples = [Sample(key=k, num_frames=1, licence=t) for k, t in (("a", ""), ("b", CLOSED), ("c", "Theirs"))]
    assert written(tmp_path / "mixed", "mixed", samples, **CC)["record"][0] == "no"
    mixed = {sample.key: sample for sample in pvit_data.open(tmp_path / "mixed")}
    for key, public in (("a", "yes"), ("b", "no"), ("c", "unknown")):
        declared = {"licence": mixed[key].licence, "redistributable": True}
        assert written(tmp_path / key, "copy", [mixed[key]], **declared)["record"][0] == public
