"""Files attached to a study, which optuna-dashboard offers to open."""

import filecmp
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.study import Study

from records.files import write_whole
from studies.attributes import ATTACHED
from studies.study import Place

# What the study's attributes about artifacts begin with; Optuna has no way to remove one.
_META = "artifacts:"


def artifacts_folder(folder: Path) -> Path:
    """Where a study's artifacts are, in the study's folder."""
    return folder / "artifacts"


def attach(study: Study, place: Place, files: Mapping[str, Path]) -> None:
    """Attach files to a study, each in the place of the one of the same name before it.

    Files that people attached themselves stay, whatever their names.

    Args:
        study: The study.
        place: Where it is; the copies go below its folder.
        files: Name to show -> file; those that are not there are left out.
    """
    folder = artifacts_folder(place.folder)
    with place.lock():
        known = dict(study.user_attrs.get(ATTACHED, {}))
        for name, path in files.items():
            if not path.is_file():
                continue
            if not _is_kept(study, known.get(name)):
                known[name] = _upload(study, folder, name, path)
                study.set_user_attr(ATTACHED, known)
            else:
                kept = folder / known[name]
                if not kept.is_file() or not filecmp.cmp(path, kept, shallow=False):
                    write_whole(kept, path.read_bytes())


def _is_kept(study: Study, artifact: str | None) -> bool:
    """Whether the study still has it: the dashboard lets people remove it."""
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return json.loads(attributes.get(f"{_META}{artifact}", "null")) is not None


def _upload(study: Study, folder: Path, name: str, path: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        # Optuna takes the file's name for the artifact's.
        named = shutil.copyfile(path, Path(scratch) / name)
        store = FileSystemArtifactStore(folder)
        return upload_artifact(artifact_store=store, file_path=str(named), study_or_trial=study)
