//! The gateway beside nginx: the same nodes, the same weights, the same headers, one worker each on
//! the same core, by turns.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::bench::Plan;
use crate::bench::clock::wait_until;
use crate::bench::cluster::Cluster;
use crate::bench::lab::{Lab, Process, bind_life, free_addresses};
use crate::bench::load::median;
use crate::bench::members::Members;
use crate::bench::table::Row;
use crate::bench::usage::{Cpu, cores, cpu};
use crate::workspace::find_program;

const NAMESPACE: &str = "edge";
const WEIGHTS: [u32; 3] = [100, 100, 50];
const CONNECTIONS: &str = "64";
/// The proxies run here; what they stand between runs on the other core.
const PROXY_CORE: &str = "0";
const OTHER_CORE: &str = "1";
const START_LIMIT: Duration = Duration::from_secs(20);
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// nginx closes a connection after 1000 requests, if it is not told otherwise.
const REQUESTS_MAX: &str = "1000000000";

/// What one run came to.
struct Run {
    requests: f64,
    spent: Cpu,
}

impl Run {
    fn per_cpu_second(&self) -> f64 {
        self.requests / self.spent.total()
    }

    fn user_us(&self) -> f64 {
        self.spent.user / self.requests * 1e6
    }

    fn system_us(&self) -> f64 {
        self.spent.system / self.requests * 1e6
    }
}

pub(in crate::bench) fn run(lab: &Lab, members: &Members<'_>, plan: &Plan) -> Result<Vec<Row>, String> {
    let [a, b, c, front] = free_addresses()?;
    let backends = [a, b, c];
    let _backend = nginx(lab, "backend", &backend_config(lab, &backends), OTHER_CORE, a)?;
    let proxy = nginx(lab, "nginx", &proxy_config(lab, front, &backends), PROXY_CORE, front)?;
    register(members, &backends)?;
    let (mut gateway, listen) =
        members.gateway("edge-gateway", NAMESPACE, pinned(PROXY_CORE, &lab.kenger))?;
    wait_until("the gateway answers 200", START_LIMIT, || answers(listen))?;

    let seconds = plan.run_seconds.to_string();
    // The first runs open the connections and warm the caches.
    for address in [listen, front] {
        measure(address, gateway.pid(), "1")?;
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..plan.proxy_rounds {
        ours.push(measure(listen, gateway.pid(), &seconds)?);
        theirs.push(measure(front, proxy.pid(), &seconds)?);
    }
    gateway.stop()?;
    let of = |runs: &[Run], number: fn(&Run) -> f64| median(runs.iter().map(number));
    let tell = |runs: &[Run]| format!("{:.0} requests per CPU-second", of(runs, Run::per_cpu_second));
    let cost = |runs: &[Run]| {
        format!("{:.1} µs user + {:.1} µs system", of(runs, Run::user_us), of(runs, Run::system_us))
    };
    let ratio = of(&ours, Run::per_cpu_second) / of(&theirs, Run::per_cpu_second);
    let row = Row::new("gateway", tell(&ours)).beside(format!("nginx {}", tell(&theirs)), ratio);
    let under = format!(
        "wrk, {CONNECTIONS} connections, answers of 6 bytes, 3 nodes; one worker each{}; median of {} × {seconds} s, \
         interleaved",
        if can_pin() { " on core 0" } else { ", not pinned" },
        plan.proxy_rounds
    );
    Ok(vec![row.cpu(format!("{}; nginx {}", cost(&ours), cost(&theirs))).under(under)])
}

/// Whether there is a core for the proxies and one for the rest.
fn can_pin() -> bool {
    cores() > 1 && find_program("taskset").is_some()
}

/// A command on one core, if the machine has two.
fn pinned(core: &str, program: &Path) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

fn register(members: &Members<'_>, backends: &[SocketAddr]) -> Result<(), String> {
    let servers = members.servers();
    for (backend, weight) in backends.iter().zip(WEIGHTS) {
        let body = json!({
            "ns": NAMESPACE, "host": backend.ip().to_string(), "port": backend.port(), "weight": weight,
            "ttl_seconds": 3_600,
        });
        let answer = servers[0].post("/api/upstream/node/register", &body, CALL_LIMIT);
        match answer {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => return Err(format!("a node was not registered: {}", answer.body)),
            Err(error) => return Err(format!("a node was not registered: {error}")),
        }
    }
    Ok(())
}

fn nginx(lab: &Lab, name: &str, config: &str, core: &str, listens: SocketAddr) -> Result<Process, String> {
    let program = find_program("nginx").ok_or("there is no nginx")?;
    let config = lab.write(&format!("{name}.conf"), config)?;
    let mut command = pinned(core, &program);
    command.arg("-c").arg(config).arg("-p").arg(lab.path(""));
    let process = lab.start(name, &mut command)?;
    wait_until(&format!("{name} answers"), START_LIMIT, || answers(listens))
        .map_err(|why| format!("{why}\n{}", lab.last_words(name)))?;
    Ok(process)
}

fn answers(address: SocketAddr) -> bool {
    let server = crate::bench::http::Server { address, token: None };
    server.get("/", CALL_LIMIT).is_ok_and(|answer| answer.status == 200)
}

/// One process, which is its own worker, and writes only where it is told.
fn nginx_config(lab: &Lab, name: &str, http: &str) -> String {
    let path = |what: &str| lab.path(&format!("{name}-{what}")).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {};\n", path(kind)))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {};\nerror_log {} error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\nkeepalive_requests {REQUESTS_MAX};\n{temporary}{http}}}\n",
        path("pid"),
        path("error.log"),
    )
}

