//! What can be known of the files of `deploy` without the programs that read them: they are YAML, hold together, name
//! exact versions, and what they hand to `tollhouse` is understood by it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::ground::{Ground, output};

const COMPOSE: &str = "deploy/compose/compose.yaml";
const CONTAINER: &str = "deploy/container/Containerfile";
const KUBERNETES: &str = "deploy/kubernetes";
const UNIT: &str = "deploy/systemd/tollhouse.service";

/// Configurations that stand beside them.
const CONFIGURATIONS: [&str; 2] = ["deploy/compose/tollhouse.yaml", "deploy/kubernetes/config.yaml"];

/// Says what does not hold.
pub(crate) fn check(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let program = ground.tollhouse()?;
    let mut wrong = Vec::new();
    for path in CONFIGURATIONS {
        if let Err(error) = output(ground.command(&program).args(["check", "--config", path])) {
            wrong.push(format!("{path}: {error:#}"));
        }
    }
    let read = |path: &str| fs::read_to_string(ground.root.join(path)).with_context(|| format!("read {path}"));
    let (container, unit) = (read(CONTAINER)?, read(UNIT)?);
    let manifest = documents(&read(&format!("{KUBERNETES}/tollhouse.yaml"))?)?;
    wrong.extend(of_container(&container).into_iter().map(|what| format!("{CONTAINER}: {what}")));
    wrong.extend(of_kubernetes(&manifest).into_iter().map(|what| format!("{KUBERNETES}: {what}")));
    let compose = super::yaml(ground, COMPOSE)?;
    let exists = |path: &str| ground.root.join("deploy/compose").join(path).exists();
    wrong.extend(of_compose(&compose, exists).into_iter().map(|what| format!("{COMPOSE}: {what}")));
    for path in yamls(ground)? {
        documents(&read(&path)?).with_context(|| format!("read {path}"))?;
    }

    let of_pods = manifest.iter().flat_map(containers).filter_map(|container| words(&container["args"]));
    let of_images = container.lines().filter_map(|line| line.strip_prefix("CMD ").map(serde_json::from_str));
    let of_images = of_images.collect::<Result<Vec<Vec<String>>, _>>().context("read CMD of the container file")?;
    for told in of_pods.chain(of_images).chain(of_unit(&unit)) {
        // Nothing is started: it is read, and then help is asked for.
        let told: Vec<String> = told.iter().map(|word| word.replace("$(POD_IP)", "127.0.0.1")).collect();
        if let Err(error) = output(ground.command(&program).args(&told).arg("--help")) {
            wrong.push(format!("deploy: `tollhouse {}` is not understood: {error:#}", told.join(" ")));
        }
    }
    Ok(wrong)
}

/// With which arguments a pod starts the program.
pub(crate) fn pod(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let path = format!("{KUBERNETES}/tollhouse.yaml");
    let manifest = documents(&fs::read_to_string(ground.root.join(&path)).with_context(|| format!("read {path}"))?)?;
    let mut told = manifest.iter().flat_map(containers).filter_map(|container| words(&container["args"]));
    told.next().with_context(|| format!("find the arguments in {path}"))
}

