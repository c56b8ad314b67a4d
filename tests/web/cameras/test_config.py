"""Named cameras, URLs of visitors, and the options that set them."""

from __future__ import annotations

import json

import pytest

from maskdet.cli import main
from maskdet.web.cameras import config
from maskdet.web.cameras.config import (
    ALWAYS_ANALYZE_VARIABLE,
    ANY_CAMERA_VARIABLE,
    CAMERAS_VARIABLE,
    OTHER_CAMERA,
    Camera,
    add_cameras,
    make_entered_camera,
    may_enter_url,
    parse_camera,
    parse_camera_url,
    read_cameras,
)

URL = "rtsp://admin:s3cret@192.168.1.20:554/stream?a=b"


def test_a_camera_is_a_name_and_a_url() -> None:
    camera = parse_camera(f" Front door = {URL} ")
    assert (camera.name, camera.url) == ("Front door", URL)
    assert camera.is_named
    assert "s3cret" not in repr(camera)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (URL, "must be NAME=URL"),
        ("Door", "must be NAME=URL"),
        (f"={URL}", "needs a name"),
        (f"{'x' * 41}={URL}", "needs a name"),
        (f"{OTHER_CAMERA}={URL}", "cannot be named"),
        ("Door=/dev/video0", "must begin with rtsp://"),
        ("Door=file:///etc/passwd", "must begin with rtsp://"),
        ("Door=ftp://s3cret@host/a", "must begin with rtsp://"),
        ("Door=concat:http://s3cret@host", "must begin with rtsp://"),
        ("Door=0", "must begin with rtsp://"),
        ("Door=rtsp:///s3cret", "has no host"),
        ("Door=http://u:s3cret@[::1/a", "URL is not valid$"),
        ("Door=http://u:s3/cret@host/a", "a / in the password is written %2F$"),
        ("Door=http://u:s3cret@host:99999/", "URL is not valid"),
        ("Door=http://u:s3cret@host/a b", "must not contain spaces"),
        ("Door=http://u:s3cret@host/a\x07", "must not contain control characters"),
        (f"Door=http://u:s3cret@host/{'a' * 2000}", "more than 2000 characters"),
    ],
)
def test_an_invalid_camera_is_one_line_without_the_password(text, reason) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_camera(text)
    assert "s3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_variable_has_cameras_in_order() -> None:
    values = {"Hall": "http://host/hall.mjpeg", "Door": URL}
    cameras = read_cameras({CAMERAS_VARIABLE: json.dumps(values)})
    assert [camera.name for camera in cameras] == ["Hall", "Door"]
    assert read_cameras({}) == ()


@pytest.mark.parametrize(
    "text",
    [
        "Door=rtsp://u:s3cret@host/",
        '["rtsp://u:s3cret@host/"]',
        '{"Door": 1}',
        '{"Door": "s3cret"}',
        '{"Door": "rtsp://u:s3cret@a/", "Hall": "rtsp://u:s3cret@a/"}',
    ],
)
def test_an_invalid_variable_is_one_line_without_the_password(text) -> None:
    with pytest.raises(ValueError, match=f"^{CAMERAS_VARIABLE}") as raised:
        read_cameras({CAMERAS_VARIABLE: text})
    assert "s3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options_are_added_to_the_variable() -> None:
    environment = {CAMERAS_VARIABLE: '{"Door": "rtsp://a/", "Hall": "rtsp://b/"}'}
    add_cameras(
        [parse_camera("Door=rtsp://c/"), parse_camera("Gate=rtsp://d/")], environment
    )
    urls = {camera.name: camera.url for camera in read_cameras(environment)}
    assert urls == {"Door": "rtsp://c/", "Hall": "rtsp://b/", "Gate": "rtsp://d/"}
    twice = [parse_camera("Door=rtsp://a/"), parse_camera("Door=rtsp://b/")]
    with pytest.raises(ValueError, match="two cameras have the name 'Door'"):
        add_cameras(twice, environment)


def test_the_name_of_an_entered_camera_has_no_password() -> None:
    entered = make_entered_camera(URL, ())
    assert entered.name == "rtsp://192.168.1.20:554/stream?a=b"
    assert not entered.is_named
    named = Camera("Door", URL)
    assert make_entered_camera(URL, (named,)) is named
    with pytest.raises(ValueError, match="must begin with"):
        make_entered_camera("/etc/passwd", ())


@pytest.mark.parametrize(
    ("value", "for_admin", "for_others"),
    [("", True, False), ("on", True, True), ("off", False, False), ("x", False, False)],
)
def test_who_may_enter_a_url(value, for_admin, for_others) -> None:
    environment = {ANY_CAMERA_VARIABLE: value}
    for is_admin, expected in ((True, for_admin), (False, for_others)):
        allowed = may_enter_url(is_admin=is_admin, environment=environment)
        assert allowed is expected


def test_the_variables_are_checked_at_the_start() -> None:
    config.check_camera_variables({ALWAYS_ANALYZE_VARIABLE: "on"})
    for name in (ALWAYS_ANALYZE_VARIABLE, ANY_CAMERA_VARIABLE):
        with pytest.raises(ValueError, match=f"^{name} is 'perhaps'"):
            config.check_camera_variables({name: "perhaps"})


def test_urls_keep_what_cameras_need() -> None:
    assert parse_camera_url(f"  {URL}\n") == URL
    assert parse_camera_url("HTTPS://host/snapshot.jpg") == "HTTPS://host/snapshot.jpg"


@pytest.mark.parametrize("option", ["Door", "Door=/etc/passwd"])
def test_a_bad_option_is_one_line_and_no_server(option, capsys) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["app", "--camera", option])
    assert exited.value.code == 2
    assert "--camera: " in capsys.readouterr().err.splitlines()[-1]
