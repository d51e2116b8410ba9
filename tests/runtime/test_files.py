"""Files are whole or absent, and lie where they were asked for."""

import os
import stat

import pytest

from posterity.runtime.errors import InputError
from posterity.runtime.files import replacing


def test_a_failure_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "out.csv", tmp_path / "there" / "real.csv"
    file.write_text("old")
    link.symlink_to(file)
    with replacing(link) as unfinished:
        unfinished.write_text("new")
    assert link.is_symlink() and file.read_text() == "new" and list(file.parent.iterdir()) == [file]


def test_nobody_can_foresee_the_unfinished_files_name_or_read_it(tmp_path):
    names = set()
    for _ in range(2):
        with replacing(tmp_path / "out.csv") as unfinished:
            names.add(unfinished.name)
            assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600 and not unfinished.is_symlink()
    assert len(names) == 2


@pytest.mark.parametrize("mode", [None, 0o640])
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path, mode):
    path, other = tmp_path / "out.csv", tmp_path / "other"
    other.touch()
    if mode is not None:
        path.touch()
        path.chmod(mode)
    with replacing(path) as unfinished:
        unfinished.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == (mode or stat.S_IMODE(other.stat().st_mode))


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot write .*No such file or directory"),
        replacing(tmp_path / "no" / "out"),
    ):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(tmp_path):
    path = tmp_path / "out.csv"
    with pytest.raises(InputError, match="No space left on device"), replacing(path), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert list(tmp_path.iterdir()) == []
