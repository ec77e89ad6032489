import pytest

from app.kit.errors import NotFound
from app.kit.finding import found, known
from app.kit.ids import TeamId


def test_an_id_is_known_in_any_case():
    team_id = TeamId.new()
    assert known(TeamId, team_id.lower(), "team") == team_id


@pytest.mark.parametrize("text", ["", "team", "team_", "nobody", "key_01J00000000000000000000000"])
def test_what_can_not_be_and_what_is_not_there_are_told_alike(text):
    with pytest.raises(NotFound) as impossible:
        known(TeamId, text, "team")
    with pytest.raises(NotFound) as missing:
        found(None, "team")
    assert impossible.value.detail == missing.value.detail == "There is no such team."


def test_what_is_there_is_returned_also_when_it_is_nothing_much():
    assert found(0, "number") == 0
