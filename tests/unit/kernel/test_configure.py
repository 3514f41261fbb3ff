"""Configurations that begin with more than nothing, with a make that takes whatever it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from toolkit.core.arch import X86_64
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.core.observer import Silent
from toolkit.host.cache import Cache
from toolkit.kernel import configure, kconfig, starting_config, worktree
from toolkit.kernel.configure import Wanted
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.starting_config import StartingConfig

MAKEFILE = r"""
VERSION = 6
PATCHLEVEL = 12
tinyconfig:
	@echo tiny >> $(O)/made; echo 'CONFIG_TINY=y' > $(O)/.config
defconfig:
	@echo def >> $(O)/made; printf 'CONFIG_DEF=y\nCONFIG_E1000=m\nCONFIG_SND=m\n' > $(O)/.config
olddefconfig:
	@echo old >> $(O)/made; grep -v DROP $(O)/.config > $(O)/new; mv $(O)/new $(O)/.config
	@grep -q 'CONFIG_PARENT=[ym]' $(O)/.config || sed -i /CONFIG_CHILD/d $(O)/.config
.PHONY: tinyconfig defconfig olddefconfig
"""
KCONFIG = """
config NET
	bool "net"
menu "Drivers"
	depends on NET
config PHY
	tristate "phy"
config E1000
	tristate "e1000"
	depends on PHY && !TINY
endmenu
config PARENT
	tristate "parent"
config CHILD
	tristate "child"
	depends on PARENT
"""


class Heard(Silent):
    """Keeps each notice."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


class Shop:
    """Configures one tree after another, in one cache."""

    def __init__(self, tmp_path: Path) -> None:
        more = {"Makefile": MAKEFILE, "Kconfig": KCONFIG}
        more["drivers/net/Makefile"] = (
            "obj-$(CONFIG_E1000) += e1000.o\nobj-$(CONFIG_B44) += b44.o\n"
        )
        self.base = make_base(tmp_path / "base", **more)
        self.heard = Heard()
        self.cache = Cache(tmp_path / "cache")
        self.builder = Builder(self.cache, X86_64, worktree.materialise, 2, self.heard)

    def configure(
        self,
        start: StartingConfig,
        *fragments: Fragment,
        touches: Sequence[str] = (),
        all_modules: bool = False,
    ) -> tuple[dict[str, str], bool]:
        """Return the options, and whether the cache had them; notices are those of this call."""
        self.heard.notices.clear()
        files = {name: PatchedFile(b"") for name in touches}
        tree = PatchedTree(self.base, None, files, f"tree {touches}")
        wanted = Wanted(tuple(fragments), start, all_modules)
        config, found = configure.configure(self.builder, tree, wanted, soon())
        return kconfig.parse_config(config.text), found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


DEFCONFIG = starting_config.parse("defconfig")


def test_each_start_is_another_configuration_and_found_again(shop: Shop) -> None:
    mine = StartingConfig("mine", "CONFIG_MINE=y\n")
    for start, option in ((starting_config.TINY, "TINY"), (DEFCONFIG, "DEF"), (mine, "MINE")):
        options, found = shop.configure(start)
        assert (options[f"CONFIG_{option}"], found) == ("y", False)
        assert shop.configure(start)[1]
    # By content: another file with the same text is the same configuration.
    assert shop.configure(StartingConfig("other", "CONFIG_MINE=y\n"))[1]
    assert not shop.configure(StartingConfig("mine", "CONFIG_MINE=m\n"))[1]


def test_what_is_changed_is_said_with_who_wanted_it_each_time(shop: Shop) -> None:
    mine = StartingConfig("mine", "CONFIG_VIRTIO_NET=m\nCONFIG_NET=y\n")
    image = Fragment(
        "image minimal", {"CONFIG_VIRTIO_NET": "y", "CONFIG_NET": "y", "CONFIG_X": "n"}
    )
    for _ in range(2):
        options, _ = shop.configure(mine, image)
        assert options["CONFIG_VIRTIO_NET"] == "y"
        said = ["mine is changed for image minimal: CONFIG_VIRTIO_NET=y (was m)"]
        assert shop.heard.notices == said
    shop.configure(starting_config.TINY, image)
    assert shop.heard.notices == []


def test_what_this_kernel_does_not_have_of_a_file_is_said(shop: Shop) -> None:
    text = "CONFIG_A=y\nCONFIG_DROP_A=y\nCONFIG_DROP_B=m\nCONFIG_CC_DROP=y\nCONFIG_DROP_NUMBER=4\n"
    shop.configure(StartingConfig("mine", text))
    said = "this kernel does not have 2 options of mine: CONFIG_DROP_A=y, CONFIG_DROP_B=m"
    assert shop.heard.notices == [said]


def test_what_is_asked_on_top_is_still_verified(shop: Shop) -> None:
    asked = Fragment("--kconfig", {"CONFIG_DROP": "y"})
    with pytest.raises(UserError, match="Kconfig dropped CONFIG_DROP=y, which --kconfig asks for"):
        shop.configure(DEFCONFIG, asked)


