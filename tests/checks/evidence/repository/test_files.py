from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.evidence.repository.files import Folder
from checks.evidence.repository.observe import observe_repository

Make = Callable[[Mapping[str, str | bytes]], Path]


def read(root: Path) -> tuple[Folder, list[str]]:
    folder = Folder(root)
    return folder, [path for path in folder.paths() if folder.read(path) is not None]


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_files_languages_lines_and_commit(repository: Make) -> None:
    root = repository(
        {"app/main.py": "a = 1\nb = 2\n", "web/index.ts": "const a = 1", "README.md": "# x\n", "q.sql": "select 1;\n"}
    )
    folder, paths = read(root)
    assert paths == ["README.md", "app/main.py", "q.sql", "web/index.ts"]
    assert (folder.count, folder.lines) == (4, 5)
    assert folder.languages == {"Python": 2, "TypeScript": 1, "SQL": 1}
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (folder.name, folder.commit) == (root.name, head)


def test_new_files_are_read_and_ignored_ones_are_not(repository: Make) -> None:
    root = repository({".gitignore": "secret/\n*.log\n", "a.py": "1\n"})
    write(root, {"new.py": "2\n", "secret/b.py": "3\n", "x.log": "4\n"})
    assert read(root)[1] == [".gitignore", "a.py", "new.py"]


def test_a_folder_without_git_honours_gitignore(tmp_path: Path) -> None:
    root = write(tmp_path, {
        ".gitignore": "*.log\n/local\n", "a.py": "1", "x.log": "2", "local/b.py": "3", "sub/local/c.py": "4",
        "sub/.gitignore": "!keep.log\nd.py\n", "sub/keep.log": "5", "sub/d.py": "6", "node_modules/m/i.js": "7",
        "build/o.js": "8",
    })  # fmt: skip
    folder, paths = read(root)
    assert paths == [".gitignore", "a.py", "sub/.gitignore", "sub/keep.log", "sub/local/c.py"]
    assert folder.commit is None
    assert folder.skipped == {"vendored": 1, "generated": 1}


def test_a_folder_within_a_work_tree_is_its_own_root(repository: Make) -> None:
    root = repository({"api/a.py": "1\n", "web/b.ts": "2\n"})
    folder, paths = read(root / "api")
    assert (folder.name, paths) == ("api", ["a.py"])
    assert folder.commit is not None


def test_what_is_skipped_is_counted(repository: Make) -> None:
    root = repository({
        "image.png": b"\x89PNG", "data.txt": b"a\0b", "vendor/x.py": "1", "web/node_modules/y.js": "2", "dist/z.js": "3",
        "app.min.js": "4", "package-lock.json": "{}", "big.py": "x = 1\n" * 400_000, "bundle.js": "a" * 60_000,
        "stub_pb2.py": "5", "client.ts": "// @generated\nconst a = 1", "ok.py": "6\n",
        "latin.py": "# caf\xe9\n".encode("latin-1"),
    })  # fmt: skip
    folder, paths = read(root)
    assert paths == ["latin.py", "ok.py"]
    assert folder.skipped == {"binary": 2, "vendored": 2, "generated": 6, "too_large": 1}


def test_links_never_lead_out_of_the_root(repository: Make, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret.py": 'q = "SELECT secret FROM elsewhere"\n'})
    root = repository({"a.py": "1\n"})
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "inside.py").symlink_to("a.py")
    folder, paths = read(root)
    assert paths == ["a.py"]
    assert folder.skipped["outside_root"] == 2
    for name in ("link.py", "folder/secret.py"):
        assert folder.read(name) is None
    (root / ".git").rename(tmp_path / "moved")
    assert read(root)[1] == ["a.py"]


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    folder, paths = read(tmp_path)
    assert paths == []
    assert folder.skipped == {"unreadable": 1}


