import json

from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from records.evaluation import Evaluation
from records.metrics import Metrics
from studies.dashboard.plots import confusion_matrix, save_plots, training_curves
from studies.study import Place
from tests.studies.conftest import begun

COUNTS = [[8, 2], [0, 0]]
CURVES = {"epoch": [1, 2], "train_loss": [2.0, 1.0], "train_accuracy": [0.25, 0.5]}
METRICS = Metrics.model_construct(
    test=Evaluation.model_construct(
        confusion_matrix=COUNTS, per_class={"cat": None, "<script>": None}
    ),
    curves=CURVES,
)


def test_the_confusion_matrix_has_counts_and_shares() -> None:
    figure = confusion_matrix(COUNTS, ["cat", "<script>"])
    (heatmap,) = figure.data
    assert [list(row) for row in heatmap.text] == COUNTS
    assert [list(row) for row in heatmap.z] == [[0.8, 0.2], [0.0, 0.0]]
    assert list(heatmap.x) == list(heatmap.y) == ["cat", "&lt;script&gt;"]
    assert "n = 10" in figure.layout.title.text
    many = confusion_matrix([[1] * 100] * 100, [str(i) for i in range(100)])
    assert many.data[0].texttemplate is None


def test_the_curves_are_those_of_the_final_training() -> None:
    loss, accuracy = training_curves(CURVES).data
    assert (list(loss.x), list(loss.y)) == ([1, 2], [2.0, 1.0])
    assert list(accuracy.y) == [0.25, 0.5]


def plots(study) -> dict[str, str]:
    attributes = study._storage.get_study_system_attrs(study._study_id)
    pieces = {key: text for key, text in attributes.items() if "plot_data" in key}
    names = {key.split(":")[2] for key in pieces}
    return {
        name: "".join(text for key, text in pieces.items() if key.split(":")[2] == name)
        for name in names
    }


def test_saved_again_they_take_the_place_of_the_old_ones(tmp_path) -> None:
    study = begun(Place("test", tmp_path))
    save_plots(study, METRICS)
    first = plots(study)
    assert set(first) == {"test-confusion-matrix", "final-training"}
    assert json.loads(first["final-training"])["data"][0]["y"] == [2.0, 1.0]
    assert sum(len(text) for text in first.values()) < 10_000
    save_plots(study, METRICS)
    assert plots(study) == first


def test_the_dashboard_reads_what_is_saved(tmp_path) -> None:
    study = begun(Place("test", tmp_path))
    wide = METRICS.model_copy(
        update={"curves": {name: values * 500 for name, values in CURVES.items()}}
    )
    for metrics in (wide, METRICS):  # The second time there are fewer pieces.
        save_plots(study, metrics)
        attributes = study._storage.get_study_system_attrs(study._study_id)
        read = get_plotly_graph_objects(attributes)
        assert set(read) == {"test-confusion-matrix", "final-training"}
        (losses, _) = json.loads(read["final-training"])["data"]
        assert losses["y"] == metrics.curves["train_loss"]
