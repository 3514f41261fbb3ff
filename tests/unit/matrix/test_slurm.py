from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from toolkit.core.errors import ToolMissingError, UserError
from toolkit.host import process

pytest.importorskip("dask_jobqueue")

from distributed import Security

from toolkit.matrix import slurm

FILE = """\
jobs: 2
cores: 4
memory: 8GiB
partition: kvm
directives: [--constraint=nested]
prologue: [module load qemu]
"""


def test_a_job_s_script_starts_the_toolkit_s_worker() -> None:
    names = ("tls_ca_file", "tls_worker_cert", "tls_worker_key")
    security = Security(**{name: f"/shared/{name}.pem" for name in names})
    job = slurm.job_class("/srv/the checkout", 3)(
        "tls://10.0.0.1:8786",
        "slurm-1",
        queue="kvm",
        cores=4,
        memory="8GiB",
        job_extra_directives=["--constraint=nested"],
        job_script_prologue=["module load qemu"],
        security=security,
    )
    lines = job.job_script().splitlines()
    assert "#SBATCH -p kvm" in lines
    assert "#SBATCH --constraint=nested" in lines
    assert "module load qemu" in lines
    assert lines.index("module load qemu") < len(lines) - 1
    words = shlex.split(lines[-1])
    assert words[:3] == ["cd", "/srv/the checkout", "&&"]
    assert words[3:9] == [
        "exec",
        ".venv/bin/python",
        "-m",
        "toolkit",
        "worker",
        "tls://10.0.0.1:8786",
    ]
    assert words[9:11] == ["--name", "slurm-1"]
    assert words[11:17] == [
        *("--tls-ca-file", "/shared/tls_ca_file.pem"),
        *("--tls-cert", "/shared/tls_worker_cert.pem"),
        *("--tls-key", "/shared/tls_worker_key.pem"),
    ]
    assert words[-2:] == ["--stations", "3"]


def opened(tmp_path: Path, text: str) -> None:
    file = tmp_path / "slurm.yaml"
    file.write_text(text)
    slurm.of_slurm(file, Path("/srv/toolkit"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (FILE + "queue: x", "unknown key 'queue'"),
        (FILE.replace("jobs: 2", "jobs: 0"), "jobs: input should be greater than or equal to 1"),
        (FILE.replace("cores: 4\n", ""), "key 'cores' is missing"),
        (FILE.replace("8GiB", "lots"), "memory: 'lots' is no memory for a worker"),
        (FILE.replace("8GiB", "1e999"), "memory: '1e999' is no memory"),
        (FILE.replace("8GiB", "8"), "memory: '8' is no memory"),
        (FILE + "interface: no-such0", "this host has no interface 'no-such0'"),
    ],
)
def test_what_is_wrong_in_the_file(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        opened(tmp_path, text)


@pytest.mark.parametrize(
    ("shared", "what"),
    [("/proc/none", "cannot make the folder /proc/none"), ("~no-such/x", "no home folder")],
)
def test_a_shared_folder_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str, what: str
) -> None:
    monkeypatch.setattr(process, "find", lambda *_: "/usr/bin/sbatch")
    (tmp_path / "slurm.yaml").write_text(f"{FILE}shared: {shared}\n")
    with (
        pytest.raises(UserError, match=what) as caught,
        slurm.of_slurm(tmp_path / "slurm.yaml", tmp_path)("run", b""),
    ):
        pass
    assert caught.value.hint


def test_without_slurm_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(program: str, package: str = "") -> str:
        raise ToolMissingError(program, package)

    monkeypatch.setattr(process, "find", nothing)
    with pytest.raises(ToolMissingError, match="sbatch is not installed"):
        opened(tmp_path, FILE)
