"""What a user must know about Ego4D before converting it."""

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="ego4d",
    title="Ego4D hands and objects (OSCC and PNR)",
    licence="Ego4D licence agreement (no redistribution)",
    redistributable=False,
    citation="""@inproceedings{grauman2022ego4d,
  title = {Ego4D: Around the World in 3,000 Hours of Egocentric Video},
  author = {Grauman, Kristen and Westbury, Andrew and Byrne, Eugene and Chavis, Zachary and Furnari, Antonino and
            Girdhar, Rohit and Hamburger, Jackson and Jiang, Hao and Liu, Miao and Liu, Xingyu and others},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2022}
}""",
    obtain=(
        "Sign the licence at ego4ddataset.com; keys come by mail and expire after 14 days. Then: pip install ego4d; "
        "ego4d --output_directory=ROOT --datasets full_scale annotations --benchmarks FHO --version v1"
    ),
    tree="""ROOT/                                        (or ROOT/v1, ROOT/v2 of a download)
  full_scale/VIDEO_UID.mp4                      (or video_540ss/; a file without .mp4 works as well)
  clips/CLIP_UID.mp4                            (canonical clips, used where the full video is not there, or empty)
  annotations/fho_oscc-pnr_{train,val,test_unannotated}.json   (or train.json, val.json, test.json)
  full_scale/manifest.csv                       (optional: tells apart what is missing)""",
    produces=("rgb", "action", "actions"),
    role="downstream",
    sampler="ego4d-grid",
    derived="no",
    derived_clause="The Ego4D licence agreement, which each user signs: nothing of it may be passed on.",
    spaces={"action": "ego4d-oscc (no change, change)"},
    verified=(
        "No released file was seen. A few rows of the annotations as others quote them, and the code of the "
        "benchmark, are what the layout rests on; grid and error are tested on these rows. Tested on simulated "
        "trees in that layout, and on generated videos of 3 GiB."
    ),
)
