"""Notes in every storage, read back with the dashboard's own functions."""

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import Trial
from optuna_dashboard import get_note, save_note

from studies.attributes import trial_records
from studies.dashboard.notes import BELOW, DashboardNotes, trial_note
from studies.storage import close_storage, make_storage
from studies.study import Place
from tests.studies.conftest import SERVERS


@pytest.fixture(params=["memory", "sqlite", "journal", *SERVERS])
def study(request, tmp_path):
    match request.param:
        case "memory":
            storage = optuna.storages.InMemoryStorage()
        case "sqlite":
            storage = make_storage(Place("test", tmp_path).url)
        case "journal":
            storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
        case _:
            storage = make_storage(request.getfixturevalue(f"{request.param}_url"))
    yield optuna.create_study(
        storage=storage, study_name=f"s-{tmp_path.name}", direction="maximize"
    )
    if request.param not in ("memory", "journal"):
        close_storage(storage)


def report(study, *accuracies: float) -> Trial:
    trial = study.ask()
    for epoch, accuracy in enumerate(accuracies, 1):
        trial.report(accuracy, epoch)
    return trial


def attributes(study) -> dict:
    return study._storage.get_study_system_attrs(study._study_id)


def noted(study, number: int) -> str:
    return get_note(Trial(study, study.get_trials()[number]._trial_id))


def test_notes_follow_the_study_and_do_not_pile_up(study) -> None:
    notes = DashboardNotes(study)
    trial = report(study, 0.5)
    notes.update("first", trial_records(study))
    assert get_note(study) == f"first\n\n{BELOW}\n"
    assert noted(study, 0).startswith("**Running**: 50.00% validation accuracy after 1 epoch.")
    trial.report(0.75, 2)
    study.tell(trial, 0.75)
    study.enqueue_trial({})
    notes.update("second", trial_records(study))
    (record, waiting) = trial_records(study)
    assert noted(study, 0) == f"{trial_note(record)}\n\n{BELOW}\n"
    assert noted(study, 1) == ""
    assert get_note(study) == f"second\n\n{BELOW}\n"

    before = attributes(study)
    notes.update("second", trial_records(study))
    DashboardNotes(study).update("second", trial_records(study))  # A session that goes on.
    assert attributes(study) == before
    assert len([key for key in before if "note_ver" in key]) == 2


def test_a_long_note_becomes_a_short_one_and_back(study) -> None:
    notes = DashboardNotes(study)
    for text in ("x" * 6000, "short", "y" * 3000):
        notes.update(text, [])
        assert get_note(study) == f"{text}\n\n{BELOW}\n"
        again = DashboardNotes(study)
        again.update(text, [])
        assert get_note(study) == f"{text}\n\n{BELOW}\n"


def test_what_people_wrote_stays(study) -> None:
    trial = report(study, 0.5)
    save_note(study, "# Mine\n\nkeep me")
    save_note(trial, "a good one")
    DashboardNotes(study).update("ours", trial_records(study))
    assert get_note(study) == f"ours\n\n{BELOW}\n\n# Mine\n\nkeep me\n"
    save_note(study, get_note(study) + "and me")
    study.tell(trial, 0.5)
    DashboardNotes(study).update("newer", trial_records(study))
    assert get_note(study) == f"newer\n\n{BELOW}\n\n# Mine\n\nkeep me\nand me\n"
    assert noted(study, 0).startswith("**Complete**: ")
    assert noted(study, 0).endswith(f"{BELOW}\n\na good one\n")


def test_only_what_has_changed_is_written(study) -> None:
    notes = DashboardNotes(study)
    for _ in range(3):
        study.tell(report(study, 0.5), 0.5)
    notes.update("text", trial_records(study))
    before = attributes(study)
    study.tell(report(study, 0.5), 0.5)
    notes.update("text", trial_records(study))
    changed = {key for key, value in attributes(study).items() if before.get(key) != value}
    number = study.get_trials()[3]._trial_id
    assert changed == {f"dashboard:{number}:note_str:0", f"dashboard:{number}:note_ver"}
