import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import AdmissionError
from gateway.protocol.messages import AUTH_FIELD
from gateway.server.admission import Admission, Ticket, is_loopback_host
from gateway.server.transport import Handshake
from tests.fakes import FakeClock

PCMU = ("PCMU", 8000)
LONGEST, GRACE = 1000.0, 30.0


class Door:
    """An admission on a clock of the test's own."""

    def __init__(self, auth: str = "token", *, max_tickets: int = 100) -> None:
        self.clock = FakeClock()
        self.admission = Admission(auth, clock=self.clock, longest_call=LONGEST, grace=GRACE, max_tickets=max_tickets)

    def issue(self, call_control_id: str | None = "v3:a") -> str:
        return self.admission.issue(call_control_id, asked_codec=PCMU)

    def knock(self, path: str = "/media", **headers: str) -> Ticket | None:
        """Ask for admission; `auth` stands for the header of the token, `_` in a name for `-`."""
        named = {AUTH_FIELD if name == "auth" else name.replace("_", "-"): value for name, value in headers.items()}
        return self.admission.admit(Handshake(path, named, "127.0.0.1:5"))

    def refusal(self, path: str = "/media", **headers: str) -> tuple[str, int]:
        """The reason and status of the refusal there must be."""
        with pytest.raises(AdmissionError) as raised:
            self.knock(path, **headers)
        return raised.value.reason, raised.value.status


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_a_token_is_url_safe_text_of_64_characters_and_no_two_are_the_same() -> None:
    door = Door()
    tokens = {door.issue() for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) == 64 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_the_token_is_taken_from_the_header_and_from_the_path() -> None:
    door = Door()
    token = door.issue()
    for ticket in (
        door.knock(auth=token),
        door.knock("/media/", auth=token),
        door.knock(f"/media/{token}"),
        door.knock(f"/media/{token}?a=1&b=/c"),
        door.knock("/media?token=nonsense", auth=token),
    ):
        assert ticket is not None
        assert (ticket.call_control_id, ticket.asked_codec) == ("v3:a", PCMU)


def test_the_header_wins_over_the_path() -> None:
    door = Door()
    good, other = door.issue("v3:a"), Door().issue()
    ticket = door.knock(f"/media/{other}", auth=good)
    assert ticket is not None
    assert ticket.call_control_id == "v3:a"
    assert door.refusal(f"/media/{good}", auth=other) == ("bad_token", 403)


def test_a_percent_encoded_token_in_the_path_is_the_same_token() -> None:
    door = Door()
    token = door.issue()
    encoded = "".join(f"%{ord(character):02X}" for character in token)
    assert door.knock(f"/media/{encoded}") is door.knock(f"/media/{token}")


def test_without_a_token_the_decision_waits_for_connected() -> None:
    door = Door()
    assert door.knock() is None
    assert door.knock("/media/") is None
    assert door.knock("/media?x=y") is None
    assert door.admission.redeem(door.issue()).call_control_id == "v3:a"


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_at_the_last_chance_is_refused(token: str | None) -> None:
    with pytest.raises(AdmissionError) as raised:
        Door().admission.redeem(token)
    assert (raised.value.reason, raised.value.status) == ("no_token", 401)


def test_the_token_of_another_gateway_is_refused() -> None:
    assert Door().refusal(auth=Door().issue()) == ("bad_token", 403)


def test_no_character_of_a_token_can_be_changed() -> None:
    door = Door()
    token = door.issue()
    for place, character in enumerate(token):
        changed = token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
        assert door.refusal(auth=changed) == ("bad_token", 403)


def test_a_token_cut_short_or_made_longer_is_refused() -> None:
    door = Door()
    token = door.issue()
    for changed in (
        token[:-1],
        token[:-4],
        token[1:],
        token + "A",
        token + "AAAA",
        token + token,
        " " + token,
    ):
        assert door.refusal(auth=changed) == ("bad_token", 403)


