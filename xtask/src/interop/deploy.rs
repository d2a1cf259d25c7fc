//! The files of `deploy` before the programs that read them, as far as those are at hand; and a gateway as a pod would
//! start it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::peer::{self, Peer};
use super::{Site, tools};
use crate::deploy::files;

/// What is installed by the package of systemd.
const ANALYZE: &str = "systemd-analyze";
/// At most so much may be open to the service, of 100.
const EXPOSURE: &str = "20";
const UNIT: &str = "deploy/systemd/tollhouse.service";
const INSTALLED: &str = "/usr/local/bin/tollhouse";

const LOOK_LIMIT: Duration = Duration::from_secs(30);
const START_LIMIT: Duration = Duration::from_secs(20);

/// Judges the unit, puts the manifests together, and plays the pod.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    unit(site)?;
    kustomize(site)?;
    pod(site)
}

/// It names the program where it will be; here it is elsewhere.
fn unit(site: &Site<'_>) -> anyhow::Result<()> {
    tools::debian(site, ANALYZE, "systemd")?;
    let text = fs::read_to_string(site.ground.root.join(UNIT)).with_context(|| format!("read {UNIT}"))?;
    ensure!(text.contains(INSTALLED), "{UNIT} starts another program");
    let own = site.scratch.path().join("tollhouse.service");
    let text = text.replace(INSTALLED, &site.tollhouse.to_string_lossy());
    fs::write(&own, text).with_context(|| format!("write {}", own.display()))?;
    let mut verify = site.command(ANALYZE);
    // What is wrong but taken is only said.
    verify.args(["verify", "--man=no"]).arg(&own).env("SYSTEMD_LOG_TARGET", "console");
    let log = site.logs.join("verify");
    peer::run(verify, &log, LOOK_LIMIT)?.well()?;
    let said = fs::read_to_string(log.with_extension("err")).unwrap_or_default();
    ensure!(!said.contains("tollhouse.service"), "{ANALYZE} verify:\n{said}");
    let mut security = site.command(ANALYZE);
    security.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE}")]).arg(&own);
    let judged = peer::run(security, &site.logs.join("security"), LOOK_LIMIT)?.well()?;
    let sum = judged.lines().rev().find(|line| line.contains("exposure level")).unwrap_or_default();
    eprintln!("  the unit: {}", sum.trim_start_matches(['→', ' ']));
    Ok(())
}

/// Puts the manifests together, if there is a `kubectl`: no registry that we install from has one.
fn kustomize(site: &Site<'_>) -> anyhow::Result<()> {
    let mut kubectl = site.command("kubectl");
    kubectl.args(["kustomize", "deploy/kubernetes"]);
    let Ok(told) = peer::run(kubectl, &site.logs.join("kustomize"), LOOK_LIMIT) else {
        eprintln!("  manifests: there is no `kubectl` here, so nobody has put them together");
        return Ok(());
    };
    let told = told.well()?;
    for part in ["kind: ConfigMap", "kind: StatefulSet", "image: registry.example/tollhouse:", "namespace: tollhouse"] {
        ensure!(told.contains(part), "what `kubectl kustomize` puts together has no `{part}`:\n{told}");
    }
    eprintln!("  manifests: `kubectl kustomize` puts them together");
    Ok(())
}

/// A gateway with the pod's arguments at an address of this machine's own, asked as kubelet asks, and its configuration
/// exchanged as a config map is: by turning a link to the folder it is in.
fn pod(site: &Site<'_>) -> anyhow::Result<()> {
    let map = site.scratch.path().join("configuration");
    let config =
        fs::read_to_string(site.ground.root.join("deploy/kubernetes/config.yaml")).context("read config.yaml")?;
    let program = format!("command: {}", site.tollhouse.display());
    let config = config.replace("command: tollhouse", &program);
    put(&map, "..first", &config)?;
    symlink("..data/config.yaml", map.join("config.yaml")).context("link the configuration")?;

    let (ip, port) = ("127.0.0.1", peer::free_port()?);
    let mut serve = site.command(&site.tollhouse);
    for word in files::pod(site.ground)? {
        serve.arg(match word.split_once('=') {
            Some(("--config", _)) => format!("--config={}", map.join("config.yaml").display()),
            Some(("--data-dir", _)) => format!("--data-dir={}", site.scratch.path().join("data").display()),
            Some(("--listen", _)) => "--listen=0.0.0.0:0".to_owned(),
            Some(("--admin", asked)) => {
                ensure!(asked == "$(POD_IP):7071", "the pod's admin listener is at {asked}");
                format!("--admin={ip}:{port}")
            }
            _ => word,
        });
    }
    let mut peer = Peer::start(serve, &site.logs.join("pod"))?;
    peer.says(START_LIMIT, |said| said.contains("admin listening on ").then_some(()))?;
    let admin = format!("{ip}:{port}");
    until(site, &admin, "almanac")?;
    for probe in ["healthz", "readyz", "metrics"] {
        let mut curl = site.command("python3");
        let ask = "import sys,urllib.request;assert urllib.request.urlopen(sys.argv[1],timeout=5).status==200";
        curl.args(["-c", ask, &format!("http://{admin}/{probe}")]);
        peer::run(curl, &site.logs.join(probe), LOOK_LIMIT)?.well()?;
    }
    put(&map, "..second", &config.replace("  almanac:", "  heaven:"))?;
    until(site, &admin, "heaven")?;
    eprintln!("  the pod: its arguments start a gateway that answers the probes and follows its config map");
    Ok(())
}

/// Writes a version of the config map, and turns the link to it.
fn put(map: &Path, version: &str, config: &str) -> anyhow::Result<()> {
    let folder = map.join(version);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(folder.join("config.yaml"), config).context("write the configuration")?;
    let turned = map.join("..tmp");
    symlink(version, &turned).context("link the version")?;
    fs::rename(&turned, map.join("..data")).context("turn the link")
}

/// Waits until `status` shows a server as connected.
fn until(site: &Site<'_>, admin: &str, server: &str) -> anyhow::Result<()> {
    let end = Instant::now() + START_LIMIT;
    loop {
        let mut status = site.command(&site.tollhouse);
        status.args(["status", "--admin", admin]);
        let told = peer::run(status, &site.logs.join("status"), LOOK_LIMIT)?;
        let shown = told.stdout.lines().any(|line| line.starts_with(server) && line.contains("connected"));
        if shown && told.status.success() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("the server `{server}` does not come:\n{}", told.stdout);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
