"""`kill -9` in the middle of calls; `make test-kill` does more of that."""

from pathlib import Path

from tests.kill_recorder import kill_once


async def test_kill_minus_nine_costs_no_more_than_the_last_second(tmp_path: Path) -> None:
    losses = await kill_once(tmp_path, calls=5, after=2.1)
    assert len(losses) == 5
    for loss in losses:
        assert loss.sent > 1.5
        assert loss.left <= 1.0
        assert loss.right < loss.sent  # the echo is there as well, and comes a little later