def test_a_nonce_without_its_signature_or_with_an_empty_one_is_refused() -> None:
    door = Door()
    nonce = base64.urlsafe_b64decode(door.issue())[:16]
    for octets in (nonce, nonce + bytes(32), bytes(48), b""):
        changed = base64.urlsafe_b64encode(octets).decode() or "=="
        assert door.refusal(auth=changed) == ("bad_token", 403)


@given(st.text(min_size=1))
def test_any_text_as_token_is_refused_and_nothing_else_happens(token: str) -> None:
    door = Door()
    with pytest.raises(AdmissionError) as raised:
        door.admission.redeem(token)
    assert raised.value.reason == "bad_token"


@given(st.text(st.characters(max_codepoint=255)))
def test_any_path_is_refused_or_waits_for_a_token_and_nothing_else_happens(rest: str) -> None:
    door = Door()
    refused = set()
    for path in (rest, "/media" + rest, "/media/" + rest):
        try:
            ticket = door.knock(path)
        except AdmissionError as error:
            refused.add(error.status)
        else:
            assert ticket is None
    assert refused <= {403, 404}


@pytest.mark.parametrize("token", ["the-secret-token", "A" * 64])
def test_no_error_repeats_the_token(token: str) -> None:
    door = Door()
    for path, headers in ((f"/media/{token}", {}), ("/media", {"auth": token}), (f"/media/a/{token}", {}), (token, {})):
        with pytest.raises(AdmissionError) as raised:
            door.knock(path, **headers)
        assert token not in str(raised.value)
        assert token not in repr(raised.value)


# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "/mediax",
        "/media.",
        "/Media",
        "//media",
        "/x/media",
        "/media#x",
        "/media/../media",
        "/media/token/more",
        "/media/token/",
        "/media/a%2Fb",
        "http://gateway/media",
        "/other?/media",
    ],
)
@pytest.mark.parametrize("auth", ["token", "none"])
def test_every_other_path_is_not_found(path: str, auth: str) -> None:
    door = Door(auth)
    assert door.refusal(path, host="localhost", auth=door.issue()) == ("no_such_path", 404)


# --- a ticket's life ------------------------------------------------------------------------------------------------


def test_a_token_lasts_as_long_as_the_longest_call_and_admits_again_and_again() -> None:
    door = Door()
    token = door.issue()
    for seconds in (0.0, 1.0, LONGEST - 2.0):
        door.clock.now += seconds
        assert door.knock(auth=token) is not None
    door.clock.now += 1.0
    assert door.refusal(auth=token) == ("call_over", 403)


def test_after_the_hang_up_a_token_lasts_for_the_grace_time() -> None:
    door = Door()
    token, other = door.issue("v3:a"), door.issue("v3:b")
    door.admission.call_ended("v3:a")
    door.clock.now += GRACE - 0.1
    assert door.knock(auth=token) is not None
    door.clock.now += 0.1
    assert door.refusal(auth=token) == ("call_over", 403)
    assert door.knock(auth=other) is not None


def test_a_second_hang_up_does_not_make_the_token_last_longer() -> None:
    door = Door()
    token = door.issue()
    for _ in range(3):
        door.admission.call_ended("v3:a")
        door.clock.now += GRACE / 2
    assert door.refusal(auth=token) == ("call_over", 403)


def test_tickets_that_ran_out_are_forgotten_with_the_next_hang_up_of_any_call() -> None:
    door = Door(max_tickets=2)
    door.issue("v3:a")
    door.clock.now += LONGEST
    kept = door.issue("v3:b")
    door.admission.call_ended("v3:c")
    door.issue("v3:d")
    assert door.knock(auth=kept) is not None  # there was room for both, so the oldest was not this one


def test_beyond_the_bound_the_oldest_token_is_forgotten() -> None:
    door = Door(max_tickets=3)
    tokens = [door.issue(f"v3:{number}") for number in range(4)]
    assert door.refusal(auth=tokens[0]) == ("call_over", 403)
    assert all(door.knock(auth=token) is not None for token in tokens[1:])


