"""Folders and names as people have them: the same photographs, or one line that says what was probably meant."""

import shutil
import zipfile
from pathlib import Path

import pytest
import small_corpus
from small_corpus import COCO, coco_name

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.reader import Refer


def digests(root, corpus="refcoco", **options):
    """Of the bytes of the images of both splits that are used."""
    refer = Refer(root, corpus, **options)
    views = [refer.evaluation_view("val"), refer.training_view("train")]
    return [view.image_digest(image_id) for view in views for image_id in view.image_ids]


def fails(call, *parts):
    with pytest.raises(DataError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, message


@pytest.fixture
def expected(tmp_path):
    return digests(small_corpus.write(tmp_path / "plain"))


@pytest.mark.parametrize(
    ("corpus", "place", "name"),
    [
        ("refcoco", f"{COCO}/train2014", coco_name),
        ("refcoco", f"{COCO}/a/b", coco_name),
        ("refcoco", COCO, lambda i: coco_name(i).replace(".jpg", ".JPG")),
        ("refcoco", COCO, lambda i: coco_name(i).replace(".jpg", ".jpeg")),
        ("refcoco", COCO, lambda i: f"{i:012d}.jpg"),
        ("refcoco", "train2017", lambda i: f"{i:012d}.jpg"),
        ("refcoco", "images/train2014", coco_name),
        ("rrsisd", "images/rrsisd/JPEGImages", coco_name),
        ("rrsisd", "images/rrsisd", coco_name),
        ("mine", "mine/images", coco_name),
        ("mine", "mine/JPEGImages", coco_name),
        ("mine", "JPEGImages", coco_name),
        ("mine", "images", coco_name),
        ("mine", "images/from my phone", coco_name),
        ("refcoco", "Images/MSCOCO/images/Train2014", coco_name),
        ("RefCOCO", COCO, coco_name),
    ],
)
def test_images_are_found_where_people_put_them(tmp_path, expected, corpus, place, name):
    root = small_corpus.write(tmp_path / "data", place=place, corpus=corpus, name=name)
    assert digests(root, corpus) == expected
    assert digests(root, corpus.lower()) == expected
    folder = root / place
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"some folder/{path.name}")
    assert digests(root, corpus, images=tmp_path / "other.zip") == expected


def test_an_image_folder_can_be_anywhere(tmp_path, expected, monkeypatch):
    root = small_corpus.write(tmp_path / "data")
    shutil.move(root / COCO, tmp_path / "photographs")
    shutil.rmtree(root / "images")
    fails(lambda: Refer(root), root, COCO, "--image-folder")
    assert digests(root, images=tmp_path / "photographs") == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert digests("~/data", images="~/photographs") == expected
    fails(lambda: Refer(root, images=tmp_path / "photos"), tmp_path / "photos", "no such folder or zip")


def test_a_folder_that_has_the_images_goes_before_one_that_has_not(tmp_path, expected):
    root = small_corpus.write(tmp_path / "data", place="images/refcoco")
    (root / COCO).mkdir(parents=True)
    assert Refer(root).image_folder == root / "images/refcoco" and digests(root) == expected
    shutil.copy(root / "images/refcoco" / coco_name(1), root / COCO)  # nor before one that has more
    assert Refer(root).image_folder == root / "images/refcoco" and digests(root) == expected


def test_a_name_that_fits_several_files_or_one_in_another_folder_is_missing(tmp_path):
    root = small_corpus.write(tmp_path, place=f"{COCO}/a")
    shutil.copy(root / COCO / "a" / coco_name(3), root / COCO / coco_name(3).upper())
    assert Refer(root).size("train")["files"] == 2 and Refer(root).size("val")["files"] == 0
    listed = {1: "b/1.jpg", 2: f"{COCO.rpartition('/')[2]}/a/2.jpg", 3: "a\\3.jpg", 4: "./a/4.jpg"}

    def rename(instances, refs):
        for image in instances["images"]:
            image["file_name"] = listed[image["id"]]

    other = small_corpus.write(tmp_path / "other", rename, place=f"{COCO}/a", name=lambda i: f"{i}.jpg")
    files = {split: Refer(other).size(split)["files"] for split in ("train", "val", "testA")}
    assert files == {"train": 1, "val": 1, "testA": 1}, "a/1.jpg is not b/1.jpg"


