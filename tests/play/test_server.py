"""The playground's server: what it refuses, and what it makes of tables."""

import http.client

import pytest
from play.conftest import Server

from posterity.cli.app import main
from posterity.play.modes import MODES
from posterity.play.server import MAX_BYTES, listen
from posterity.play.tables import MAX_POINTS, points_of_table
from posterity.runtime.errors import InputError

LINE = {"mode": "line", "points": [{"x": 0, "y": 0}] * 3, "sliders": {"prior_scale": 1.0, "noise": 1.0}}


def connect(server):
    return http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=60)


def test_the_page_needs_nothing_from_elsewhere(server):
    for path in ("/", "/play.js", "/plot.js", "/play.css"):
        code, text = server.ask(path)
        assert code == 200 and len(text) > 1000
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
    assert set(server.ask("/modes")[1]["modes"]) == set(MODES)


def test_every_answer_forbids_foreign_content(server):
    connection = connect(server)
    for path in ("/", "/nothing"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    connection.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}"])
def test_other_host_names_are_refused(server, host):
    port = server.origin.rpartition(":")[2]
    assert server.ask("/modes", host=host.format(port=port))[0] == 421
    assert server.ask("/modes", host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:{port}"])
def test_other_pages_are_refused(server, origin):
    port = server.origin.rpartition(":")[2]
    code, said = server.ask("/posterior", LINE, origin=origin.format(port=port))
    assert (code, said["error"]) == (403, "only the playground's own page may ask")
    assert server.ask("/posterior", LINE | {"mode": "?"}, origin=server.origin)[0] == 422  # it is heard


def test_bodies_that_are_not_json_or_too_long_are_refused(server):
    assert server.ask("/posterior", LINE, content_type="text/plain")[0] == 415
    connection = connect(server)
    connection.putrequest("POST", "/posterior")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(MAX_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    connection = connect(server)
    connection.request(
        "POST", "/posterior", iter([b"{", b"}"]), {"Content-Type": "application/json"}, encode_chunked=True
    )
    assert connection.getresponse().status == 411
    connection.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "spline"}, "unknown mode 'spline'"),
        ({"points": [{"x": 0, "y": 0}]}, "1 points; at least 2 are needed"),
        ({"points": [{"x": 0, "y": 0}] * (MAX_POINTS + 1)}, "at most 256 items"),
        ({"points": [{"x": 1e99, "y": 0}] * 3}, "points.0.x"),
        ({"points": [{"x": 0, "y": 0, "kind": 1}] * 3}, "kind 1; expected 0 to 0"),
        ({"sliders": {"noise": 1.0}}, "unknown slider 'prior_scale'"),
        ({"sliders": {"prior_scale": 1.0, "noise": 0.0}}, "expected 0.05 to 5.0; got 0.0"),
    ],
)
def test_unfit_questions_are_refused_in_words(server, change, said):
    code, answer = server.ask("/posterior", LINE | change)
    assert code == 422 and said in answer["error"]
    assert server.ask("/posterior", b"{", content_type="application/json")[0] == 422


TABLE = "name,height,weight,group,sex\n" + "".join(
    f"n{n},{150 + n % 37},{50 + n % 11},{'abc'[n % 3]},{'mf'[n % 2]}\n" for n in range(60)
)


@pytest.mark.parametrize(
    ("mode", "chosen"),
    [
        ("line", {"x": "height", "y": "weight"}),
        ("classes", {"x": "height", "y": "weight", "class": "sex"}),
        ("mixture", {"x": "height"}),
        ("groups", {"y": "height", "group": "group"}),
    ],
)
def test_columns_of_a_table_are_found(mode, chosen):
    found = points_of_table(MODES[mode], TABLE, "t.csv", {})
    assert found["chosen"] == chosen and len(found["points"]) == 60
    assert all(-3 <= point[axis] <= 3 for point in found["points"] for axis in "xy")
    for role, axis in found["axes"].items():  # back to the table's units
        first = {"height": 150, "weight": 50}[chosen[role]]
        assert found["points"][0][role] * axis["scale"] + axis["loc"] == pytest.approx(first, abs=1e-3)
    if mode == "groups":
        assert [point["kind"] for point in found["points"][:4]] == [0, 1, 2, 0] and found["kinds"] == ["a", "b", "c"]


def test_columns_can_be_chosen_and_long_tables_are_thinned():
    long = "a,b\n" + "".join(f"{n},{n * n}\n" for n in range(1000)) + "7,\n"
    found = points_of_table(MODES["line"], long, "t.csv", {"x": "b", "y": "a"})
    assert found["chosen"] == {"x": "b", "y": "a"} and len(found["points"]) == MAX_POINTS
    assert "1001 rows read, 1 with a missing cell left out, 256 of them shown" in found["remark"]
    ends = [found["points"][n]["y"] * found["axes"]["y"]["scale"] + found["axes"]["y"]["loc"] for n in (0, -1)]
    assert ends == pytest.approx([0, 999], abs=0.1)


@pytest.mark.parametrize(
    ("text", "chosen", "said"),
    [
        ("a,b\n1,2\n3\n", {}, r"^broken.csv: line 3 has 1 cell; expected 2"),
        ("", {}, "broken.csv: is empty"),
        ("a,b\nx,y\nz,w\n", {}, "no column suits 'x'. It takes numbers, finite and not all alike"),
        ("a,b\n1,2\n2,1\n3,\n", {"x": "a", "y": "c"}, "unknown column 'c'"),
        ("a,b\n1,4\n2,5\n3,6\n", {"x": "a", "y": "a"}, "one column stands for two things"),
        ("a,b\n1,\n2,\n3,6\n,7\n,8\n", {}, "1 rows without a missing cell"),
        ("1,2\n3,4.5\n", {}, "broken.csv"),
    ],
)
def test_broken_tables_are_refused_in_words(text, chosen, said):
    with pytest.raises(InputError, match=said):
        points_of_table(MODES["line"], text, "broken.csv", chosen)


def test_too_many_groups_and_classes_are_refused():
    many = "y,g\n" + "".join(f"{n}.5,g{n % 9}\n" for n in range(30))
    with pytest.raises(InputError, match=r"no column suits 'group'\. It takes a column of 2 to 6 different values"):
        points_of_table(MODES["groups"], many, "t.csv", {})


def test_a_port_in_use_is_refused(capsys):
    with listen(0) as held:
        port = held.getsockname()[1]
        assert held.getsockname()[0] == "127.0.0.1"
        assert main(["play", "--port", str(port), "--no-browser"]) == 2
    assert f"error: --port {port}: " in capsys.readouterr().err


def test_it_ends_with_ctrl_c():
    assert Server().stop() == 0