/// Every YAML file below `deploy`.
fn yamls(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let listed =
        output(ground.command("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "deploy"]))?;
    let is_yaml = |path: &&str| Path::new(path).extension().is_some_and(|end| end == "yaml" || end == "yml");
    Ok(listed.lines().filter(is_yaml).filter(|path| ground.root.join(path).exists()).map(str::to_owned).collect())
}

fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("read YAML")?;
    ensure!(documents.iter().all(|document| document.is_object() || document.is_array()), "this says nothing");
    Ok(documents)
}

/// An image by a version, not by a word that means another one tomorrow.
fn pinned(image: &str) -> bool {
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    tag.is_some_and(|tag| tag != "latest" && (tag.contains(|c: char| c.is_ascii_digit()) || tag == "nonroot"))
}

fn of_container(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut stages: Vec<&str> = Vec::new();
    let images = text.lines().filter_map(|line| {
        let from = line.strip_prefix("FROM ").or_else(|| line.strip_prefix("COPY --from="))?;
        from.split_whitespace().next()
    });
    stages.extend(text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS ").map(|(_, name)| name)));
    for image in images.filter(|image| !stages.contains(image) && !pinned(image)) {
        wrong.push(format!("`{image}` is no version"));
    }
    // What follows the last two `FROM` is run, the rest is thrown away.
    for stage in text.split("\nFROM ").skip(2) {
        let has = |word: &str| stage.lines().any(|line| line.starts_with(word));
        if !has("USER ") || has("USER 0") || has("USER root") {
            wrong.push("a stage that is run has a user, who is not root".to_owned());
        }
        if !stage.contains(r#"CMD ["tollhouse", "status""#) || !has("ENTRYPOINT [\"tollhouse\"]") || !has("CMD [") {
            wrong.push("a stage that is run starts the program, and asks it how it is".to_owned());
        }
    }
    wrong
}

/// The words of each command of the unit behind the program's path.
fn of_unit(unit: &str) -> impl Iterator<Item = Vec<String>> + use<'_> {
    unit.lines().filter_map(|line| {
        let command = line.strip_prefix("Exec")?.split_once('=')?.1.strip_prefix("/usr/local/bin/tollhouse ")?;
        Some(command.split_whitespace().map(str::to_owned).collect())
    })
}

fn of_compose(compose: &Value, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let services = compose["services"].as_object().into_iter().flatten();
    let texts = |list: &Value| words(list).unwrap_or_default();
    for (name, service) in services {
        if !service["image"].as_str().is_some_and(pinned) {
            wrong.push(format!("{name}: the image has no version"));
        }
        for port in texts(&service["ports"]).iter().filter(|port| !port.starts_with("127.0.0.1:")) {
            wrong.push(format!("{name}: the port {port} is open to other machines"));
        }
        for volume in texts(&service["volumes"]) {
            let (from, _) = volume.split_once(':').unwrap_or_default();
            let known = if from.starts_with('.') { exists(from) } else { compose["volumes"].get(from).is_some() };
            if !known {
                wrong.push(format!("{name}: there is no `{from}` to mount"));
            }
        }
        for other in texts(&service["depends_on"]).iter().filter(|other| compose["services"].get(other).is_none()) {
            wrong.push(format!("{name}: there is no service `{other}`"));
        }
    }
    wrong
}

fn words(list: &Value) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

/// The containers of what has a template for pods.
fn containers(document: &Value) -> impl Iterator<Item = &Value> {
    document.pointer("/spec/template/spec/containers").and_then(Value::as_array).into_iter().flatten()
}

fn of_kubernetes(documents: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let named = |kind: &str, name: &Value| {
        documents.iter().any(|other| other["kind"] == kind && other.pointer("/metadata/name") == Some(name))
    };
    for document in documents {
        let (kind, name) = (&document["kind"], &document["metadata"]["name"]);
        if [&document["apiVersion"], kind, name].iter().any(|text| text.as_str().is_none_or(str::is_empty)) {
            wrong.push(format!("{kind} {name}: who is this?"));
        }
        let Some(pod) = document.pointer("/spec/template") else { continue };
        if document.pointer("/spec/selector/matchLabels") != pod.pointer("/metadata/labels") {
            wrong.push(format!("{kind} {name}: it does not know its own pods"));
        }
        if pod.pointer("/spec/securityContext/runAsNonRoot") != Some(&Value::Bool(true)) {
            wrong.push(format!("{kind} {name}: it may run as root"));
        }
        let volumes: Vec<&Value> = pod["spec"]["volumes"].as_array().into_iter().flatten().collect();
        for claim in volumes.iter().filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")) {
            if !named("PersistentVolumeClaim", claim) {
                wrong.push(format!("{kind} {name}: nobody claims {claim}"));
            }
        }
        for container in containers(document) {
            wrong.extend(of_pod(container, &volumes).into_iter().map(|what| format!("{kind} {name}: {what}")));
        }
    }
    // A service leads to ports that a container has.
    let ports: Vec<&Value> = documents.iter().flat_map(containers).flat_map(port_names).collect();
    for service in documents.iter().filter(|document| document["kind"] == "Service") {
        let asked = service["spec"]["ports"].as_array().into_iter().flatten().map(|port| &port["targetPort"]);
        wrong
            .extend(asked.filter(|port| !ports.contains(port)).map(|port| format!("no container has the port {port}")));
    }
    wrong
}

