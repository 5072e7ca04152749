"""What is said of videos of one's own; name, licence and whether they may be published come from the options."""

from __future__ import annotations

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="videos",
    title="your own videos and pictures",
    licence="as you say",
    redistributable=False,
    citation="",
    obtain=(
        "Any folder with MP4, MOV, WebM, MKV or AVI files, or JPEG and PNG pictures: sorted into folders by class, or "
        "with a table (CSV, TSV, JSON, JSONL, Parquet) or a list ('path label' per line) that says what each file shows"
    ),
    tree="""ROOT/
  CLASS/any_name.mp4                     a folder per class, or
  train/CLASS/any_name.mp4               one more above it per split (train, val, test), or
  anything/any_name.mp4                  any folders, with --table FILE whose columns are path, label, split, group,
                                         start, end (path is needed), or one list each: --train FILE --val FILE""",
    produces=("rgb", "action"),
    role="downstream",
    spaces={"action": "NAME (your classes)"},
    verified=(
        "Tested on files that FFmpeg and others' encoders made, with odd ones among them, sorted into folders, in "
        "tables, and in lists of other toolkits. There is no release to compare with."
    ),
)
