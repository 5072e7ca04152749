"""What a user must know about EHOI before converting it."""

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="ehoi",
    title="EHOI / EgoISM-HOI: egocentric human-object interactions, synthetic part",
    licence="unknown (see iplab.dmi.unict.it/egoism-hoi)",
    redistributable=False,
    citation="""@inproceedings{leonardi2022egocentric,
  title = {Egocentric Human-Object Interaction Detection Exploiting Synthetic Data},
  author = {Leonardi, Rosario and Ragusa, Francesco and Furnari, Antonino and Farinella, Giovanni Maria},
  booktitle = {International Conference on Image Analysis and Processing (ICIAP)},
  year = {2022}
}
@article{leonardi2024exploiting,
  title = {Exploiting Multimodal Synthetic Data for Egocentric Human-Object Interaction Detection in an Industrial
           Scenario},
  author = {Leonardi, Rosario and Ragusa, Francesco and Furnari, Antonino and Farinella, Giovanni Maria},
  journal = {Computer Vision and Image Understanding},
  year = {2024}
}""",
    obtain=(
        "Download and unzip https://iplab.dmi.unict.it/sharing/egoism-hoi/datasets/egoism-hoi-dataset.zip (EgoISM-HOI, "
        "the extended successor of the 20,000-image release that the paper used)."
    ),
    tree="""ROOT/ (or ROOT/egoism-hoi-dataset/)
  annotations/{train,val,...}_coco.json           objects and hands, COCO style; r_* = real images
  annotations/{val,...}_coco_hands.json           optional: the object that each hand touches
  images/camera_0.png ... (or .jpg)               synthetic;  66_28449.jpg: real
  depth_maps/map_0.png ...                        optional, 8-bit, not metric""",
    produces=("rgb", "boxes", "segm", "depth"),
    tasks=("boxes", "segm"),
    derived="unknown",
    derived_clause="No text of a licence was found.",
    spaces={
        "boxes": "ehoi_boxes20 (19 objects and the hand)",
        "segm": "ehoi_segm21 (background, 19 objects, hand)",
    },
    verified=(
        "The one annotation file that its authors publish beside their code was read for the layout; no image, "
        "depth map or mask of the release was seen. Tested on simulated trees in that layout."
    ),
)
