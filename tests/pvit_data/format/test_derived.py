"""What a licence says of annotations made from pictures: an optional declaration, which older files lack."""

import json
from pathlib import Path
from typing import Any

import pytest

from pvit_converters import ConverterOptions, registry
from pvit_converters.engine.run import Job, convert
from pvit_converters.simulate import simulate
from pvit_data.errors import FormatError, UsageError
from pvit_data.format.manifest import BaseRef, LayerSpec, SourceSpec, dump, parse
from pvit_data.format.receipts import read_source, store_source
from pvit_data.sample.rights import Rights
from pvit_data.storage.storage import Storage


def test_what_is_not_declared_is_not_stored() -> None:
    plain = SourceSpec(name="mine")
    assert b"derived" not in dump(plain)
    assert (plain.derived, plain.derived_clause) == ("unknown", "")
    told = plain.model_copy(update={"derived": "no", "derived_clause": "The licence forbids it."})
    again = parse(SourceSpec, json.loads(dump(told)), "here")
    assert (again.derived, again.derived_clause) == ("no", "The licence forbids it.")
    with pytest.raises(FormatError, match="derived"):
        parse(SourceSpec, {"name": "mine", "derived": "perhaps"}, "here")


def test_a_conversion_says_it_and_continues_an_older_one(tmp_path: Path) -> None:
    simulate("diving48", tmp_path / "raw", samples=2, preset="tiny")
    kind = registry.load("diving48")
    options = kind.Options()
    assert isinstance(options, ConverterOptions)
    job = Job(kind, tmp_path / "raw", str(tmp_path / "out"), options, workers=1, max_failed=1.0)
    convert(job)
    stored = json.loads((tmp_path / "out/manifest.json").read_text())["sources"]["diving48"]["spec"]
    assert "derived" not in stored
    assert stored["derived_clause"] == kind.info.derived_clause
    storage = Storage(str(tmp_path / "out"))
    spec = read_source(storage, "diving48")
    older = {k: v for k, v in json.loads(dump(spec)).items() if not k.startswith("derived")}
    (tmp_path / "out/diving48/receipts/source.json").write_text(json.dumps(older))
    store_source(storage, spec)
    assert read_source(storage, "diving48").derived_clause == kind.info.derived_clause
    convert(job)


def test_a_layer_begun_before_bases_told_their_licence_goes_on(tmp_path: Path) -> None:
    """What the older declaration does not say is added; another converter of the base is still refused."""
    storage, told = Storage(tmp_path), {"source": "clips", "converter": "mine", "converter_version": "1"}
    store_source(storage, LayerSpec(name="later", base=BaseRef(**told)))
    newer = LayerSpec(name="later", base=BaseRef(**told, licence="CC-BY-SA-3.0", redistributable=True))
    store_source(storage, newer)
    assert read_source(storage, newer.folder) == newer
    for other in ({"converter_version": "2"}, {"licence": "CC0-1.0"}):
        with pytest.raises(UsageError, match="has source 'later' with base = "):
            store_source(storage, newer.model_copy(update={"base": newer.base.model_copy(update=other)}))


@pytest.mark.parametrize("more", [{"derived": "yes"}, {"rights": {"rgb": Rights("CC0-1.0", "yes")}}])
def test_what_is_written_by_hand_is_not_declared_anew_by_who_adds_to_it(more: dict[str, Any], tmp_path: Path) -> None:
    """What a declaration leaves out is the default there; of what a converter made, an older one may lack it."""
    storage, (key,) = Storage(tmp_path), more
    spec = SourceSpec(name="clips", licence="Theirs (no redistribution)")
    store_source(storage, spec)
    with pytest.raises(UsageError, match=f"with {key} = "):
        store_source(storage, spec.model_copy(update=more))
    assert read_source(storage, "clips") == spec
    made = SourceSpec(name="made", converter="mine")
    store_source(storage, made)
    store_source(storage, made.model_copy(update=more))
    assert read_source(storage, "made") == made.model_copy(update=more)