fn backend_config(lab: &Lab, backends: &[SocketAddr]) -> String {
    let listen: String = backends.iter().map(|address| format!("listen {address};\n")).collect();
    nginx_config(
        lab,
        "backend",
        &format!("server {{\n{listen}location / {{ return 200 \"hello\\n\"; }}\n}}\n"),
    )
}

/// The headers are those that the gateway sets.
fn proxy_config(lab: &Lab, front: SocketAddr, backends: &[SocketAddr]) -> String {
    let servers: String = backends
        .iter()
        .zip(WEIGHTS)
        .map(|(address, weight)| format!("server {address} weight={weight};\n"))
        .collect();
    let http = format!(
        "upstream nodes {{\n{servers}keepalive 64;\nkeepalive_requests {REQUESTS_MAX};\n}}\n\
         server {{\nlisten {front};\nlocation / {{\nproxy_pass http://nodes;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n\
         proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto $scheme;\nproxy_set_header X-Forwarded-Host $http_host;\n\
         proxy_set_header X-Forwarded-Port $server_port;\n}}\n}}\n"
    );
    nginx_config(lab, "nginx", &http)
}

fn measure(address: SocketAddr, pid: u32, seconds: &str) -> Result<Run, String> {
    let wrk = find_program("wrk").ok_or("there is no wrk")?;
    let mut command = pinned(OTHER_CORE, &wrk);
    command.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), &format!("http://{address}/")]);
    bind_life(&mut command);
    let before = cpu(pid)?;
    let output = command.output().map_err(|error| format!("wrk did not start: {error}"))?;
    let spent = cpu(pid)?.since(before);
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("not all requests succeeded: {text}"));
    }
    let requests = requests(&text).ok_or_else(|| format!("wrk says: {text}"))?;
    Ok(Run { requests, spent })
}

/// `  123456 requests in 5.00s, 20.00MB read`
fn requests(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_requests_is_read_from_wrk() {
        let text =
            "  1 threads and 64 connections\n  123456 requests in 5.00s, 20.00MB read\nRequests/sec: 2\n";
        assert_eq!(requests(text), Some(123_456.0));
        assert_eq!(requests("unable to connect"), None);
    }
}
