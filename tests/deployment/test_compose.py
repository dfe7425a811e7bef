"""The deployment files, as far as they can be read without a Docker engine: names agree with the code they start."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from eigengate.cli.main import app
from service.settings import Settings
from service.storage import S3Store, open_store
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
# AWS_ names the object store's own client reads; whatever else is set would be set for nobody.
AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
UNITS = {"m": 2**20, "g": 2**30}


def known_variables() -> set[str]:
    return {
        settings.model_config["env_prefix"] + field.upper()
        for settings in (Settings, WorkerSettings)
        for field in settings.model_fields
    }


def variables(dockerfile: Path) -> set[str]:
    return set(re.findall(r"\b(EIGENGATE_\w+)=", dockerfile.read_text()))


def substituted(text: str) -> str:
    """As Compose would fill in variables, all of them set."""
    return re.sub(r"\$\{(\w+)[^}]*\}", r"\1", text)


def size(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_our_services_is_a_setting(name):
    assert set(SERVICES[name]["environment"]) <= known_variables() | AWS


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_every_variable_of_an_image_is_a_setting(dockerfile):
    assert variables(dockerfile) <= known_variables()


def test_api_and_workers_have_the_same_settings():
    assert SERVICES["api"]["environment"] == SERVICES["worker-cpu"]["environment"]
    assert SERVICES["api"]["environment"] == SERVICES["worker-gpu"]["environment"]


def test_the_addresses_are_ones_the_code_can_open(tmp_path):
    environment = {name: substituted(value) for name, value in SERVICES["api"]["environment"].items()}
    values = {name.removeprefix("EIGENGATE_").lower(): value for name, value in environment.items() if name not in AWS}
    settings = Settings(data_dir=tmp_path, **values)
    assert settings.database_address.startswith("postgresql+psycopg://")
    assert settings.broker_url.startswith("redis://")
    assert isinstance(open_store(settings.blob_address), S3Store)
    for address in (settings.database_address, settings.broker_url):
        assert re.search(r"@([\w-]+):", address)[1] in SERVICES
    assert re.search(r"endpoint=http://([\w-]+):", settings.blob_address)[1] in SERVICES


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_is_waited_for_can_be_seen_to_be_ready(name):
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no"
        else:
            assert wanted["condition"] == "service_healthy"
            assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_as_nobody_special(name):
    service = SERVICES[name]
    assert not service["user"].startswith(("0", "root"))
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_beyond_this_machine(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_networks_and_volumes_are_declared(name):
    assert set(SERVICES[name].get("networks", ())) <= set(COMPOSE["networks"])
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.partition(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", [name for name in OURS if "mem_limit" in SERVICES[name]])
def test_memory_holds_what_may_lie_in_a_tmpfs(name):
    # Pages of a tmpfs are charged to the container: a limit below them lets uploads kill it.
    folders = sum(size(re.search(r"size=(\d+[mg])", mount)[1]) for mount in SERVICES[name]["tmpfs"])
    needed = Settings().memory_limit_bytes if name.startswith("worker") else 0
    assert size(SERVICES[name]["mem_limit"]) >= folders + needed


def test_passwords_are_asked_for_and_none_is_built_in():
    example = dict(line.split("=", 1) for line in (ROOT / "docker/example.env").read_text().splitlines() if "=" in line)
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert wanted == set(example)
    assert not [name for name, value in example.items() if value and ("PASSWORD" in name or "SECRET" in name)]


@pytest.mark.parametrize("name", OURS)
def test_images_are_built_from_files_that_are_there(name):
    assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_copies_what_is_there_and_runs_as_nobody_special(dockerfile):
    lines = dockerfile.read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert copied
    assert all((ROOT / source).exists() for sources in copied for source in sources)
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 10001:10001"
    # Packages that are imported have to be copied too.
    assert {"eigengate", "service", "workers"} <= {source for sources in copied for source in sources}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_extras_an_image_installs_exist(dockerfile):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = re.search(r"'\.\[([\w,]+)\]'", dockerfile.read_text())[1].split(",")
    assert set(wanted) <= set(extras)


def commands() -> list[list[str]]:
    lines = [line for path in DOCKERFILES for line in path.read_text().splitlines()]
    images = [yaml.safe_load(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    return images + [SERVICES[name]["command"] for name in OURS if "command" in SERVICES[name]]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_commands_that_are_started_exist(command):
    match command:
        case ["python", "-m", module]:
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
        case ["eigengate", name]:
            assert name in {(found.name or found.callback.__name__) for found in app.registered_commands}
        case _:
            pytest.fail(f"nobody knows {command}")


def test_the_image_of_the_api_asks_a_route_that_exists_on_the_port_it_serves():
    text = (ROOT / "docker/service.Dockerfile").read_text()
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/]+)", text).groups()
    assert int(port) == Settings.model_fields["port"].default
    assert f"EXPOSE {port}" in text
    assert f":{port}" in SERVICES["api"]["ports"][0]
    assert path == "/health/ready"
    assert "EIGENGATE_HOST=0.0.0.0" in text  # loopback of a container is nobody's