def test_a_token_opens_its_own_call_only() -> None:
    door = Door()
    ticket = door.admission.redeem(door.issue("v3:a"))
    door.admission.bind(ticket, "v3:a")
    with pytest.raises(AdmissionError) as raised:
        door.admission.bind(ticket, "v3:b")
    assert raised.value.reason == "wrong_call"
    assert "v3:" not in str(raised.value)


def test_the_token_of_a_dialled_call_belongs_to_the_first_call_that_starts_with_it() -> None:
    door = Door()
    token = door.issue(None)
    door.admission.bind(door.admission.redeem(token), "v3:a")
    again = door.admission.redeem(token)
    door.admission.bind(again, "v3:a")
    with pytest.raises(AdmissionError):
        door.admission.bind(again, "v3:b")
    door.admission.call_ended("v3:a")
    door.clock.now += GRACE
    assert door.refusal(auth=token) == ("call_over", 403)


# --- the open door --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8765", "LocalHost:1", "127.0.0.1", "127.0.0.1:8765", "127.8.9.10", "[::1]", "[::1]:8765"],
)
def test_an_open_door_admits_streams_to_a_loopback_host(host: str) -> None:
    door = Door("none")
    for path in ("/media", "/media/", "/media/whatever", "/media?x"):
        ticket = door.knock(path, host=host)
        assert ticket is not None
        assert (ticket.call_control_id, ticket.asked_codec) == (None, None)


def test_each_stream_through_an_open_door_may_be_of_another_call() -> None:
    door = Door("none")
    for call_control_id in ("v3:a", "v3:b"):
        ticket = door.knock(host="localhost")
        assert ticket is not None
        door.admission.bind(ticket, call_control_id)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "gateway.example.com",
        "gateway.example.com:8765",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.example.com:80",
        "10.0.0.1",
        "128.0.0.1",
        "1127.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::2]:8765",
        "localhost:8765:8765",
        "localhost, gateway.example.com",
        "user@localhost:x",
        "localhost:",
        "localhost:123456",
        " localhost",
    ],
)
def test_an_open_door_refuses_every_other_host(host: str) -> None:
    assert Door("none").refusal(host=host) == ("not_local", 403)


def test_an_open_door_refuses_a_request_without_host() -> None:
    assert Door("none").refusal() == ("not_local", 403)


@pytest.mark.parametrize(
    "header",
    ["forwarded", "x_forwarded_for", "x_forwarded_host", "x_forwarded_proto", "x_real_ip", "via"],
)
@pytest.mark.parametrize("value", ["", "127.0.0.1"])
def test_an_open_door_refuses_what_a_proxy_forwarded(header: str, value: str) -> None:
    assert Door("none").refusal(host="localhost", **{header: value}) == ("forwarded", 403)


