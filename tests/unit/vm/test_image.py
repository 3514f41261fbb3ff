import re
import shutil
import stat
import textwrap
from pathlib import Path

import pytest

from toolkit.core.arch import ARM64, KNOWN, X86_64, Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.machine import GuestImage
from toolkit.core.observer import Silent
from toolkit.formats import cpio
from toolkit.formats.manifest import load
from toolkit.host import apt
from toolkit.host.apt import Member, Package
from toolkit.host.apt_lists import Lists
from toolkit.host.cache import Cache
from toolkit.kernel.kconfig import parse_config
from toolkit.vm import image
from toolkit.vm.image import (
    ImageManifest,
    build_image,
    context,
    kernel_configs,
    locate,
    read_manifest,
    templates,
)

IMAGES = Path(__file__).parents[3] / "vm-images"
CARRIED = sorted(path.parent.name for path in IMAGES.glob("*/image.yaml"))

MANIFEST = """\
title: a test image
ssh-server: dropbear
initramfs:
  packages: [box, server]
  programs: [busybox, server]
  applets: sh cat
files:
  /init: { template: init.j2, mode: "0755" }
folders:
  /tmp: "1777"
"""
PROFILE = """\
machine-type: q35
cmdline: [console=ttyS0]
devices: [-device, "virtio-net-pci,netdev={{ netdev }}"]
"""
PACKAGES = {
    "box": {"usr/bin/busybox": Member(b"the box", executable=True)},
    "server": {"usr/sbin/server": Member(b"the server", executable=True)},
}


