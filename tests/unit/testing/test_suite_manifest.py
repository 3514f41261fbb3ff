from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.formats.manifest import Manifest, load
from toolkit.testing.suite_manifest import Allowed, AllowManifest, SuiteManifest


def read(tmp_path: Path, model: type[Manifest], text: str) -> Manifest:
    (tmp_path / "a.yaml").write_text(text)
    return load(tmp_path / "a.yaml", model)


def test_what_may_be_said(tmp_path: Path) -> None:
    text = "upstream: net/lib\ntimeouts: {'vmx_*': 90, slow: 0.5}\n"
    assert read(tmp_path, SuiteManifest, text) == SuiteManifest(
        upstream="net/lib", timeouts={"vmx_*": 90, "slow": 0.5}
    )
    text = "allow:\n  - {test: 'vmx_*', reason: no VMX, accel: tcg}\n"
    (entry,) = read(tmp_path, AllowManifest, text).allow  # type: ignore[attr-defined]
    assert entry == Allowed(test="vmx_*", reason="no VMX", action="xfail", accel="tcg")


@pytest.mark.parametrize(
    ("model", "text", "fault", "hint"),
    [
        (SuiteManifest, "upstrem: kvm\n", "a.yaml:1: unknown key 'upstrem'", "'upstream'"),
        (SuiteManifest, "timeouts: {}\n", "key 'upstream' is missing", ""),
        (SuiteManifest, "upstream: ../kvm\n", "upstream: '../kvm' is no path below", ""),
        (SuiteManifest, "upstream: /kvm\n", "upstream: '/kvm' is no path below", ""),
        (SuiteManifest, "upstream: kvm\ntimeouts: {a: 0}\n", "timeouts.a: ", ""),
        (SuiteManifest, "upstream: kvm\ntimeouts: {a: .inf}\n", "timeouts.a: ", ""),
        (AllowManifest, "allow:\n  - {test: a, reson: b}\n", "a.yaml:2: unknown key 'reson'", "n'"),
        (AllowManifest, "allow:\n  - {test: a}\n", "'reason' is missing in allow[0]", ""),
        (AllowManifest, "allow:\n  - {test: a, reason: ''}\n", "allow[0].reason: ", ""),
        (AllowManifest, "allow:\n  - {test: a, reason: b, accel: hvf}\n", "allow[0].accel: ", ""),
        (AllowManifest, "allow:\n  - {test: a, reason: b, action: no}\n", "allow[0].action", ""),
    ],
)
def test_what_may_not(
    tmp_path: Path, model: type[Manifest], text: str, fault: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, model, text)
    assert fault in caught.value.what
    assert hint in (caught.value.hint or "")