def test_folders_behind_links_are_looked_into_and_circles_left(tmp_path, expected):
    root = small_corpus.write(tmp_path / "data")
    shutil.move(root / COCO, tmp_path / "photographs")
    (root / COCO).mkdir()
    (root / COCO / "linked").symlink_to(tmp_path / "photographs")
    (tmp_path / "photographs" / "back").symlink_to(root / COCO)
    assert digests(root) == expected


def test_the_root_that_was_meant_is_named(tmp_path):
    root = small_corpus.write(tmp_path / "clone of refer" / "data")
    inside = (root / "refcoco", root / "images", root / "refcoco" / "instances.json", root / "dta")
    for wrong in (root.parent, root.parent.parent, *inside):
        fails(lambda wrong=wrong: Refer(wrong), wrong, f"did you mean {root}?")
    fails(lambda: Refer(root, "refcocog"), root, "'refcocog'", "there is refcoco", "--corpus")
    fails(lambda: Refer(tmp_path / "a" / "b" / "c" / "d"), "c/d: not there", "--data")
    (tmp_path / "refer.zip").write_bytes(b"")
    fails(lambda: Refer(tmp_path / "refer.zip"), "refer.zip: no folder; looked for refcoco, refer/refcoco in it")


def test_a_path_may_begin_with_a_tilde(tmp_path, monkeypatch, capsys):
    small_corpus.write(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WSRIS_IMAGE_FOLDER", "~/pictures")
    monkeypatch.chdir(tmp_path)
    profile = profiles.load("smoke", data="~/data")
    assert (profile.data, profile.image_folder) == (str(tmp_path / "data"), str(tmp_path / "pictures"))
    monkeypatch.setenv("WSRIS_IMAGE_FOLDER", "")
    assert len(Run(profiles.load("smoke", data="~/data")).corpus.training_view("train")) == 4
    assert main(["convert", "~/data"]) == 2 and f"{tmp_path / 'data'}: " in capsys.readouterr().err
    assert main(["scoreboard", "--profile", "smoke", "--data=~/data"]) == 2
    assert not Path("~").exists()


def test_images_takes_a_folder_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WSRIS_IMAGE_FOLDER", "")  # restored afterwards: the command sets it for lessons' kernels
    root = small_corpus.write(tmp_path / "data")
    shutil.move(root / COCO, tmp_path / "photographs")
    command = ["doctor", "--profile", "smoke", "--data", str(root)]
    for option in ("--images", "--image-folder"):
        main([*command, option, str(tmp_path / "photographs")])
        assert "train: 2 of 42,404 refs, 4 of 120,624 sentences, 2 of 16,994 images" in capsys.readouterr().out
    assert main([*command, "--images", str(tmp_path / "photos")]) == 1
    assert f"{tmp_path / 'photos'}: no such folder or zip" in capsys.readouterr().out


def test_what_to_fetch_is_said_only_where_nothing_is_there(tmp_path, capsys):
    root = small_corpus.write(tmp_path / "clone" / "data")
    command = ["doctor", "--profile", "smoke", "--data"]
    for wrong in (root.parent, root / "images"):
        assert main([*command, str(wrong)]) == 1
        report = capsys.readouterr().out
        assert f"did you mean {root}?" in report and "-> " not in report
    assert main([*command, str(tmp_path / "a" / "b" / "c" / "d")]) == 1
    assert "-> python -m wsris_lib fetch refcoco coco" in capsys.readouterr().out


def test_no_fewer_than_one_image(tmp_path):
    root = small_corpus.write(tmp_path)
    with pytest.raises(ValueError, match="-3 images of 'train': expected 1 or more"):
        Refer(root, most={"train": -3})


@pytest.mark.parametrize("command", ["doctor", "fetch"])
def test_an_empty_folder_is_not_the_usual_one(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--data", ""])
    assert "--data: is empty, as a variable is that isn't set" in capsys.readouterr().err


def test_an_empty_name_of_a_picture_is_not_the_working_folder(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "", "the mug"])
    assert "image: is empty, as a variable is that isn't set; name a file or folder" in capsys.readouterr().err
