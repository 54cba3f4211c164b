from contextlib import suppress

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.pagination import Page, Place, QueryError, choice_of, page_of


def test_nothing_said_is_the_first_hundred() -> None:
    assert page_of(make_mocked_request("GET", "/")) == Page(100, None)


@given(at=st.floats(allow_nan=False, allow_infinity=False), id_=st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_cursor_comes_back_as_the_place_it_names(at: float, id_: str) -> None:
    place = Place(at, id_)
    if len(place.cursor()) <= 1024:
        assert page_of(make_mocked_request("GET", f"/?limit=7&cursor={place.cursor()}")) == Page(7, place)


@given(cursor=st.text(st.sampled_from("ABCabc019_-=.~"), max_size=40))
def test_any_text_is_a_place_or_refused(cursor: str) -> None:
    with suppress(QueryError):
        assert page_of(make_mocked_request("GET", f"/?cursor={cursor}")).after is not None


def test_a_choice_is_one_of_few() -> None:
    assert choice_of(make_mocked_request("GET", "/?live=true"), "live", ("true", "false")) == "true"
    assert choice_of(make_mocked_request("GET", "/"), "live", ("true", "false")) is None
    with pytest.raises(QueryError, match="want true or false"):
        choice_of(make_mocked_request("GET", "/?live=1"), "live", ("true", "false"))
