"""What a user must know about AVA before converting it."""

from pvit_converters.base import SourceInfo
from pvit_data.sample.rights import RECORD, Rights

_OF_AVA = Rights(
    licence="CC-BY-4.0",
    public="yes",
    why="Annotations of AVA are CC BY 4.0 as far as known (not verified).",
)

INFO = SourceInfo(
    name="ava",
    title="AVA v2.2 (spatio-temporal action detection)",
    licence="annotations CC-BY-4.0; movies of third parties (no redistribution)",
    redistributable=False,
    citation="""@inproceedings{gu2018ava,
  title = {AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions},
  author = {Gu, Chunhui and Sun, Chen and Ross, David A. and Vondrick, Carl and Pantofaru, Caroline and Li, Yeqing and
            Vijayanarasimhan, Sudheendra and Toderici, George and Ricco, Susanna and Sukthankar, Rahul and others},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2018}
}""",
    obtain=(
        "Movies: https://s3.amazonaws.com/ava-dataset/trainval/NAME for the names in ava_file_names_trainval_v2.1.txt; "
        "annotations: https://s3.amazonaws.com/ava-dataset/annotations/ava_v2.2.zip, unzipped into annotations/; "
        "boxes of a person detector: ava_annotations.tar of PySlowFast (person_box_67091280_iou90)"
    ),
    tree="""ROOT/
  videos/ID.{mp4,mkv,webm}        whole movies; or videos_15min/ID.mp4 (900 to 1801 s, as published commands cut them);
                                  or frames/ID/ID_000001.jpg, rawframes/ID/img_00001.jpg (30 per second from 900 s on)
  annotations/ava_{train,val}_v2.2.csv  ava_{train,val,test}_excluded_timestamps_v2.2.csv  ava_action_list_v2.2.pbtxt
  annotations/person_box_67091280_iou90/ava_detection_*.csv   (for train's seconds without ground truth, and layers)""",
    produces=("rgb", "boxes"),
    role="downstream",
    sampler="keyframe",
    derived="yes",
    derived_clause=(
        "Annotations CC BY 4.0 as far as known (not verified); the movies are of third parties, so that nothing "
        "of their pictures may be in a layer."
    ),
    rights={"boxes": _OF_AVA, RECORD: _OF_AVA},
    spaces={"boxes": "ava80 (80 actions, ids from 1; 60 are evaluated)"},
    verified=(
        "No released movie or annotation file was seen; rows and evaluated actions are as public code quotes "
        "them. The rule of the clock was compared with both published ffmpeg passes on numbered frames (24, 25, 29.97 "
        "and 30 per second: all frames; 23.976: nine in ten), which the tests do not repeat. Tested on simulated trees "
        "in the documented layouts."
    ),
)
