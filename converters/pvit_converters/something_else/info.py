"""What a user must know about SomethingElse before converting it."""

from dataclasses import replace

from pvit_converters.base import SourceInfo
from pvit_data.sample.rights import RECORD, Rights

INFO = SourceInfo(
    name="something-else",
    title="SomethingElse, splits of Something-Something V2",
    licence="MIT (split files); labels are under the Something-Something-V2 research licence",
    redistributable=False,
    citation="""@inproceedings{materzynska2020something,
  title = {Something-Else: Compositional Action Recognition with Spatial-Temporal Interaction Networks},
  author = {Materzynska, Joanna and Xiao, Tete and Herzig, Roei and Xu, Huijuan and Wang, Xiaolong and Darrell, Trevor},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2020}
}""",
    obtain=(
        "Convert Something-Something V2 first and give it with --base. ROOT is a clone of "
        "https://github.com/joaanna/something_else; the boxes are linked there, four files "
        "bounding_box_smthsmth_part1.json to part4.json"
    ),
    tree="""ROOT/
  code/dataset_splits/compositional/{train,validation,labels}.json
  code/dataset_splits/compositional_shuffled/..., compositional_oneobject/...
  code/dataset_splits/fewshot/base_{training_set,validation_set,labels}.json
  code/dataset_splits/fewshot/finetune_{5shot_training,5shot_validation,10shot_train,10shot_validation,labels}.json
                                                          (or without code/dataset_splits/)""",
    produces=("action",),
    role="downstream",
    derived="yes",
    derived_clause=(
        "As for Something-Something V2, whose pictures it names (inferred): a layer may hold keys, splits and "
        "predictions of one's own."
    ),
    rights={
        RECORD: Rights(
            licence="MIT",
            public="yes",
            why="The lists of videos are released with their authors' code, under MIT.",
        ),
        "action": Rights(
            licence="Something-Something-V2 research licence (no redistribution)",
            public="no",
            why="The labels are those of Something-Something V2, whose licence forbids to pass them on (inferred).",
        ),
    },
    spaces={
        "action": "ssv2 (compositional, 174 classes), or of the setting (base 88, 5shot and 10shot 86, oneobject 166)"
    },
    verified=(
        "Checked on released files: all lists of classes, the few-shot training lists (430 and 860 videos), the base "
        "validation list (12,467) and the one-object training list. The compositional lists and the few-shot "
        "validation lists were not seen: these are tested on simulated ones."
    ),
)

BOXES = replace(
    INFO,
    name="something-else-boxes",
    title="SomethingElse, boxes of hands and objects in Something-Something V2",
    licence="not stated by its authors; made from Something-Something-V2 (research licence)",
    tree="""ROOT/
  bounding_box_smthsmth_part1.json ... part4.json         (any *.json of that form)
  bbox_jsons/1.json ...                                   (or one file per video)""",
    produces=("boxes",),
    rights={},
    derived="unknown",
    derived_clause="Its authors state no licence of the boxes.",
    spaces={"boxes": "something-else-boxes (object, hand)"},
    verified=(
        "Checked on the 13 videos, 555 records and 1,062 boxes that its authors show. These videos are 240 pixels "
        "high, and boxes are taken to be so everywhere, whatever size a copy has. The four released files were not "
        "seen: simulated ones have their form, and their traps."
    ),
)

NO_EMPTY_BOXES = replace(
    BOXES,
    name="ssv2-no-empty-boxes",
    title="Something-Something V2 without the videos that SomethingElse has no boxes of",
    tree="""ROOT/
  bounding_box_smthsmth_part1.json ... part4.json         (any *.json of that form, or bbox_jsons/1.json ...)
  empty_bbox_train.json, empty_bbox_val.json              (or these lists alone, from data/ssv2 of eladb3/SViT)""",
    produces=(),
    spaces={},
    derived=INFO.derived,
    derived_clause=INFO.derived_clause,
    verified=(
        "The counts of the lists (11,524 and 2,117) agree with those of the box files, 193,690 - 180,049; neither "
        "lists nor box files were seen. Tested on simulated ones."
    ),
)