def soon() -> Deadline:
    return Deadline.after(60)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "vm-images" / "test"
    folder.mkdir(parents=True)
    (folder / "image.yaml").write_text(MANIFEST)
    (folder / "init.j2").write_text("#!/bin/sh\necho {{ ready }}\n")
    (folder / "qemu.yaml.j2").write_text(PROFILE)
    return folder.parent


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stand in for apt: packages from PACKAGES, in the versions of the dict that this returns."""
    versions = dict.fromkeys(PACKAGES, "1")

    def answer(
        names: list[str], cache: Cache, deadline: Deadline, lists: Lists | None = None
    ) -> tuple[Package, ...]:
        return tuple(
            Package(name, versions[name], "all", f"{name}-{versions[name]}") for name in names
        )

    monkeypatch.setattr(apt, "candidates", answer)
    monkeypatch.setattr(
        apt, "fetch", lambda packages, cache, deadline, lists: [Path(p.name) for p in packages]
    )
    monkeypatch.setattr(apt, "contents", lambda path, deadline: PACKAGES[path.name])
    return versions


def build(images: Path, cache: str = "cache") -> tuple[GuestImage, bool]:
    store = Cache(images.parent / cache)
    return build_image("test", images, store, Silent(), soon(), arch=X86_64)


# --- finding -----------------------------------------------------------------------------


def test_an_image_is_found_by_name_or_path(images: Path) -> None:
    assert locate("test", images) == images / "test"
    assert locate(str(images / "test"), Path("/nowhere")) == images / "test"


def test_an_unknown_image_lists_what_there_is(images: Path) -> None:
    with pytest.raises(UserError, match="no image 'tset'") as caught:
        locate("tset", images)
    assert "did you mean 'test'" in caught.value.hint
    assert "images: test" in caught.value.hint


def test_further_packages_go_into_a_debian_alone(images: Path) -> None:
    ours = Path(__file__).parents[3] / "vm-images"
    plain = read_manifest("tools", ours, X86_64)
    more = read_manifest("tools", ours, X86_64, ("sparse", "bash", "gdb"))
    assert plain.disk
    assert more.disk
    assert more.disk.packages == (*plain.disk.packages, "gdb", "sparse")
    with pytest.raises(UserError, match="lives in memory and takes no further packages") as caught:
        read_manifest("minimal", ours, X86_64, ("gdb",))
    assert "--image tools" in caught.value.hint
    for wrong in ("Gdb", "-o", "gdb,sparse", ""):
        with pytest.raises(UserError, match="is no name of a Debian package"):
            read_manifest("tools", ours, X86_64, (wrong,))


@pytest.mark.parametrize("tiny", [True, False])
def test_one_kernel_serves_all_images_with_a_debian(tiny: bool) -> None:
    def asked(image: str) -> list[str]:
        return [path.read_text() for path in kernel_configs(image, IMAGES, X86_64, tiny=tiny)]

    runner = Path(__file__).parents[2] / "data/images/runner"
    assert asked("debian") == asked("tools") == asked(str(runner))


def test_a_debian_of_another_architecture_is_refused_and_one_in_memory_is_not() -> None:
    read_manifest("minimal", IMAGES, ARM64)
    with pytest.raises(UserError, match="debian cannot be made for arm64 on this host") as caught:
        read_manifest("debian", IMAGES, ARM64)
    assert "--image minimal" in caught.value.hint


def test_an_image_without_kernel_options(images: Path) -> None:
    with pytest.raises(UserError, match=r"kernel\.config"):
        kernel_configs("test", images, X86_64, tiny=False)


# --- the manifest ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("initramfs:", "initramsf:", "unknown key 'initramsf'"),
        ("/init:", "init:", "files"),
        ("/init:", "/../init:", "files"),
        ('"0755"', "rwx", "mode"),
        ("init.j2", "../init.j2", "template"),
        ("dropbear", "telnet", "ssh-server"),
        ("[box, server]", "[box, --force]", "packages"),
        ("title", "disk: { packages: [xx] }\ntitle", "either `initramfs` or `disk`"),
    ],
)
def test_faults_in_the_manifest(images: Path, old: str, new: str, message: str) -> None:
    path = images / "test" / "image.yaml"
    path.write_text(MANIFEST.replace(old, new))
    with pytest.raises(UserError, match=re.escape(message)):
        load(path, ImageManifest)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("memory-mib: 99999999999", r"image\.yaml:2: memory-mib: .* 1048576"),
        (
            "disk: {packages: [a1], size-mib: 99999999999}",
            r"image\.yaml:2: disk\.size-mib: .* 1048576",
        ),
    ],
)
def test_sizes_that_no_host_has_are_refused(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "image.yaml").write_text(f"title: x\n{line}\nssh-server: dropbear\n")
    with pytest.raises(UserError, match=what):
        load(tmp_path / "image.yaml", ImageManifest)


# --- rendering ---------------------------------------------------------------------------


def test_an_unknown_name_in_a_template_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="'hots' is undefined") as caught:
        image.render("a.j2", {"a.j2": "{{ hots }}"}, {"host": 1})
    assert "host" in caught.value.hint


def test_a_syntax_error_in_a_template_has_its_line() -> None:
    with pytest.raises(UserError, match=r"a\.j2:2: "):
        image.render("a.j2", {"a.j2": "one\n{{ broken\n"}, {})


@pytest.mark.parametrize(
    "expression", ["{{ 1/0 }}", "{{ name + 1 }}", "{% include 'a.j2' %}", "{{ range(10**9) }}"]
)
def test_what_an_expression_ends_in_is_the_template_s_fault(expression: str) -> None:
    with pytest.raises(UserError, match=r"^a\.j2: ") as caught:
        image.render("a.j2", {"a.j2": expression}, {"name": "x"})
    assert caught.value.hint


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"cannot read the template .*a\.j2: it is not UTF-8"):
        image.templates(tmp_path)
    (tmp_path / "a.j2").unlink()
    (tmp_path / "a.j2").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        image.templates(tmp_path)


def test_a_template_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"no template b\.j2"):
        image.render("b.j2", {"a.j2": ""}, {})
    with pytest.raises(UserError, match=r"no template b\.j2"):
        image.render("a.j2", {"a.j2": "{% include 'b.j2' %}"}, {})


def test_templates_cannot_reach_into_python() -> None:
    with pytest.raises(UserError, match="unsafe"):
        image.render("a.j2", {"a.j2": "{{ name.__class__.__mro__ }}"}, {"name": "x"})


# --- building ----------------------------------------------------------------------------


def test_what_is_built(images: Path, archive: dict[str, str]) -> None:
    made, found = build(images)
    assert not found
    assert (made.name, made.host_key_type, made.disk) == ("test", "dropbear", None)
    assert (made.machine_type, made.cmdline) == ("q35", ("console=ttyS0",))
    assert made.devices == ("-device", "virtio-net-pci,netdev=net0")
    assert made.initrd
    entries = {entry.path: entry for entry in cpio.unpack(made.initrd.read_bytes())}
    assert entries["init"].content == b"#!/bin/sh\necho toolkit: ready\n"
    assert stat.S_IMODE(entries["init"].mode) == 0o755
    assert entries["usr/bin/busybox"].content == b"the box"
    assert entries["usr/bin/cat"].target == "busybox"


def test_the_same_input_gives_the_same_bytes_and_key(images: Path, archive: dict[str, str]) -> None:
    one, _ = build(images, "one")
    two, _ = build(images, "two")
    assert one.key == two.key
    assert one.initrd and two.initrd
    assert one.initrd.read_bytes() == two.initrd.read_bytes()


def test_a_second_call_finds_it(images: Path, archive: dict[str, str]) -> None:
    first, _ = build(images)
    second, found = build(images)
    assert found
    assert second == first


@pytest.mark.parametrize("name", ["image.yaml", "init.j2", "qemu.yaml.j2"])
def test_any_change_to_its_files_is_another_image(
    images: Path, archive: dict[str, str], name: str
) -> None:
    first, _ = build(images)
    path = images / "test" / name
    path.write_text(path.read_text().replace("test image", "new image") + "\n")
    if name == "image.yaml":
        assert "new image" in path.read_text()
    second, found = build(images)
    assert not found
    assert second.key != first.key


def test_a_newer_package_is_another_image(images: Path, archive: dict[str, str]) -> None:
    first, _ = build(images)
    archive["server"] = "2"
    second, found = build(images)
    assert not found
    assert second.key != first.key


def test_kernel_options_and_notes_are_no_part_of_it(images: Path, archive: dict[str, str]) -> None:
    first, _ = build(images)
    (images / "test" / "kernel.config").write_text("CONFIG_X=y\n")
    (images / "test" / "README").write_text("text\n")
    second, found = build(images)
    assert found
    assert second == first


def test_a_bad_template_leaves_nothing_behind(images: Path, archive: dict[str, str]) -> None:
    (images / "test" / "init.j2").write_text("{{ nothing }}")
    with pytest.raises(UserError, match="'nothing' is undefined"):
        build(images)
    assert not list((images.parent / "cache" / "image").glob("[!.]*/"))


def test_a_profile_with_an_unknown_key(images: Path, archive: dict[str, str]) -> None:
    (images / "test" / "qemu.yaml.j2").write_text("machine-type: pc\nmemory: 12\n")
    with pytest.raises(UserError, match=r"qemu\.yaml\.j2:2: unknown key 'memory'"):
        build(images)


# --- the images the project carries ------------------------------------------------------


@pytest.mark.parametrize("arch", KNOWN.values(), ids=lambda arch: arch.name)
@pytest.mark.parametrize("name", CARRIED)
def test_carried_images_render(name: str, arch: Arch) -> None:
    folder = IMAGES / name
    parsed = load(folder / "image.yaml", ImageManifest)
    texts = templates(folder)
    names = context(name, parsed, arch)
    files = image.render_files(parsed, texts, names)
    profile = image.render_profile(parsed, texts, names)
    everything = b"\n".join(content for content, _ in files.values()).decode()
    assert image.READY in everything
    assert "/opt/toolkit/" in everything or "by_name/opt/toolkit" in everything
    assert "{{" not in everything
    assert f"console={arch.console}" in profile.cmdline
    assert profile.machine_type == arch.board
    assert any("netdev=net0" in word for word in profile.devices)
    used = {file.template for file in parsed.files.values()} | {parsed.qemu}
    assert used == set(texts), "a template that nothing uses, or one that is missing"
    every = kernel_configs(name, IMAGES, arch, tiny=True)
    needed = kernel_configs(name, IMAGES, arch, tiny=False)
    assert every[: len(needed)] == needed
    assert len(every) > len(needed)
    options = [option for path in every for option in parse_config(path.read_text())]
    assert len(options) == len(set(options)), "an option that two files have"


@pytest.mark.parametrize("name", CARRIED)
@pytest.mark.skipif(not shutil.which("sh"), reason="no shell")
def test_carried_scripts_are_valid_shell(name: str, tmp_path: Path) -> None:
    from toolkit.host import process

    folder = IMAGES / name
    parsed = load(folder / "image.yaml", ImageManifest)
    files = image.render_files(parsed, templates(folder), context(name, parsed, X86_64))
    scripts = [content for content, _ in files.values() if content.startswith(b"#!/bin/sh")]
    assert scripts
    for script in scripts:
        process.run(["sh", "-n"], input=script, deadline=soon())


def test_nobody_can_log_in_to_the_minimal_image_with_a_password() -> None:
    shadow = textwrap.dedent((IMAGES / "minimal" / "shadow.j2").read_text())
    assert all(line.split(":")[1] == "*" for line in shadow.splitlines())
