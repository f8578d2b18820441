"""`powertrain kubernetes`, without any cluster."""

from __future__ import annotations

import pytest


def test_what_a_node_would_be_labelled_with_comes_from_a_predictor_and_from_profiles(
    done, predictor_file, database
):
    predicted = done("kubernetes", "--device", "sim:orin-agx", "--predictor", predictor_file, "--json").json
    assert predicted["labels"]["powertrain.dev/board"] == "Jetson-AGX-Orin-64GB-simulated"
    low, high = (int(predicted["labels"][f"powertrain.dev/{name}-w"]) for name in ("lowest", "highest"))
    assert 5 < low < high < 80
    assert predicted["range"]["lowest_w"] <= low
    stored = done("kubernetes", "--device", "sim:orin-agx", "--db", database, "--json").json
    assert "Predicted by gp from" in stored["range"]["basis"]


@pytest.mark.parametrize("who", [("--user", "1500"), ("--privileged",)])
def test_the_manifest_runs_the_agent_with_what_was_typed(done, predictor_file, who):
    typed = ("--device", "jetson", "--predictor", predictor_file, "--away-s", "60", "--namespace", "power")
    text = done("kubernetes", "--manifest", "--image", "registry.example/powertrain:1", *who, *typed).out
    assert (
        f'"--device", "jetson", "--risk", "0.05", "--away-s", "60", "--predictor", "{predictor_file}"' in text
    )
    assert 'namespace: "power"' in text
    assert ("runAsUser: 1500" in text) == (who[0] == "--user")
    assert ("privileged: true" in text) == (who[0] == "--privileged")


def test_outside_a_cluster_it_says_what_to_give(run, predictor_file, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    ran = run("kubernetes", "--device", "sim:orin-agx", "--predictor", predictor_file)
    assert ran.code == 1
    assert "this is no pod of a Kubernetes cluster: give --server" in ran.error_line


MANIFEST = ("--manifest", "--image", "x", "--user", "1500")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--image", "x"), "--image is for the manifest: give --manifest, too"),
        (("--namespace", "power"), "--namespace is for the manifest"),
        (("--server", "nonsense"), "'nonsense' is no address of an API server"),
        ((*MANIFEST, "--node", "n"), "--node is not part of the manifest: leave it out"),
        ((*MANIFEST, "--privileged"), "--user and --privileged were given"),
        ((*MANIFEST, "--workload", "x"), "--workload is one of a database"),
        (
            (*MANIFEST, "--predictor", "mine.ptm"),
            "mine.ptm is to be a file of the image: give its whole path",
        ),
        ((*MANIFEST, "--db", "mine.db"), "mine.db is to be a file of the image"),
        (("--predictor", "none.ptm"), "Invalid value for '--predictor': File 'none.ptm' does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(run, arguments, says):
    ran = run("kubernetes", "--device", "sim:orin-nano", *arguments)
    assert ran.code == 2
    assert says in ran.err.splitlines()[-1]
    assert ran.out == ""


def test_a_database_in_the_manifest_is_one_of_the_image(done):
    assert '"--db", "/data/fleet.db"' in done("kubernetes", *MANIFEST, "--db", "/data/fleet.db").out


def test_a_predictor_of_another_board_is_refused_with_what_can_be_done_here(run, predictor_file):
    ran = run("kubernetes", "--device", "sim:orin-nano", "--predictor", predictor_file, "--json")
    assert ran.code == 1
    assert "was made for Jetson AGX Orin" in ran.error_line
    assert "--other-device" not in ran.error_line
