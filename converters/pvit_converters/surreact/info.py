"""What a user must know about SURREACT before converting it."""

from pvit_converters.base import SourceInfo
from pvit_data.sample.rights import Rights

_BODY = Rights(
    licence="SMPL model licence and SURREAL licence (non-commercial, no redistribution)",
    public="no",
    why="It is read off the SMPL body model, whose licence, like SURREAL's, forbids to pass on what is made with it.",
    origin="the SMPL body model, fitted to people in videos of NTU RGB+D and UESTC by VIBE and HMMR",
)

INFO = SourceInfo(
    name="surreact",
    title="SURREACT: Synthetic Humans for Action Recognition from Unseen Viewpoints",
    licence="SURREAL licence (non-commercial, no redistribution); UESTC and NTU terms",
    redistributable=False,
    citation="""@article{varol2021synthetic,
  title = {Synthetic Humans for Action Recognition from Unseen Viewpoints},
  author = {Varol, G{\\"u}l and Laptev, Ivan and Schmid, Cordelia and Zisserman, Andrew},
  journal = {International Journal of Computer Vision (IJCV)},
  year = {2021}
}""",
    obtain=(
        "Accept the SURREAL licence to get a user name and password (github.com/gulvarol/surreact, section 3), then "
        "download surreact_ntu_vibe.tar.gz (8.4 GB), surreact_ntu_vibe_segm.tar.gz (7.5 GB), "
        "surreact_uestc_hmmr.tar.gz (0.65 GB) and surreact_uestc_hmmr_segm.tar.gz (0.60 GB) for the paper's data, "
        "or the other two sets as well, "
        "and unpack each pair into surreact/ntu/vibe, surreact/uestc/hmmr, ... The download has no depth and no "
        "normals; _depth.mat and _normal.mat that you rendered yourself are used where they lie beside the videos."
    ),
    tree="""ROOT/                                      e.g. surreact/; found by file names at any depth
  ntu/vibe/train/S001C002P003R002A001/     folder names must say vibe or hmmr (or --estimator)
    S001C002P003R002A001_v045_r00.mp4      video, 320x240
    S001C002P003R002A001_v045_r00_info.mat SMPL joints, camera
    S001C002P003R002A001_v045_r00_segm.mat body parts
    ..._depth.mat, ..._normal.mat          only if you rendered them
  uestc/hmmr/train/a25_d1_p048_c1_color.avi/a25_d1_p048_c1_color.avi_v270_r00.mp4 ...""",
    produces=("rgb", "segm", "pose3d", "depth", "normal", "action", "camera"),
    tasks=("depth", "segm", "pose3d"),
    derived="no",
    derived_clause=(
        "The SURREAL licence forbids reproducing, modifying and passing on; SMPL and the Kinect recordings have "
        "terms of their own."
    ),
    rights={
        "pose3d": _BODY,
        "pose2d": _BODY,
        "segm": _BODY,
        "action": Rights(
            licence="terms of NTU RGB+D and of UESTC (no redistribution)",
            public="no",
            why="The labels are those of the recordings, whose terms each user accepts (inferred, not read).",
            origin="NTU RGB+D and UESTC",
        ),
    },
    spaces={
        "segm": "smpl24 (background and 24 body parts)",
        "action": "surreact100 (60 actions of NTU, 40 of UESTC)",
    },
    verified=(
        "No released file was seen: the archives need a password. The layout follows the code of its authors, so "
        "that the converter checks the geometry of your files before it trusts it, and notes what it found. "
        "Tested on simulated trees in that layout."
    ),
)
