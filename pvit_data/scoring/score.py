"""`score`: predictions of any program by the official metrics, without a model.

result = score("predictions.parquet", "topk", ScoreOptions(protocol=find_protocol("topk", "ssv2"), truth="val.json"))
"""

from __future__ import annotations

from pathlib import Path

from pvit_data.errors import UsageError
from pvit_data.scoring.box_scores import score_boxes
from pvit_data.scoring.class_scores import score_classes
from pvit_data.scoring.clip_scores import score_clips
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.passport import Result
from pvit_data.words import plain_url

OF_METRICS = {
    ("ava",): ("excluded", "no_excluded", "label_map", "no_cap", "threshold"),
    ("topk", "multilabel"): ("classes",),
}
"""Options that only some metrics know."""


def score(predictions: str | Path, metric: str, how: ScoreOptions) -> Result:
    """Scores a file of predictions.

    Args:
        predictions: of one of the forms of `pvit_data.scoring.files`.
        metric: `"topk"`, `"multilabel"`, `"ava"`, `"pnr"` or `"oscc"`.
        how: protocol, truth and the rest.

    Raises:
        UsageError: if something has to be said by an option, or an option means nothing here.
        FormatError: if files are damaged, or do not belong together.
    """
    path = Path(predictions)
    require_sense(path, metric, how)
    if metric == "ava":
        return score_boxes(path, how)
    if metric in ("pnr", "oscc"):
        return score_clips(path, metric, how)
    return score_classes(path, metric, how)


def require_sense(predictions: Path, metric: str, how: ScoreOptions) -> None:
    """Refuses options that mean nothing to a metric, and a folder as predictions.

    Raises:
        UsageError: naming the first of them.
    """
    for metrics, names in OF_METRICS.items():
        told = {name: getattr(how, name) for name in names}
        given = [name for name, value in told.items() if value is not None and value is not False]
        if given and metric not in metrics:
            raise UsageError(
                f"--{given[0].replace('_', '-')} means nothing to --metric {metric}, only to {' and '.join(metrics)}"
            )
    if how.train_list is not None and not how.diagnose:
        raise UsageError(
            "--train-list is only looked into for what training saw too: say --diagnose (or --strict)"
        )
    for option in ("source", "split"):
        is_file = how.truth is None or ("://" not in how.truth and Path(how.truth).is_file())
        if getattr(how, option) is not None and is_file:
            where = (
                "without --truth there are none" if how.truth is None else f"{how.truth} is a file"
            )
            raise UsageError(f"--{option} is of converted shards, and {where}: leave it out")
    if predictions.is_dir():
        raise UsageError(
            f"{plain_url(str(predictions))}: is a folder; name the file with the predictions"
        )
