"""The page of results: what the repository holds, and nothing that has no passport."""

import json
from pathlib import Path

import pytest

from pvit_cli.model import main
from pvit_model.recipes.loading import row_names
from pvit_model.reporting.results import collect, page

DOCS = Path(__file__).parents[3] / "docs"
PASSPORT = {
    "passport": 1, "metric": "topk", "protocol": "ssv2", "top1": 0.5012, "top5": 0.75,
    "list": {"name": "validation", "n": 24777, "of": 24777}, "views": {"frames": 16, "clips": 1, "crops": 3},
    "model": {"name": "run", "recipe": "mt", "downstream": "ssv2", "changed": ["optim.epochs"]},
}  # fmt: skip


def test_the_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """If not: pvit results docs/results > docs/results.md."""
    assert main(["results", str(DOCS / "results")]) == 0
    assert capsys.readouterr().out == (DOCS / "results.md").read_text()


def test_a_row_is_filled_by_its_passport_only(tmp_path: Path) -> None:
    (tmp_path / "mt.json").write_text(json.dumps(PASSPORT))
    lines = page(collect(tmp_path)).splitlines()
    (mine,) = [line for line in lines if "mt.json" in line]
    assert mine == (
        "| ssv2/mt | top1 68.4, top5 91.4 | top1 50.1, top5 75.0 | validation, N = 24,777; 16 x 1 x 3; "
        "changed: optim.epochs | [mt.json](results/mt.json) |"
    )
    assert f"1 of {len(row_names())} rows of published tables have a result" in "\n".join(lines)
    assert sum(line.endswith("|  |  |  |") for line in lines) >= len(row_names()) - 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PASSPORT | {"model": {"recipe": "mine", "downstream": "ssv2"}}, "of recipe 'mine' on 'ssv2' is no row"),
        (PASSPORT | {"model": {"recipe": "mt", "downstream": "other"}}, "of recipe 'mt' on 'other' is no row"),
        (PASSPORT | {"model": {}}, "(none told)"),
        (PASSPORT | {"model": {"backbone": "mvitv2_s", "name": "x.pyth"}}, "of the weights 'x.pyth' ('mvitv2_s')"),
        ({"name": "somebody's package"}, "is no result"),
    ],
)
def test_files_that_are_no_result_of_a_row_are_left_out_and_named(
    content: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    (tmp_path / "y.json").write_text("{")
    (tmp_path / "z.json").write_text(json.dumps(PASSPORT))
    assert main(["results", str(tmp_path)]) == 0
    shown, told = capsys.readouterr()
    assert "| [z.json](results/z.json) |" in shown
    first, second = told.splitlines()
    assert first.startswith(f"left out: {tmp_path}/x.json: ")
    assert said in first
    assert "None" not in first
    assert second.startswith(f"left out: {tmp_path}/y.json")


def test_results_of_a_row_stand_below_each_other(tmp_path: Path) -> None:
    """Two seeds, or two lists; each with its list, its number and its file."""
    other = PASSPORT | {"top1": 0.5112, "list": {"name": "no-empty-boxes", "n": 22660, "of": 22660}}
    for name, values in (("a", PASSPORT), ("b", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    lines = [line for line in page(collect(tmp_path)).splitlines() if ".json)" in line]
    assert [line.split(" | ")[2:4] for line in lines] == [
        ["top1 50.1, top5 75.0", "validation, N = 24,777; 16 x 1 x 3; changed: optim.epochs"],
        ["top1 51.1, top5 75.0", "no-empty-boxes, N = 22,660; 16 x 1 x 3; changed: optim.epochs"],
    ]
    assert f"1 of {len(row_names())} rows" in page(collect(tmp_path))


def of_samples(**evaluated: object) -> dict[str, object]:
    facts = {"source": "ssv2", "split": "val", "clips": 24777, "of": 24777} | evaluated
    return PASSPORT | {"model": {"recipe": "mt", "downstream": "ssv2", "evaluated": facts}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            of_samples(split="train"),
            "x.json: was measured on training samples (validation), ssv2/mt is about held-out",
        ),
        (PASSPORT | {"list": {"name": "ssv2 train", "n": 3, "of": 3}}, "on training samples (ssv2 train)"),
        (PASSPORT | {"list": {"name": "fho_oscc-pnr_train.json", "n": 3, "of": 3}}, "on training samples"),
        (of_samples(overlap={"ssv2": 23}), "these are training samples of the network: 23 of 'ssv2'"),
        (of_samples(source="ssv2-mine"), "x.json: was measured on 'ssv2-mine', ssv2/mt is about 'ssv2'"),
        (of_samples(boxes_of=None), "x.json: the persons of the ground truth itself were scored"),
        (PASSPORT | {"top1": None, "top5": None, "mAP": 0.3}, "has none of the numbers of ssv2/mt: top1, top5"),
    ],
)
def test_what_is_measured_on_training_samples_is_no_result(
    content: dict[str, object], said: str, tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    found = collect(tmp_path)
    assert said in found.left_out[0]
    assert not any(row.results for row in found.recipes.values())


def test_a_part_of_a_list_is_said(tmp_path: Path) -> None:
    for name, values in (
        ("a", PASSPORT | {"list": {"name": "validation", "n": 24770, "of": 24777}}),
        ("b", of_samples(clips=200)),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    text = page(collect(tmp_path))
    assert "| validation, N = 24,770 of 24,777; 16 x 1 x 3" in text
    assert "| validation, N = 24,777 (200 of 24,777 clips); 16 x 1 x 3" in text


def on(tmp_path: Path, *passports: dict[str, object]) -> list[str]:
    for number, passport in enumerate(passports):
        (tmp_path / f"{number} (a).json").write_text(json.dumps(passport))
    lines = [line.split(" | ") for line in page(collect(tmp_path)).splitlines() if ".json" in line]
    assert all(f"[{n} (a).json](results/{n}%20%28a%29.json) |" in line[4] for n, line in enumerate(lines))
    return [line[3].partition("; ")[2] for line in lines]


def test_what_is_not_as_the_row_means_it_stands_beside_the_number(tmp_path: Path) -> None:
    def of(**facts: object) -> dict[str, object]:
        return PASSPORT | {"model": {"recipe": "mt", "downstream": "ssv2", "changed": [], **facts}}

    exported = {"recipe": "mt", "downstream": "ssv2"}
    assert on(
        tmp_path, of(), of(start="k400.pyth", changed=["clip.rate"]), of(unfinished="step 9 of 20"),
        PASSPORT | {"model": exported}, of() | {"views": {"frames": 16, "clips": 1, "crops": 1, "whole": True}},
    ) == [
        "16 x 1 x 3", "16 x 1 x 3; from k400.pyth; changed: clip.rate", "16 x 1 x 3; not finished: step 9 of 20",
        "16 x 1 x 3; changed: not known", "16 x 1 x whole frames",
    ]  # fmt: skip


def test_boxes_and_how_they_are_counted_are_said(tmp_path: Path) -> None:
    facts = {"recipe": "ava/mt", "downstream": "ava", "changed": [], "evaluated": {"source": "ava", "boxes_of": "mine"}}
    passport = PASSPORT | {"metric": "ava", "protocol": "pyslowfast", "mAP": 0.3, "model": facts}
    passport |= {"detections": {"threshold": 0.8}}
    assert on(tmp_path, passport, passport | {"protocol": "mmaction2"}) == [
        "16 x 1 x 3; boxes of mine from score 0.8",
        "16 x 1 x 3; boxes of mine from score 0.8; counted as mmaction2",
    ]


def test_the_same_result_stands_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(json.dumps(PASSPORT))
    assert collect(tmp_path).left_out == [f"{tmp_path}/b.json: is the same result as a.json"]


def test_a_file_of_weights_is_about_its_own_data_set(tmp_path: Path) -> None:
    facts = {"backbone": "mvitv2_s", "name": "MViTv2_S_16x4_ssv2_f308341823.pyth"}
    for number, source in enumerate(("ssv2", "something-else-compositional")):
        passport = PASSPORT | {"model": facts | {"evaluated": {"source": source}}}
        (tmp_path / f"{number}.json").write_text(json.dumps(passport))
    found = collect(tmp_path)
    assert sum(len(row.results) for row in found.weights.values()) == 1
    assert found.left_out[0].endswith(
        "1.json: was measured on 'something-else-compositional', MViTv2_S_16x4_ssv2_f308341823.pyth (mvitv2_s) is "
        "about 'ssv2'"
    )
