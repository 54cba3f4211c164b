import re

import pytest

from gateway import errors
from gateway.errors import AdmissionError, ControlError, GatewayError, SignatureError


def tree() -> dict[str, str]:
    """What the module's docstring draws: each error and its parent."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = [(0, "Exception")]
    for spaces, name in re.findall(r"^( +)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        while path[-1][0] >= len(spaces):
            path.pop()
        parents[name] = path[-1][1]
        path.append((len(spaces), name))
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    classes = {name: getattr(errors, name) for name in errors.__all__}
    assert {name: kind.__base__.__name__ for name, kind in classes.items()} == tree()
    assert all(issubclass(kind, GatewayError) for kind in classes.values())


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(0, True), (408, True), (429, True), (500, True), (503, True), (400, False), (401, False), (404, False)],
)
def test_a_command_is_retryable_where_it_may_succeed_later(status: int, *, retryable: bool) -> None:
    error = ControlError("refused", status=status, code="90018")
    assert (error.retryable, error.status, error.code, str(error)) == (retryable, status, "90018", "refused")


def test_a_command_without_an_answer_is_retryable() -> None:
    error = ControlError("no answer")
    assert (error.status, error.code, error.retryable) == (0, "", True)


def test_refusals_carry_their_reason_beside_their_text() -> None:
    signature = SignatureError("stale", "timestamp is 412 s away, limit 300 s")
    assert (signature.reason, str(signature)) == ("stale", "timestamp is 412 s away, limit 300 s")
    admission = AdmissionError("no_token", 401, "a media stream needs the token of its call")
    assert (admission.reason, admission.status, str(admission)) == (
        "no_token",
        401,
        "a media stream needs the token of its call",
    )