def test_what_a_wish_depends_on_is_asked_for_with_it(shop: Shop) -> None:
    wish = Fragment("target", {"CONFIG_CHILD": "m", "CONFIG_DROP": "y"}, soft=True)
    options, _ = shop.configure(starting_config.TINY, wish)
    assert (options["CONFIG_CHILD"], options["CONFIG_PARENT"]) == ("m", "m")
    (said,) = shop.heard.notices
    assert said.startswith("Kconfig dropped CONFIG_DROP=y ")
    shop.configure(DEFCONFIG, wish)
    assert (
        "defconfig is changed for what others depend on: CONFIG_PARENT=m (was n)"
        in shop.heard.notices
    )


def test_but_not_what_somebody_wants_off(shop: Shop) -> None:
    wish = Fragment("target", {"CONFIG_CHILD": "m"}, soft=True)
    off = Fragment("--kconfig", {"CONFIG_PARENT": "n"})
    options, _ = shop.configure(starting_config.TINY, wish, off)
    assert "CONFIG_CHILD" not in options
    assert options["CONFIG_PARENT"] == "n"
    assert shop.heard.notices[0].startswith("Kconfig dropped CONFIG_CHILD=m (it depends on PARENT")


def test_modules_that_nobody_needs_are_left_out_and_counted(shop: Shop) -> None:
    phy = StartingConfig("mine", "".join(f"CONFIG_{x}=m\n" for x in ("PHY", "E1000", "B44", "SND")))
    options, _ = shop.configure(phy)
    assert set(options.values()) == {"n"}
    (said,) = shop.heard.notices
    assert said.startswith("mine: 4 of its 4 modules' options are left out")
    assert "--all-modules" in said
    # Asked for: it stays, with what it depends on.
    options, _ = shop.configure(phy, Fragment("suite", {"CONFIG_E1000": "m"}))
    kept = {option for option, value in options.items() if value == "m"}
    assert kept == {"CONFIG_E1000", "CONFIG_PHY"}
    # Touched by the series: the same.
    options, _ = shop.configure(phy, touches=["drivers/net/e1000.c", "sound/x.c"])
    assert {option for option, value in options.items() if value == "m"} == kept
    options, _ = shop.configure(phy, all_modules=True)
    assert set(options.values()) == {"m"}
    assert shop.heard.notices == []


def test_a_kernel_that_hashes_signed_modules_can(shop: Shop) -> None:
    signing = 'tfm = crypto_alloc_shash("sha256", 0, 0);'
    (shop.base.path / "kernel/module").mkdir(parents=True)
    (shop.base.path / "kernel/module/signing.c").write_text(signing)
    options, _ = shop.configure(starting_config.TINY)
    assert "CONFIG_CRYPTO_SHA256" not in options
    signed = Fragment("--kconfig", {"CONFIG_MODULE_SIG": "y"})
    options, _ = shop.configure(starting_config.TINY, signed)
    assert options["CONFIG_CRYPTO_SHA256"] == "y"
    assert "kernel/module/signing.c" in shop.heard.notices[-1]


def test_keys_of_somebody_else_s_are_left_out_and_modules_that_must_be_are_signed(
    shop: Shop,
) -> None:
    text = (
        'CONFIG_SYSTEM_TRUSTED_KEYS="debian/certs/uefi.pem"\nCONFIG_MODULE_SIG_KEY="pkcs11:x"\n'
        "CONFIG_MODULE_SIG_FORCE=y\n"
    )
    options, _ = shop.configure(StartingConfig("mine", text))
    assert options["CONFIG_SYSTEM_TRUSTED_KEYS"] == '""'
    assert options["CONFIG_MODULE_SIG_KEY"] == '"certs/signing_key.pem"'
    assert options["CONFIG_MODULE_SIG_ALL"] == "y"
    assert len(shop.heard.notices) == 3
    assert "loads signed modules alone: CONFIG_MODULE_SIG_ALL=y (was n)" in shop.heard.notices[2]
    forced = Fragment("--kconfig", {"CONFIG_MODULE_SIG_FORCE": "y"})
    options, _ = shop.configure(starting_config.TINY, forced)
    assert options["CONFIG_MODULE_SIG_ALL"] == "y"
    assert len(shop.heard.notices) == 1


def test_keys_that_the_tree_has_stay(shop: Shop) -> None:
    (shop.base.path / "certs").mkdir()
    (shop.base.path / "certs/mine.pem").write_text("")
    text = (
        'CONFIG_SYSTEM_TRUSTED_KEYS="certs/mine.pem"\nCONFIG_MODULE_SIG_KEY="certs/signing_key.pem"'
    )
    options, _ = shop.configure(StartingConfig("mine", text))
    assert options["CONFIG_SYSTEM_TRUSTED_KEYS"] == '"certs/mine.pem"'
    assert shop.heard.notices == []


def test_pahole_counts_where_btf_is_asked_for(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(("", "v1.24", "v1.25"))
    asked = Fragment("f", {"CONFIG_DEBUG_INFO_BTF": "y"})
    for _ in range(3):
        version = next(versions)
        monkeypatch.setattr(configure, "pahole_version", lambda _, version=version: version)
        assert not shop.configure(starting_config.TINY, asked)[1]
    assert not shop.configure(starting_config.TINY)[1]
    monkeypatch.setattr(configure, "pahole_version", lambda _: "v1.26")
    assert shop.configure(starting_config.TINY)[1]
