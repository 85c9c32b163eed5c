//! A release under load: the processes behind a load balancer are replaced one after the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fowergram::app::Role;
use futures_util::future::join_all;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::binary::{Api, Program};
use crate::harness::client::Socket;
use crate::harness::crowd::{Apis, Crowd, Listener, STREAM};
use crate::harness::server::Server;
use crate::harness::{World, eventually};

const LISTENERS: usize = 500;
/// How many requests are made with each mixture of programs.
const REQUESTS: usize = 60;

/// Above the time of a request, so that each is answered.
const GRACE: &str = "--shutdown-grace-ms=55000";

/// Replaces an API process by one of this program, and waits until that has a share of the requests.
async fn replace(api: &mut Api, program: &Program) {
    api.terminate().await;
    api.start_again(program, &[]).await;
    eventually("the load balancer uses the new process", async || {
        let metrics =
            reqwest::get(format!("http://{}/metrics", api.address)).await.ok()?.text().await.ok()?;
        metrics.contains("\nfowergram_graphql_operations_total{").then_some(())
    })
    .await;
}

/// The load balancer of `docker-compose.yml` before these processes.
async fn balancer(apis: [SocketAddr; 2]) -> (Server, SocketAddr) {
    let mut config =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/haproxy.cfg")).expect("a file");
    let [first, second] = apis.map(|api| api.to_string());
    for (shipped, here) in [
        ("bind :8000", "bind 127.0.0.1:PORT"),
        ("\"${API_0}\"", &first),
        ("\"${API_1}\"", &second),
        // As many files as there are allowed to be here.
        ("maxconn 20000", "maxconn 2000"),
    ] {
        assert!(config.contains(shipped), "{shipped}");
        config = config.replace(shipped, here);
    }
    let server = Server::start("haproxy", &config, &[]).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    (server, address)
}

/// Listens for good, through one socket after the other: each but the last must be closed in good order, and the next
/// goes on after the last event.
async fn listen(listener: Listener, at: SocketAddr, moves: Arc<AtomicUsize>) {
    let client = listener.person.at(at).client;
    loop {
        let closed = match client.try_socket().await {
            Ok(mut socket) => hear(&listener, &mut socket).await,
            Err((code, _)) => code,
        };
        assert_eq!(closed, 1001, "a socket was closed");
        moves.fetch_add(1, Ordering::Relaxed);
    }
}

/// Hears events until the socket is closed; the code.
async fn hear(listener: &Listener, socket: &mut Socket) -> u16 {
    let variables = json!({ "id": listener.conversation, "after": listener.ledger.cursor() });
    // What is closed meanwhile says why when it is read.
    let _ = socket.try_subscribe(STREAM, variables).await;
    loop {
        match socket.receive().await {
            Ok(message) if message["type"] == "next" => {
                assert!(message["payload"]["errors"].is_null(), "{message}");
                listener.ledger.note(&message["payload"]["data"]["messageAdded"]);
            }
            // The subscription ends before the socket is closed.
            Ok(message) => assert_eq!(message["type"], "complete", "{message}"),
            Err(code) => return code,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_and_its_way_back_cost_no_request_and_no_event() {
    let (before, this) = (Program::previous(), Program::this());
    let world = World::unmigrated().await;
    let migrate = async |program: &Program| {
        let ended = program.run(&["migrate", "up"], world.settings()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    };
    migrate(&before).await;
    let mut worker = before.start("worker", world.settings());
    let mut apis = [Api::start(&world, &before, &[GRACE]).await, Api::start(&world, &before, &[GRACE]).await];
    let (_balancer, at) = balancer([apis[0].address, apis[1].address]).await;

    let crowd = Crowd::gather(at, LISTENERS).await;
    let (stop, mut writers) = (AtomicBool::new(false), crowd.writers(Apis::Perfect(at)));
    let moves: Vec<Arc<AtomicUsize>> = crowd.listeners.iter().map(|_| Arc::default()).collect();
    let mut ears = JoinSet::new();
    for (listener, moves) in crowd.listeners.iter().zip(&moves) {
        ears.spawn(listen(listener.clone(), at, Arc::clone(moves)));
    }
    let requests = AtomicUsize::new(0);
    let served = async || {
        let until = requests.load(Ordering::Relaxed) + REQUESTS;
        eventually("requests are answered", async || {
            (requests.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    };
    let story = async {
        crowd.all_hear(&mut writers).await;
        let write = join_all(writers.iter_mut().map(|writer| writer.write(&stop, &requests)));
        let release = async {
            served().await;
            migrate(&this).await;
            served().await;
            let old = std::mem::replace(&mut worker, this.start("worker", world.settings()));
            old.terminate().await;
            for program in [&this, &before, &this] {
                for api in &mut apis {
                    replace(api, program).await;
                    served().await;
                }
            }
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(write, release);
        crowd.all_have_heard(&mut writers).await;
    };
    tokio::select! {
        () = story => {}
        ended = ears.join_next() => panic!("a listener ended: {ended:?}"),
    }
    ears.shutdown().await;

    world.settle().await;
    let heard = crowd.check(&world).await;
    let moves: Vec<usize> = moves.iter().map(|moves| moves.load(Ordering::Relaxed)).collect();
    assert!(moves.iter().all(|moves| *moves >= 3), "a socket outlived a restart: {moves:?}");
    println!(
        "{} requests, {} sockets closed in good order, {heard} events heard",
        requests.load(Ordering::Relaxed),
        moves.iter().sum::<usize>()
    );
    drop(writers);
    drop((apis, worker));
    world.process(Role::Api).await;
    world.close().await;
}
