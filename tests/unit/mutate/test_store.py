from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.model.mutation import Fate, Verdict
from toolkit.mutate.store import Store, Tests

TESTS = Tests({"kvm/a": "1", "kvm/c": "1"}, "all")
WHOLE = Verdict(
    Fate.KILLED, "kvm/a/b", "fail: é\ud800", ("kvm/x",), ("kvm/y",), seconds=1.5, code="ab"
)


def test_a_verdict_is_there_for_the_next_run(tmp_path: Path) -> None:
    store = Store(tmp_path, TESTS)
    assert store.get("one") is None
    store.keep("one", WHOLE)
    store.keep("two", Verdict(Fate.EQUIVALENT))
    assert store.get("one") == Store(tmp_path, TESTS).get("one") == WHOLE
    assert Store(tmp_path, TESTS).get("two") == Verdict(Fate.EQUIVALENT)


def test_the_last_verdict_counts(tmp_path: Path) -> None:
    store = Store(tmp_path, TESTS)
    store.keep("one", WHOLE)
    store.keep("one", Verdict(Fate.SURVIVED))
    assert Store(tmp_path, TESTS).get("one") == Verdict(Fate.SURVIVED)


def test_a_line_that_nobody_wrote_counts_for_nothing(tmp_path: Path) -> None:
    Store(tmp_path, TESTS).keep("one", WHOLE)
    (file,) = tmp_path.iterdir()
    line = file.read_text()
    file.write_text(line.replace('"one"', '["one"]') + "[" * 100_000 + "\n[]\n1\n" + line)
    assert Store(tmp_path, TESTS).get("one") == WHOLE


def test_a_verdict_holds_for_the_tests_that_it_rests_on(tmp_path: Path) -> None:
    store = Store(tmp_path, TESTS)
    verdicts = {
        "by a": Verdict(Fate.KILLED, "kvm/a/case"),
        "by c": Verdict(Fate.KILLED, "kvm/c/case"),
        "at boot": Verdict(Fate.KILLED, "boot/dmesg"),
        "no boot": Verdict(Fate.KILLED, "boot"),
        "by none": Verdict(Fate.KILLED, "every program"),
        "alive": Verdict(Fate.SURVIVED),
        "same": Verdict(Fate.EQUIVALENT),
        "twin": Verdict(Fate.DUPLICATE, "by a"),
        "no": Verdict(Fate.UNBUILT),
    }
    for name, verdict in verdicts.items():
        store.keep(name, verdict)
    edited = Tests({"kvm/a": "2", "kvm/c": "1", "kvm/new": "1"}, "other")
    after = Store(tmp_path, edited)
    held = {name for name in verdicts if after.get(name)}
    assert held == {"by c", "at boot", "no boot", "same", "twin", "no"}
    after.keep("by a", Verdict(Fate.SURVIVED))
    assert Store(tmp_path, edited).get("by a") == Verdict(Fate.SURVIVED)
    # What was known of the tests before the edit holds again without it.
    assert {name for name in verdicts if Store(tmp_path, TESTS).get(name)} == set(verdicts)
    gone = Store(tmp_path, Tests({"kvm/c": "1"}, "fewer"))
    assert gone.get("by a") is None


@given(cut=st.integers(0, 400), junk=st.binary(max_size=30))
def test_what_a_killed_run_wrote_in_part_costs_that_verdict_alone(
    tmp_path_factory: object, cut: int, junk: bytes
) -> None:
    folder = Path(tmp_path_factory.mktemp("store"))  # type: ignore[attr-defined]
    store = Store(folder, TESTS)
    store.keep("one", WHOLE)
    first = (folder / "verdicts.jsonl").read_bytes()
    store.keep("two", WHOLE)
    both = (folder / "verdicts.jsonl").read_bytes()
    kept = both[: min(len(both), len(first) + cut)]
    (folder / "verdicts.jsonl").write_bytes(
        kept + (junk.replace(b"\n", b"") if kept != both else b"")
    )
    after = Store(folder, TESTS)
    assert after.get("one") == WHOLE
    after.keep("three", WHOLE)
    assert Store(folder, TESTS).get("three") == WHOLE
    assert Store(folder, TESTS).get("one") == WHOLE


def test_several_threads_keep_whole_lines(tmp_path: Path) -> None:
    store = Store(tmp_path, TESTS)

    def keep(at: int) -> None:
        for number in range(20):
            store.keep(f"{at}-{number}", WHOLE)

    threads = [threading.Thread(target=keep, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Store(tmp_path, TESTS)
    assert all(again.get(f"{at}-{number}") == WHOLE for at in range(4) for number in range(20))
