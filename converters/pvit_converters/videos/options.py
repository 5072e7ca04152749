"""What a user can say about videos of their own."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions

TABLES = ("table", "train", "val", "test")
"""Options that name a table; those after the first are the splits of their rows."""
COLUMNS = ("path", "label", "split", "group", "start", "end")


class VideosOptions(ConverterOptions):
    """Options of the converter of one's own videos."""

    raw: ClassVar[frozenset[str]] = frozenset({*TABLES, "classes"})

    name: str = Field(
        "", description="what the source is called from now on: 1 to 40 of a-z, 0-9, _ and -"
    )
    table: Path | None = Field(
        None,
        description="table with a row per clip: CSV, TSV, JSON, JSONL, Parquet, or a list of 'path label' lines",
    )
    train: Path | None = Field(None, description="the same, of the training videos")
    val: Path | None = Field(None, description="the same, of the validation videos")
    test: Path | None = Field(None, description="the same, of the test videos")
    separator: str = Field(
        "",
        description="between the columns of tables and lists: ',', ';', ' ', tab; found if left out",
    )
    path_column: str = Field("", description="column with the paths; else the one called path")
    label_column: str = Field("", description="column with the labels; else the one called label")
    split_column: str = Field("", description="column with train, val or test; else split")
    group_column: str = Field(
        "",
        description="column with what splits must not tear apart, a person or a scene; else group",
    )
    start_column: str = Field("", description="column where in the video a clip starts; else start")
    end_column: str = Field("", description="column where it ends; else end")
    unit: Literal["seconds", "frames"] = Field(
        "seconds",
        description="of start and end: seconds (or hours:minutes:seconds), or frames from 0; the end is not in it",
    )
    label_separator: str = Field(
        "",
        description="between several labels in one cell, such as '|'; each is then a label of the clip",
    )
    classes: Path | None = Field(
        None,
        description="file with a class name per line, 'number name' lines, or JSON; orders the classes",
    )
    labels: Literal["auto", "names", "ids"] = Field(
        "auto",
        description="labels that are numbers: names of classes, or class ids from 0 (as in --classes)",
    )
    paths: Literal["auto", "root", "table"] = Field(
        "auto", description="where paths in a table begin: in ROOT, or in the folder of the table"
    )
    layout: Literal["auto", "classes", "splits"] = Field(
        "auto",
        description="without a table: the folders in ROOT are classes, or those called train, val, test splits",
    )
    label_folder: Literal["auto", "first", "last", "none"] = Field(
        "auto",
        description="without a table, of several folders above a file: which one is its class",
    )
    copy_video: bool = Field(False, description="copy every video as it is, whatever its codec")
    licence: str = Field("", description="licence of the videos, such as CC-BY-4.0")
    redistributable: bool = Field(False, description="the converted videos may be published")
