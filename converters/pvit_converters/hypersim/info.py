"""What a user must know about Hypersim before converting it."""

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="hypersim",
    title="Hypersim: A Photorealistic Synthetic Dataset for Holistic Indoor Scene Understanding",
    licence="CC-BY-SA-3.0",
    redistributable=True,
    citation="""@inproceedings{roberts2021hypersim,
  title = {Hypersim: A Photorealistic Synthetic Dataset for Holistic Indoor Scene Understanding},
  author = {Roberts, Mike and Ramapuram, Jason and Ranjan, Anurag and Kumar, Atulit and Bautista, Miguel Angel and
            Paczan, Nathan and Webb, Russ and Susskind, Joshua M.},
  booktitle = {International Conference on Computer Vision (ICCV)},
  year = {2021}
}""",
    obtain=(
        "Download with dataset_download_images.py of https://github.com/apple/ml-hypersim (all, 1.9 TB), or single "
        "scenes and modalities with contrib/99991/download.py. Needed per frame: any of depth_meters, normal_world, "
        "semantic, semantic_instance, and color + render_entity_id or tonemap.jpg; plus _detail of the scene for poses."
    ),
    tree="""ROOT/ (or ROOT/scenes/, ROOT/evermotion_dataset/scenes/)
  ai_001_001/
    _detail/metadata_scene.csv
    _detail/cam_00/camera_keyframe_{orientations,positions}.hdf5
    images/scene_cam_00_final_hdf5/frame.0000.color.hdf5
    images/scene_cam_00_final_preview/frame.0000.tonemap.jpg
    images/scene_cam_00_geometry_hdf5/frame.0000.{depth_meters,normal_world,semantic,...}.hdf5
  metadata/                        optional: the official CSV files""",
    produces=("rgb", "depth", "normal", "segm", "boxes", "camera"),
    tasks=("depth", "normal"),
    derived="yes",
    derived_clause="CC BY-SA 3.0: adapted material may be passed on under the same licence, with attribution.",
    spaces={"segm": "nyu40 (40 classes, ids from 1)", "boxes": "nyu40"},
    verified=(
        "Checked on released files: one depth image with its scene's camera files (ai_037_002, a tilted camera), "
        "and all official CSV files, from which the tables are derived that come with the converter. Colour, "
        "normals and labels of the release were not run through it: these are tested on simulated trees in the "
        "documented layout."
    ),
)
