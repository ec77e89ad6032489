from concurrent.futures import ThreadPoolExecutor

import pytest

from app.kit.private_files import ExposedFileError, keep_private, read_private, write_private


def test_nothing_is_there_at_first(tmp_path):
    assert read_private(tmp_path / "secret") is None


def test_what_is_kept_is_read_again_and_closed_to_others(tmp_path):
    assert keep_private(tmp_path / "secret", "one") == "one"
    assert keep_private(tmp_path / "secret", "two") == "one"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_of_many_writers_at_once_all_get_the_same(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        kept = set(pool.map(lambda number: keep_private(tmp_path / "secret", str(number)), range(64)))
    assert len(kept) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_writing_replaces_what_was_there(tmp_path):
    write_private(tmp_path / "demo", "one")
    write_private(tmp_path / "demo", "two")
    assert read_private(tmp_path / "demo") == "two"
    assert [file.name for file in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_file_that_others_can_read_is_refused(tmp_path, mode):
    keep_private(tmp_path / "secret", "one")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(ExposedFileError, match="chmod 600"):
        read_private(tmp_path / "secret")


def test_link_is_not_followed(tmp_path):
    keep_private(tmp_path / "secret", "one")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):  # noqa: PT011 - its words are the system's
        read_private(tmp_path / "link")
