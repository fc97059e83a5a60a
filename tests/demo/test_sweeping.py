"""What visitors left is removed when it is old, and not before."""

from __future__ import annotations

import time

from noisewise.demo.web.sweeping import sweep


def test_only_what_is_old_goes(tmp_path):
    (tmp_path / "of a visitor").mkdir()
    old, new = tmp_path / "of a visitor" / "old.png", tmp_path / "new.png"
    old.write_bytes(b"old")
    time.sleep(1.5)
    new.write_bytes(b"new")
    sweep(tmp_path, 60)
    assert old.exists()
    sweep(tmp_path, 1)
    assert not old.exists()
    assert new.read_bytes() == b"new"


def test_what_is_touched_stays(tmp_path):
    used = tmp_path / "used.png"
    used.write_bytes(b"used")
    time.sleep(1.5)
    used.touch()
    sweep(tmp_path, 1)
    assert used.exists()
