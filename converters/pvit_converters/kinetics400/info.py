"""What a user must know about Kinetics-400 before converting it."""

from pvit_converters.base import SourceInfo
from pvit_data.sample.rights import RECORD, Rights

_OF_KINETICS = Rights(
    licence="CC-BY-4.0",
    public="yes",
    why="Annotations of Kinetics are CC BY 4.0 as far as known (not verified).",
)

INFO = SourceInfo(
    name="kinetics400",
    title="Kinetics-400",
    licence="videos: of those who uploaded them (no redistribution); annotations: CC BY 4.0, as far as known",
    redistributable=False,
    citation="""@article{kay2017kinetics,
  title = {The Kinetics Human Action Video Dataset},
  author = {Kay, Will and Carreira, Jo{\\~a}o and Simonyan, Karen and Zhang, Brian and Hillier, Chloe and
            Vijayanarasimhan, Sudheendra and Viola, Fabio and Green, Tim and Back, Trevor and Natsev, Paul and
            Suleyman, Mustafa and Zisserman, Andrew},
  journal = {arXiv preprint arXiv:1705.06950},
  year = {2017}
}""",
    obtain=(
        "https://github.com/cvdfoundation/kinetics-dataset: run k400_downloader.sh, then k400_extractor.sh, and give "
        "the folder k400 that they make; a copy sorted into class folders does as well"
    ),
    tree="""ROOT/
  annotations/{train,val,test}.csv                      columns label, youtube_id, time_start, time_end, split, is_cc
  train/ID_000417_000427.mp4  val/...  test/...         flat, as downloaded from CVDF, or in class folders:
                                                        train/wrapping present/..., videos_train/wrapping_present/...
  replacement/replacement_for_corrupted_k400/...        used instead of the videos of the same ids
  or lists: {train,val,test}.csv with lines 'path number', as for SlowFast and mmaction2""",
    produces=("rgb", "action"),
    role="downstream",
    sampler="dense",
    derived="yes",
    derived_clause=(
        "Annotations CC BY 4.0 as far as known (not verified); the videos are their uploaders', so that nothing "
        "of their pictures may be in a layer."
    ),
    rights={"action": _OF_KINETICS, RECORD: _OF_KINETICS},
    spaces={"action": "kinetics400 (400 classes)"},
    verified=(
        "The names of the 400 classes were compared with a published list of 19,906 validation rows; layouts and "
        "file names follow the code of those who distribute the videos. No archive of the release was seen: "
        "tested on simulated trees in the documented layouts."
    ),
)