fn of_pod(container: &Value, volumes: &[&Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let ports: Vec<&Value> = port_names(container).collect();
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !ports.contains(&&container[probe]["httpGet"]["port"]) {
            wrong.push(format!("the {probe} asks at no port"));
        }
    }
    let guard = &container["securityContext"];
    if guard["readOnlyRootFilesystem"] != true || guard["allowPrivilegeEscalation"] != false {
        wrong.push("it may change what it is made of".to_owned());
    }
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
            wrong.push(format!("there is no volume {}", mount["name"]));
        }
    }
    wrong
}

fn port_names(container: &Value) -> impl Iterator<Item = &Value> {
    container["ports"].as_array().into_iter().flatten().map(|port| &port["name"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{of_compose, of_container, of_kubernetes, of_unit, pinned};

    #[test]
    fn a_version_is_told_from_a_word() {
        for (image, is) in [
            ("docker.io/a/b:1.2", true),
            ("b:v3", true),
            ("gcr.io/distroless/cc-debian12:nonroot", true),
            ("b", false),
            ("b:latest", false),
            ("host:5000/b", false),
        ] {
            assert_eq!(pinned(image), is, "{image}");
        }
    }

    #[test]
    fn a_container_file_is_held_to_its_rules() {
        let stage =
            "USER 1:1\nHEALTHCHECK CMD [\"tollhouse\", \"status\"]\nENTRYPOINT [\"tollhouse\"]\nCMD [\"serve\"]\n";
        let file = |image: &str, stage: &str| {
            format!("# x\n\nFROM a:1 AS build\n\nFROM {image} AS run\nCOPY --from=build /a /a\n{stage}")
        };
        assert_eq!(of_container(&file("b:2", stage)), [""; 0]);
        assert_eq!(of_container(&file("b", stage)).len(), 1);
        assert_eq!(of_container(&file("b:2", &stage.replace("USER 1:1", "USER root"))).len(), 1);
        assert_eq!(of_container(&file("b:2", &stage.replace("status", "x"))).len(), 1);
    }

    #[test]
    fn only_the_programs_own_commands_of_a_unit_are_tried() {
        let unit = "ExecStart=/usr/local/bin/tollhouse serve --a b\nExecReload=/bin/kill -HUP $MAINPID\nType=exec\n";
        assert_eq!(of_unit(unit).collect::<Vec<_>>(), [["serve", "--a", "b"]]);
    }

    #[test]
    fn compose_files_hold_together() {
        let good = json!({
            "services": {
                "a": {"image": "a:1", "ports": ["127.0.0.1:1:1"], "volumes": ["./x:/x:ro", "v:/v"], "depends_on": ["b"]},
                "b": {"image": "b:1"},
            },
            "volumes": {"v": {}},
        });
        let wrong = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut compose = good.clone();
            change(&mut compose);
            of_compose(&compose, |path| path == "./x").len()
        };
        assert_eq!(wrong(&|_| ()), 0);
        assert_eq!(wrong(&|compose| compose["services"]["a"]["image"] = json!("a")), 1);
        assert_eq!(wrong(&|compose| compose["services"]["a"]["ports"] = json!(["1:1"])), 1);
        assert_eq!(wrong(&|compose| compose["services"]["a"]["volumes"] = json!(["./y:/y", "w:/w"])), 2);
        assert_eq!(wrong(&|compose| compose["services"]["a"]["depends_on"] = json!(["c"])), 1);
    }

    #[test]
    fn manifests_hold_together() {
        let probe = json!({"httpGet": {"port": "p"}});
        let good = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                "securityContext": {"runAsNonRoot": true},
                "containers": [{
                    "ports": [{"name": "p"}],
                    "livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe,
                    "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false},
                    "volumeMounts": [{"name": "v"}],
                }],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
            }},
        }});
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}});
        let service = |port: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"targetPort": port}]}});
        assert_eq!(of_kubernetes(&[good.clone(), claim.clone(), service("p")]), [""; 0]);
        assert_eq!(of_kubernetes(&[good.clone(), service("q")]).len(), 2);
        for (pointer, value) in [
            ("/kind", json!("")),
            ("/spec/selector/matchLabels/a", json!("c")),
            ("/spec/template/spec/securityContext/runAsNonRoot", json!(false)),
            ("/spec/template/spec/containers/0/volumeMounts/0/name", json!("w")),
            ("/spec/template/spec/containers/0/startupProbe/httpGet/port", json!("q")),
            ("/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert_eq!(of_kubernetes(&[bad, claim.clone()]).len(), 1, "{pointer}");
        }
    }
}