def test_with_tokens_any_host_and_any_proxy_will_do() -> None:
    door = Door()
    assert door.knock(host="gateway.example.com", via="1.1 tunnel", auth=door.issue()) is not None


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("https://example.com", False),
        ("https://localhost.example.com", False),
        ("null", False),
    ],
)
def test_an_open_door_refuses_a_web_page_from_elsewhere(origin: str, admitted: bool) -> None:
    door = Door("none")
    if admitted:
        assert door.knock(host="localhost", origin=origin) is not None
    else:
        assert door.refusal(host="localhost", origin=origin) == ("not_local", 403)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("::1", True),
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("127", False),
        ("127.a", False),
        ("::ffff:1.2.3.4", False),
    ],
)
def test_loopback_hosts_are_known(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


# --- several workers ------------------------------------------------------------------------------------------------


class Workers:
    """Two workers of one gateway; the first makes the tokens."""

    def __init__(self, *, second_key: bytes = b"k" * 32) -> None:
        self.clock = FakeClock()
        self.one, self.other = (
            Admission("token", clock=self.clock, longest_call=LONGEST, grace=GRACE, key=key, worker=worker)
            for worker, key in enumerate((b"k" * 32, second_key))
        )

    def elsewhere(self, token: str) -> int | None:
        return self.other.elsewhere(Handshake("/media", {AUTH_FIELD: token}, ""))


def test_a_token_names_the_worker_that_made_it() -> None:
    workers = Workers()
    token = workers.one.issue("v3:a", asked_codec=PCMU)
    assert workers.elsewhere(token) == 0
    assert workers.other.elsewhere(Handshake(f"/media/{token}", {}, "")) == 0
    assert workers.elsewhere(workers.other.issue("v3:b", asked_codec=PCMU)) is None


@pytest.mark.parametrize("token", ["", "nonsense", "A" * 64])
def test_what_is_no_token_names_nobody(token: str) -> None:
    assert Workers().elsewhere(token) is None
    assert Workers().other.elsewhere(Handshake(f"/elsewhere/{token}", {}, "")) is None


def test_the_token_of_another_gateway_names_nobody() -> None:
    workers = Workers(second_key=b"x" * 32)
    assert workers.elsewhere(workers.one.issue("v3:a", asked_codec=PCMU)) is None


def test_an_open_door_hands_nothing_on() -> None:
    door = Admission("none", clock=FakeClock(), key=b"k" * 32, worker=1)
    token = Workers().one.issue("v3:a", asked_codec=PCMU)
    assert door.elsewhere(Handshake("/media", {AUTH_FIELD: token, "host": "localhost"}, "")) is None


def test_another_workers_token_is_good_here_only_where_it_comes_late() -> None:
    workers = Workers()
    token = workers.one.issue("v3:a", asked_codec=("OPUS", 48000))
    with pytest.raises(AdmissionError) as raised:
        workers.other.admit(Handshake("/media", {AUTH_FIELD: token}, ""))
    assert (raised.value.reason, raised.value.status) == ("worker_gone", 503)
    ticket = workers.other.redeem(token)
    assert (ticket.call_control_id, ticket.asked_codec) == (None, ("OPUS", 48000))
    assert workers.other.redeem(token) is ticket
    for _ in range(2):
        with pytest.raises(AdmissionError, match="another call"):
            workers.other.bind(ticket, "v3:b")
        workers.other.bind(ticket, "v3:a")


def test_another_workers_token_for_a_dialled_call_is_held_against_its_first_start() -> None:
    workers = Workers()
    token = workers.one.issue(None, asked_codec=PCMU)
    workers.other.bind(workers.other.redeem(token), "v3:a")
    with pytest.raises(AdmissionError, match="another call"):
        workers.other.bind(workers.other.redeem(token), "v3:b")


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB", "MP3"])
@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 24000, 48000])
def test_a_token_says_which_codec_was_asked_for(encoding: str, sample_rate: int) -> None:
    workers = Workers()
    token = workers.one.issue("v3:a", asked_codec=(encoding, sample_rate))
    assert workers.other.redeem(token).asked_codec == (encoding, sample_rate)


def test_another_workers_token_is_good_as_long_as_it_is_there_and_never_again_after_the_call() -> None:
    workers = Workers()
    workers.clock.now = 50.5
    token, second = (workers.one.issue("v3:a", asked_codec=PCMU) for _ in range(2))
    workers.other.bind(workers.other.redeem(token), "v3:a")
    workers.other.call_ended("v3:a")
    workers.clock.now += GRACE - 1
    workers.other.redeem(token)
    workers.clock.now += 2
    workers.other.call_ended("v3:b")  # others come and go
    with pytest.raises(AdmissionError, match="is over"):
        workers.other.redeem(token)
    workers.clock.now = 50 + LONGEST - 1
    workers.other.redeem(second)
    workers.clock.now = 50 + LONGEST + 1
    with pytest.raises(AdmissionError, match="is over"):
        workers.other.redeem(second)
