"""What a user must know about SomethingElse before converting it."""

from dataclasses import replace

from pvit_converters.base import SourceInfo

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
)

NO_EMPTY_BOXES = replace(
    BOXES,
    name="ssv2-no-empty-boxes",
    title="Something-Something V2 without the videos that SomethingElse has no boxes of",
    tree="""ROOT/
  bounding_box_smthsmth_part1.json ... part4.json         (any *.json of that form, or bbox_jsons/1.json ...)
  empty_bbox_train.json, empty_bbox_val.json              (or these lists alone, from data/ssv2 of eladb3/SViT)""",
    produces=(),
)
