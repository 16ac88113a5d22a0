//! The original's module for nginx, unmodified, in a real nginx: what it asks of the registry, it gets.
//!
//! The module is the text of its author, who gives no licence, so it is not in this repository: it is
//! taken from the original's document beside the work tree (or where `KENGER_TEST_SEED` says), and
//! without that the test is skipped. Its library `resty.http` is in no package of Debian's; where the
//! system has none, a small one of ours stands in for it (`resty/http.lua`).

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::PATIENCE;
use crate::client::{ask, set_weight};
use crate::system::{System, wait_until};

const SEED: &str = "KENGER_TEST_SEED";
const DOCUMENT: &str = "kenger-registry-v2.md";
const MODULE_BEGINS: &str = "```lua\n-- upstream_manager_v2.lua";
/// Where the demo service of the first version listens, from the base of all ports.
const V1_OFFSET: u16 = 2_001;
const NGINX_MODULES: [&str; 2] = ["ndk_http_module.so", "ngx_http_lua_module.so"];

#[tokio::test]
async fn the_originals_lua_module_in_nginx_routes_by_weight_and_follows_a_change() {
    let (module, nginx) = match (seed_module(), nginx_with_lua()) {
        (Some(module), Some(nginx)) => (module, nginx),
        (None, _) => return skip("lua: the original's document is not beside the work tree"),
        (_, None) => return skip("lua: nginx, libnginx-mod-http-lua or lua-cjson is not installed"),
    };
    let system = System::start(&[]);
    let member = system.api_of("member 2");
    let proxy = Nginx::start(&nginx, &module, &member);

    let answers = ask(&proxy.url, 400).await;
    assert_eq!(answers.values().sum::<u32>(), 400, "{answers:?}");
    // 90 to 10: 360 and 40 are expected; outside of this range is less likely than one in a million.
    assert!((330..=385).contains(&answers["v1"]), "{answers:?}\n{}", proxy.log());
    assert!((15..=70).contains(&answers["v2"]), "{answers:?}\n{}", proxy.log());

    // Everything to the new version, told to another member than the one that is asked.
    set_weight(&system.api_of("member 3"), "demo", system.base() + V1_OFFSET, 0).await;
    let settled = async { while ask(&proxy.url, 50).await.get("v2") != Some(&50) {} };
    assert!(tokio::time::timeout(PATIENCE, settled).await.is_ok(), "{}", proxy.log());
}

/// Says that the test could not run, on the error output and where `cargo xtask test` collects it.
fn skip(why: &str) {
    let line = format!("SKIPPED: {why}\n");
    eprint!("{line}");
    if let Some(log) = std::env::var_os("KENGER_SKIP_LOG") {
        let mut log = fs::File::options().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// The module's text, as its author wrote it.
fn seed_module() -> Option<String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1).take(2);
    let named = std::env::var_os(SEED).map(PathBuf::from);
    let directories = named.into_iter().chain(beside.map(|parent| parent.join("shared/seed")));
    let document = directories
        .map(|directory| directory.join(DOCUMENT))
        .find_map(|path| fs::read_to_string(path).ok())?;
    let begin = document.find(MODULE_BEGINS)? + "```lua\n".len();
    let length = document[begin..].find("\n```")?;
    Some(format!("{}\n", &document[begin..begin + length]))
}

/// The program and the directory of its modules, if all is there that the module needs.
fn nginx_with_lua() -> Option<(PathBuf, PathBuf)> {
    let program =
        ["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from).into_iter().find(|path| path.is_file())?;
    let modules = PathBuf::from("/usr/lib/nginx/modules");
    let has_modules = NGINX_MODULES.iter().all(|module| modules.join(module).is_file());
    let has_json = Command::new("dpkg")
        .args(["--status", "lua-cjson"])
        .output()
        .is_ok_and(|found| found.status.success());
    (has_modules && has_json).then_some((program, modules))
}

/// An nginx that runs.
struct Nginx {
    child: Child,
    directory: TempDir,
    url: String,
}

impl Nginx {
    /// Starts it and waits until the module has its first nodes.
    fn start((program, modules): &(PathBuf, PathBuf), module: &str, member: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("upstream_manager_v2.lua"), module).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = directory.path().join("nginx.conf");
        fs::write(&config, configuration(directory.path(), modules, &address.to_string(), member)).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("-p").arg(directory.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut nginx = Self { child, directory, url: format!("http://{address}/") };
        wait_until("the module has fetched its nodes", || {
            assert_eq!(nginx.child.try_wait().unwrap(), None, "{}", nginx.log());
            nginx.log().contains("synced namespace: demo nodes: 2")
        });
        nginx
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As the original's document has it, but for the addresses and with a shorter interval.
fn configuration(directory: &Path, modules: &Path, address: &str, member: &str) -> String {
    let (directory, fixtures) =
        (directory.display(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dev"));
    let load: String =
        NGINX_MODULES.iter().map(|module| format!("load_module {}/{module};\n", modules.display())).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {directory}/{kind};\n"))
        .collect();
    format!(
        r#"daemon off;
master_process off;
{load}pid {directory}/pid;
error_log {directory}/error.log info;
events {{ worker_connections 256; }}
http {{
access_log off;
{temporary}lua_shared_dict upstream_nodes 10m;
lua_shared_dict healthcheck 1m;
lua_package_path "{directory}/?.lua;;{fixtures}/?.lua";
init_by_lua_block {{
    local upstream = require "upstream_manager_v2"
    upstream.init({{ registry_url = "{member}", registry_token = "defaultToken", sync_interval = 1 }})
}}
init_worker_by_lua_block {{
    local upstream = require "upstream_manager_v2"
    upstream.start_sync_timer()
    ngx.timer.every(5, function() upstream.health_check() end)
}}
server {{
    listen {address};
    location / {{
        set $backend "";
        access_by_lua_block {{
            local upstream = require "upstream_manager_v2"
            local backend = upstream.get_backend("demo")
            if not backend then ngx.exit(503) end
            ngx.var.backend = backend
        }}
        proxy_pass http://$backend;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
    }}
}}
}}
"#,
        fixtures = fixtures.display()
    )
}
