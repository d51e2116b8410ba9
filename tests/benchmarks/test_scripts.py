"""Every benchmark runs its smallest case, and writes its rows where it is told to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALLEST = {
    "arrow_threshold": "--groups 32 --family normal --road arrow",
    "bad_tables": "read --chunks 1",
    "building": "--once",
    "compiler": "--only Beta --draws 600",
    "deadline": "--only branches --seconds 1",
    "first_answer": "--smoke --only logistic",
    "fit_study": "--only bend --datasets 2",
    "groups": "--smoke --only linear",
    "hostile_artifacts": "tests/fixtures/regression.estimator --flips 3 --every 300",
    "in_context": "--encoder deep_sets --family diagonal --objective forward --minutes 0.02",
    "informed": "--model logistic --size 32,5 --datasets 3",
    "informed_any": "--case saturation --datasets 3",
    "informed_best_gaussian": "--size 32,5 --datasets 3",
    "informed_in_context": "--model linear --size 32,5 --minutes 0.02 --datasets 3",
    "informed_tasks": "T1 --datasets 3",
    "kills": "--kills 1 --only csv",
    "kills_resumed": "--groups 40 --kills 1",
    "many_groups": "--groups 200",
    "memory": "infer",
    "missed_modes": "--only 2x2 --datasets 1",
    "multilevel_tables": "--only Dyestuff --draws 1000",
    "nested": "--case meta_analysis --datasets 3",
    "nested_accepts": "--case meta_analysis --datasets 1",
    "playground": "--smoke",
    "posteriordb": "--only sblri-blr",
    "real_tables": "--only diabetes",
    "refining": "funnel",
    "sbibm": "--task gaussian_linear --observations 1 --compared 200",
    "second_answer": "",
    "speed": "--encoder deep_sets",
    "tasks": "T1 --minutes 0.02",
    "throughput": "--smoke --only T1",
    "training_step": "--encoder deep_sets --width 8 --steps 1 --repeats 1",
    "trust_study": "--only Cauchy --datasets 2",
    "trust_trained": "--only camps,diagonal,forward,0.01 --datasets 2",
    "trust_wrong": "--only exact --datasets 2",
}
WITHOUT_ROWS = {"memory"}  # one of its cases by itself prints what the parent process would keep


def run(script, arguments, results):
    environment = {**os.environ, "POSTERITY_RESULTS": str(results)}
    environment.pop("POSTERITY_DATA", None)
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), *arguments.split()]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200)


def test_every_script_has_a_smallest_case():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py") if 'if __name__ == "__main__"' in path.read_text()}
    assert scripts - {"report"} == set(SMALLEST)


@pytest.mark.bench
@pytest.mark.parametrize("script", SMALLEST)
def test_the_smallest_case_runs(script, tmp_path):
    done = run(script, SMALLEST[script], tmp_path)
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("skipped"):
        pytest.skip(done.stdout.strip())
    assert script in WITHOUT_ROWS or list(tmp_path.glob("*.jsonl"))


@pytest.mark.bench
def test_the_peers_that_need_no_package_of_their_own_run(tmp_path):
    command = [sys.executable, "-m", "peers", "--only", "posterity,nuts,laplace", "--task", "T1"]
    command += ["--repeats", "1", "--batch", "4", "--judged", "2", "--draws", "200"]
    environment = {**os.environ, "POSTERITY_RESULTS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=BENCHMARKS, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "peers.jsonl").read_text().splitlines()) == 3
