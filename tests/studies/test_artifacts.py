import json

import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from studies.dashboard.artifacts import artifacts_folder, attach
from tests.studies.conftest import begun


def attached(study, place) -> dict[str, str]:
    folder = artifacts_folder(place.folder)
    metas = get_all_artifact_meta(study)
    return {meta.filename: (folder / meta.artifact_id).read_text() for meta in metas}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "best.toml").write_text("a = 1\n")
    return {"config.toml": tmp_path / "best.toml", "report.html": tmp_path / "none.html"}


def test_what_is_there_is_attached_under_its_name(place, files) -> None:
    study = begun(place)
    attach(study, place, files)
    assert attached(study, place) == {"config.toml": "a = 1\n"}
    files["report.html"].write_text("<p>")
    attach(study, place, files)
    assert attached(study, place) == {"config.toml": "a = 1\n", "report.html": "<p>"}
    types = {meta.filename: meta.mimetype for meta in get_all_artifact_meta(study)}
    assert types["report.html"] == "text/html"


def test_nothing_piles_up_and_links_stay(place, files) -> None:
    study = begun(place)
    attach(study, place, files)
    (before,) = get_all_artifact_meta(study)
    attach(study, place, files)
    files["config.toml"].write_text("a = 2\n")
    attach(begun(place), place, files)
    (after,) = get_all_artifact_meta(study)
    assert after == before
    assert attached(study, place) == {"config.toml": "a = 2\n"}
    assert len(list(artifacts_folder(place.folder).iterdir())) == 1


def test_files_of_others_stay_whatever_their_names(place, files, tmp_path) -> None:
    study = begun(place)
    folder = artifacts_folder(place.folder)
    folder.mkdir()
    mine = tmp_path / "config.toml"
    mine.write_text("mine\n")
    upload_artifact(
        artifact_store=FileSystemArtifactStore(folder), file_path=str(mine), study_or_trial=study
    )
    attach(study, place, files)
    attach(study, place, files)
    contents = [(folder / meta.artifact_id).read_text() for meta in get_all_artifact_meta(study)]
    assert sorted(contents) == ["a = 1\n", "mine\n"]


def test_what_was_removed_or_lost_comes_back(place, files) -> None:
    study = begun(place)
    attach(study, place, files)
    (meta,) = get_all_artifact_meta(study)
    path = artifacts_folder(place.folder) / meta.artifact_id
    path.unlink()  # Or another machine, with a folder of its own.
    attach(study, place, files)
    assert path.read_text() == "a = 1\n"
    # What the dashboard does when somebody clicks on the bin.
    study._storage.set_study_system_attr(
        study._study_id, f"artifacts:{meta.artifact_id}", json.dumps(None)
    )
    attach(study, place, files)
    assert len(list(artifacts_folder(place.folder).iterdir())) == 2
