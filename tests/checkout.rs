//! A checkout with CRLF, as Git makes it on Windows, still has scripts that run.

use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "core.autocrlf=true", "-c", "core.eol=crlf", "-c", "core.safecrlf=false"])
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a container or a shell reads, by its place or its first line.
fn is_for_linux(path: &Path, text: &[u8]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    text.starts_with(b"#!")
        || path.starts_with("docker")
        || ["Dockerfile", "Makefile", "docker-compose", ".env", ".dockerignore"]
            .iter()
            .any(|start| name.starts_with(start))
        || name.ends_with(".sh")
}

/// All files of the repository: what a running `make dev` and a build leave beside them is not among them.
fn files() -> Vec<PathBuf> {
    // Also where the folder belongs to another user.
    let list = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = git(Path::new(ROOT), &list);
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let files = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    // A file that is listed may be removed.
    files.filter(|file| Path::new(ROOT).join(file).is_file()).collect()
}

#[test]
fn scripts_keep_their_line_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    git(folder, &["init", "-q"]);
    let mut scripts = Vec::new();
    for file in files() {
        let text = std::fs::read(Path::new(ROOT).join(&file)).expect("a file");
        if file == Path::new(".gitattributes") || is_for_linux(&file, &text) {
            let copy = folder.join(&file);
            std::fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            std::fs::write(&copy, text).expect("written");
            scripts.push(file);
        }
    }
    for known in [".gitattributes", "docker/replica.sh", "scripts/setup.sh", "Dockerfile", "Makefile"] {
        assert!(scripts.iter().any(|file| file == Path::new(known)), "{known} is not among {scripts:?}");
    }
    git(folder, &["add", "--force", "--all"]);
    for file in &scripts {
        std::fs::remove_file(folder.join(file)).expect("removed");
    }
    git(folder, &["checkout", "-q", "--", "."]);
    let broken: Vec<_> = scripts
        .iter()
        .filter(|file| *file != Path::new(".gitattributes"))
        .filter(|file| std::fs::read(folder.join(file)).expect("checked out").contains(&b'\r'))
        .collect();
    assert!(broken.is_empty(), "these get CRLF: {broken:?}");
}
