"""benchmarks/random_checkpoints.py writes what the hub holds but for the numbers: which checkpoints, and their configs.

That the whole files load, and have the published sizes, is in `test_frozen_full_size`, as it takes gigabytes.
"""

import importlib.util
import json
import shutil
import warnings

import pytest

from wsris_lib.frozen.checkpoints import record_of, sizes
from wsris_lib.frozen.clip import load_clip
from wsris_lib.frozen.loading import read_config
from wsris_lib.infra.artefacts import REPO, file_digest

SCRIPT = REPO / "benchmarks" / "random_checkpoints.py"
spec = importlib.util.spec_from_file_location("random_checkpoints", SCRIPT)
random_checkpoints = importlib.util.module_from_spec(spec)
spec.loader.exec_module(random_checkpoints)

SHARED = REPO.parent / "shared" / "public_configs"
CONFIGS = sorted(random_checkpoints.CONFIGS)


@pytest.fixture
def written(request, tmp_path):
    """The folder of a checkpoint with its small files alone."""
    folder = tmp_path / request.param
    folder.mkdir()
    random_checkpoints.write_configs(folder)
    return folder


def published(folder):
    """The digests of its small files, as far as somebody published them."""
    files = record_of(str(folder)).get("files", {})
    return {file: known["sha256"] for file, known in files.items() if (folder / file).is_file() and "sha256" in known}


def test_all_that_the_two_profiles_ask_for_can_be_made():
    names = {name for profile in ("paper", "colab") for name in random_checkpoints.needed(profile)}
    assert names == set(random_checkpoints.CHECKPOINTS) and len(names) == 14
    assert {name for name in names if not name.endswith("-openai")} == set(CONFIGS)  # open_clip has CLIP's


@pytest.mark.parametrize("written", CONFIGS, indirect=True)
def test_the_configs_are_the_published_files(written):
    """By their SHA-256, where it was published; of all the published sizes."""
    digests = published(written)
    assert {file: file_digest(written / file) for file in digests} == digests
    assert not sizes(str(written))


def test_most_configs_have_a_published_digest(tmp_path):
    count = 0
    for name in CONFIGS:
        (tmp_path / name).mkdir()
        random_checkpoints.write_configs(tmp_path / name)
        count += len(published(tmp_path / name))
    assert count == 13


@pytest.mark.parametrize("written", CONFIGS, indirect=True)
def test_the_configs_are_those_collected_beside_the_project(written):
    if not (SHARED / written.name).is_dir():
        pytest.skip("the hub's configs aren't beside the project: ../shared/public_configs")
    files = sorted(path.name for path in (SHARED / written.name).iterdir())
    assert set(files) <= {path.name for path in written.iterdir()}
    for file in files:
        ours, hubs = (json.loads((folder / file).read_text("utf-8")) for folder in (written, SHARED / written.name))
        labels = [content.pop("id2label", {}) for content in (ours, hubs)]
        for content in (ours, hubs):
            content.pop("label2id", None)
        assert ours == hubs and len(labels[0]) == len(labels[1])


@pytest.mark.parametrize("written", CONFIGS, indirect=True)
def test_an_old_config_is_read_without_a_word(written, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = read_config(str(written))
    assert config.model_type == json.loads((written / "config.json").read_text("utf-8"))["model_type"]
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_quickgelu_whose_config_lacks_it_is_refused(tiny_zoo, tmp_path):
    folder = shutil.copytree(tiny_zoo / "clip", tmp_path / "RN50-quickgelu-openai")
    config = folder / "open_clip_config.json"
    content = json.loads(config.read_text("utf-8"))
    for quick in (None, False):
        content["model_cfg"].pop("quick_gelu", None)
        content["model_cfg"] |= {} if quick is None else {"quick_gelu": quick}
        config.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=r"RN50-quickgelu-openai: its open_clip_config.json has no quick_gelu"):
            load_clip(str(folder))
    content["model_cfg"]["quick_gelu"] = True
    config.write_text(json.dumps(content), encoding="utf-8")
    assert load_clip(str(folder))[0].visual is not None
    other = shutil.copytree(tiny_zoo / "clip", tmp_path / "another")  # of a name that promises nothing
    content["model_cfg"].pop("quick_gelu")
    (other / "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")
    load_clip(str(other))
