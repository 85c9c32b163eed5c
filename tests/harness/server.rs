//! A server program with a configuration of the test.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};

use fowergram::dev::{Child, Program};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// It runs until it is dropped.
pub struct Server {
    _child: Child,
    pub port: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts the program with this configuration, in which `PORT` stands for a free port and `FOLDER` for a folder of
    /// its own, as in the arguments, and waits until it listens.
    pub async fn start(program: &str, config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let place = folder.path().to_str().expect("UTF-8");
        let filled = |text: &str| text.replace("PORT", &port.to_string()).replace("FOLDER", place);
        let config = filled(config);
        let file = folder.path().join(format!("{program}.conf"));
        std::fs::write(&file, config).expect("a file");
        let mut args: Vec<OsString> = Vec::new();
        match program {
            "nats-server" => args.extend(["-c".into(), file.into()]),
            "prometheus" | "prometheus-alertmanager" => {
                args.push(format!("--config.file={}", file.display()).into());
            }
            "haproxy" => args.extend(["-db".into(), "-f".into(), file.into()]),
            _ => args.push(file.into()),
        }
        args.extend(arguments.iter().map(|argument| OsString::from(filled(argument))));
        let found = std::env::split_paths(&std::env::var_os("PATH").expect("a path"))
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        let child = Child::new(Program {
            name: program.to_owned(),
            path: found.unwrap_or_else(|| panic!("{program} is not installed")),
            args,
            env: Vec::new(),
            user: None,
            marker: place.to_owned(),
            log: folder.path().join("log"),
            pid_file: folder.path().join("pid"),
        });
        let listens = || async { Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()) };
        child.start(listens).await.expect("the server starts");
        Self { _child: child, port, _folder: folder }
    }
}

/// A free port below those that the system gives out (RFC 6335 has them from 49152 on, Linux from 32768): nobody else is
/// given it before the server listens.
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