@pytest.mark.parametrize(
    "configuration",
    [
        "[core]\n\tfsmonitor = {program}\n",
        "[core]\n\thooksPath = {folder}\n",
        '[filter "evil"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n',
        '[diff "evil"]\n\ttextconv = {program}\n\tcommand = {program}\n',
        "[core]\n\tpager = {program}\n\teditor = {program}\n\tsshCommand = {program}\n\taskPass = {program}\n",
        "[alias]\n\tls-files = !{program}\n\trev-parse = !{program}\n",
    ],
)
def test_nothing_that_a_repository_configures_is_run(repository: Make, tmp_path: Path, configuration: str) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    trace = tmp_path / "was-run"
    for name in ("program", "post-index-change", "post-checkout", "fsmonitor-watchman", "pre-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {trace}\ncat\n")
        (hooks / name).chmod(0o755)
    root = repository({"a.py": "1\n", ".gitattributes": "* filter=evil diff=evil\n"})
    with (root / ".git/config").open("a") as stream:
        stream.write(configuration.format(program=hooks / "program", folder=hooks))
    for name in ("post-index-change", "fsmonitor-watchman"):
        (root / ".git/hooks").mkdir(exist_ok=True)
        (root / ".git/hooks" / name).symlink_to(hooks / name)
    os.utime(root / "a.py", (1, 1))
    assert "a.py" in read(root)[1]
    assert not trace.exists()


def test_a_work_tree_elsewhere_is_not_followed(repository: Make, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret.py": "1"})
    root = repository({"a.py": "1\n"})
    with (root / ".git/config").open("a") as stream:
        stream.write(f"[core]\n\tworktree = {outside}\n")
    folder, paths = read(root)
    assert paths == ["a.py"]
    assert folder.commit is None


def test_git_variables_of_the_reviewer_do_not_count(repository: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root, other = repository({"a.py": "1\n"}), repository({"b.py": "2\n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert read(root)[1] == ["a.py"]


def test_without_the_git_program_the_folder_is_walked(repository: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository({"a.py": "1\n"})
    monkeypatch.setenv("PATH", "")
    folder, paths = read(root)
    assert (paths, folder.commit) == (["a.py"], None)


def test_files_of_gigabytes_are_not_opened(repository: Make) -> None:
    root = repository({"a.py": "1\n"})
    for name in ("dump.sql", "model.py"):
        with (root / name).open("wb") as stream:
            stream.truncate(3 * 2**30)
    folder, paths = read(root)
    assert paths == ["a.py"]
    assert folder.skipped == {"too_large": 2}


def test_a_shallow_clone_is_read_like_any_other(repository: Make, tmp_path: Path) -> None:
    root = repository({"a.py": "1\n"})
    (root / "b.py").write_text('q = "SELECT id FROM users"\n')
    for words in (["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "more"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{root}", str(shallow)], check=True)
    seen = observe_repository(shallow)
    assert (seen.files, [entry.location.path for entry in seen.statements]) == (2, ["b.py"])


def test_submodules_are_counted_and_not_entered(repository: Make) -> None:
    root, other = repository({"a.py": "1\n"}), repository({"b.py": "2\n"})
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "library"]
    subprocess.run(["git", "-C", str(root), *add], check=True, capture_output=True)
    folder, paths = read(root)
    assert paths == [".gitmodules", "a.py"]
    assert folder.skipped == {"submodule": 1}


def test_more_files_than_are_read_are_said(repository: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository({f"f{number}.py": "1\n" for number in range(12)})
    monkeypatch.setattr("checks.evidence.repository.files.MAXIMUM_FILES", 5)
    folder, paths = read(root)
    assert len(paths) == 6
    assert folder.skipped == {"too_many": 1}


def test_files_that_are_gone_are_counted(repository: Make) -> None:
    root = repository({"a.py": "1\n", "b.py": "2\n"})
    (root / "b.py").unlink()
    folder, paths = read(root)
    assert (paths, folder.skipped) == (["a.py"], {"unreadable": 1})


def test_bad_targets_say_what_to_do(repository: Make, tmp_path: Path) -> None:
    root = repository({"a.py": "1\n"})
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(root), str(bare)], check=True)
    for path in (tmp_path / "nowhere", root / "a.py", bare, root / ".git"):
        with pytest.raises(TargetError) as caught:
            Folder(path)
        assert caught.value.hint


def test_an_empty_repository_is_observed(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    seen = observe_repository(tmp_path)
    assert (seen.commit, seen.files, seen.lines, seen.statements) == (None, 0, 0, ())
