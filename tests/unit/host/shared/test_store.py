"""A shared cache in a folder: what one host puts there another one takes, or does not."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, UserError
from toolkit.host import integrity, process
from toolkit.host.cache import Cache
from toolkit.host.shared import store
from toolkit.host.shared.keys import Keyring
from toolkit.host.shared.store import SharedCache

KEY = "00ff"


class Host:
    """A host with a cache of its own, and what it was told."""

    def __init__(self, folder: Path, url: str, *, signs: bool = True) -> None:
        self.folder = folder
        self.ring = Keyring(folder / "settings")
        if signs:
            self.ring.make_own()
        self.url = url
        self.heard: list[str] = []
        self.made: list[str] = []

    def trusts(self, other: Host) -> None:
        own = other.ring.own()
        assert own
        self.ring.trust(own.public)

    def cache(self, *, cold: bool = False) -> Cache:
        shared = SharedCache(self.url, self.ring, self.heard.append)
        return Cache(self.folder / "cache", cold=cold, shared=shared)

    def make(self, kind: str = "build", cache: Cache | None = None) -> tuple[Path, bool]:
        """Have an entry made, where it is nowhere."""

        def fill(into: Path) -> None:
            self.made.append(kind)
            (into / "sub").mkdir()
            (into / "sub/kernel").write_bytes(b"kernel" * 1000)
            (into / "link").symlink_to("sub/kernel")
            (into / "run").write_text("#!/bin/sh\n")
            (into / "run").chmod(0o755)
            with (into / "memory").open("wb") as file:
                file.truncate(1 << 24)
                file.seek(1 << 20)
                file.write(b"page")

        cache = cache or self.cache()
        return cache.make(kind, KEY, fill, deadline=soon(), label="6.12.1")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/shared"


@pytest.fixture
def maker(tmp_path: Path, url: str) -> Host:
    return Host(tmp_path / "one", url)


@pytest.fixture
def taker(tmp_path: Path, url: str, maker: Host) -> Host:
    host = Host(tmp_path / "two", url, signs=False)
    host.trusts(maker)
    return host


def test_what_one_host_made_another_one_takes(maker: Host, taker: Host) -> None:
    made, found = maker.make()
    assert not found
    taken, found = taker.make()
    assert found
    assert taker.made == []
    assert integrity.digests(taken) == integrity.digests(made) | {
        ".sealed.json": integrity.digests(taken)[".sealed.json"]
    }
    assert (taken / "run").stat().st_mode == (made / "run").stat().st_mode
    assert (taken / "memory").stat().st_blocks < (1 << 20) // 512  # it has its holes
    assert taker.heard[-1].startswith(f"the build of 6.12.1 from {taker.url}, ")
    taker.heard.clear()
    assert taker.make()[1]
    assert taker.heard == [], "it is this host's own now"


def test_a_source_is_recognized_by_its_times(maker: Host, taker: Host) -> None:
    def fill(into: Path) -> None:
        (into / "tree").mkdir()
        (into / "tree/Makefile").write_text("all:\n")
        (into / "tree/link").symlink_to("Makefile")
        os.utime(into / "tree/Makefile", ns=(1, 1_700_000_000_123_456_789))
        integrity.remember_stamps(into / "tree")

    for host in (maker, taker):
        path, _ = host.cache().make("source", KEY, fill, deadline=soon(), checked=False)
        assert integrity.stamp_damage(path / "tree") == ""
    assert "from" in taker.heard[-1]


def test_what_a_host_can_do_and_what_a_test_said_are_not_shared(
    maker: Host, tmp_path: Path
) -> None:
    for kind in ("probe", "result"):
        maker.make(kind)
    assert not (tmp_path / "shared").exists()


def test_cold_takes_nothing_and_replaces_it(maker: Host, taker: Host) -> None:
    maker.make()
    assert not taker.make(cache=taker.cache(cold=True))[1]
    assert not maker.make(cache=maker.cache(cold=True))[1]


def test_who_is_not_trusted_is_not_taken_from(maker: Host, taker: Host) -> None:
    maker.make()
    own = maker.ring.own()
    assert own
    taker.ring.distrust(own.public)
    taker.ring.make_own()
    assert not taker.make()[1]
    (refused, stored) = taker.heard
    assert refused.startswith(
        "the build of 6.12.1 in the shared cache is not used: it is signed with a key that is not "
        "trusted, ed25519 "
    )
    assert stored.startswith(f"the build of 6.12.1 to {taker.url}, ")
    taker.heard.clear()
    maker.trusts(taker)
    (maker.folder / "cache").rename(maker.folder / "gone")
    assert maker.make()[1], "it has the word of the other one now"


def test_without_any_trusted_key_nothing_is_asked(maker: Host, taker: Host) -> None:
    maker.make()
    own = maker.ring.own()
    assert own
    taker.ring.distrust(own.public)
    assert not taker.make()[1]
    (why,) = taker.heard
    assert "no key is trusted" in why


def test_a_damaged_archive_is_absent(maker: Host, taker: Host, tmp_path: Path) -> None:
    maker.make()
    (archive,) = (tmp_path / "shared/build").glob("*.zst")
    data = archive.read_bytes()
    for damaged in (data[:-1] + bytes([data[-1] ^ 1]), data[: len(data) // 2], b""):
        archive.write_bytes(damaged)
        assert not taker.make()[1]
        assert taker.heard[-1].endswith("its archive is not the one that was signed")
        taker.cache().discard("build", KEY)
    archive.write_bytes(data)
    assert taker.make()[1]


def test_an_archive_that_grew_is_not_read_to_its_end(
    maker: Host, taker: Host, tmp_path: Path
) -> None:
    maker.make()
    (archive,) = (tmp_path / "shared/build").glob("*.zst")
    with archive.open("ab") as file:
        file.truncate(1 << 40)
    assert not taker.make()[1]
    assert "is larger than" in taker.heard[-1]


def test_an_archive_that_is_gone_is_absent(maker: Host, taker: Host, tmp_path: Path) -> None:
    maker.make()
    (archive,) = (tmp_path / "shared/build").glob("*.zst")
    archive.unlink()
    assert not taker.make()[1]
    assert (tmp_path / "two/cache/build" / KEY).exists()


def test_an_entry_under_another_name_is_absent(maker: Host, taker: Host, tmp_path: Path) -> None:
    maker.make()
    (statement,) = (tmp_path / "shared/build").glob("*.json")
    (tmp_path / "shared/image").mkdir()
    (tmp_path / "shared/image" / statement.name).write_bytes(statement.read_bytes())
    assert not taker.make("image")[1]
    assert taker.heard[-1].endswith(f"it is another entry, build/{KEY}")


def test_a_store_that_cannot_be_written_costs_a_notice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    host = Host(tmp_path / "one", f"{tmp_path}/file")
    cache = host.cache()
    assert not host.make("build", cache)[1]
    assert not host.make("image", cache)[1]
    asked, stored, failed = host.heard
    assert "is not read any more: NotADirectoryError: " in asked
    assert stored.startswith("the build of 6.12.1 to ")
    assert "is not written any more: NotADirectoryError: " in failed


def test_a_store_whose_folder_cannot_be_made_costs_a_notice(tmp_path: Path) -> None:
    host = Host(tmp_path / "one", "/proc/none")  # as a bucket that is not there
    cache = host.cache()
    assert not host.make("build", cache)[1]
    assert not host.make("image", cache)[1]
    assert "is not written any more: FileNotFoundError: " in host.heard[-1]
    assert sum("/proc/none" in line for line in host.heard) == len(host.heard) == 2


@pytest.mark.parametrize("url", ["s3://", "sftp:///", "s3:"])
def test_a_url_without_a_place_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="has no place"):
        Host(tmp_path / "one", url).cache()


def test_a_place_that_nobody_knows_costs_a_notice(tmp_path: Path) -> None:
    host = Host(tmp_path / "one", "nowhere://bucket")
    assert not host.make()[1]
    assert "the shared cache nowhere://bucket is not read any more: " in host.heard[0]
    assert "nowhere" in host.heard[0]


def hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every copy take for ever."""
    run = process.run
    monkeypatch.setattr(store, "_ASK_SECONDS", 0.3)

    def hanging(argv: list[str], **how: object) -> process.Completed:
        if argv[0] == sys.executable:
            argv = ["sleep", "1000"]
        return run(argv, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "run", hanging)


def test_a_store_that_hangs_costs_a_notice(maker: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    hang(monkeypatch)
    began = time.monotonic()
    assert not maker.make()[1]
    assert time.monotonic() - began < 60
    assert "is not read any more: it does not answer in time" in maker.heard[0]
    assert "is not written any more: it does not answer in time" in maker.heard[-1]


def test_a_run_that_is_out_of_time_is_no_fault_of_the_store(
    maker: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(monkeypatch)
    with pytest.raises(DeadlineError):
        maker.cache().make("build", KEY, lambda _: None, deadline=Deadline.after(0.1))
    assert maker.heard == []


def test_nothing_is_left_beside_the_entries(maker: Host, taker: Host, tmp_path: Path) -> None:
    maker.make()
    taker.make()
    for folder in (tmp_path / "one/cache/build", tmp_path / "two/cache/build"):
        assert [path.name for path in folder.iterdir() if path.is_dir()] == [KEY]
    assert sorted(path.suffix for path in (tmp_path / "shared/build").iterdir()) == [
        ".json",
        ".zst",
    ]
