"""The RTSP server of GStreamer: `python gstreamer_server.py PORT TRANSPORT METHOD`.

It sends a moving ball as H.264 over the transport, `tcp` or `udp`, to those who give
the user and the password of `LOGIN` with the method, `basic` or `digest`. It prints a
line when it is ready. With `--check` it ends at once; the exit status is 0 if all that
it needs is installed: for Debian the packages `python3-gi`,
`gir1.2-gst-rtsp-server-1.0`, `gstreamer1.0-plugins-base`, `-good`, `-bad` and `-ugly`.
They belong to the Python of the system, which runs this file without the package.
"""

import sys

LOGIN = ("me", "s3cret-word")
PATH = "/door"
SIZE_WH = (160, 120)
_PIPELINE = (
    "( videotestsrc is-live=true pattern=ball "
    f"! video/x-raw,width={SIZE_WH[0]},height={SIZE_WH[1]},framerate=25/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 "
    "! rtph264pay name=pay0 pt=96 )"
)
_ELEMENTS = ("videotestsrc", "x264enc", "rtph264pay", "rtpbin", "udpsink")
_ROLE = "viewer"


def main(argv: list[str]) -> int:
    """Serve until the process is killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    if argv == ["--check"]:
        return int(not all(map(Gst.ElementFactory.find, _ELEMENTS)))
    port, transport, method = argv
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", _ROLE)
    auth = GstRtspServer.RTSPAuth()
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(*LOGIN, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*LOGIN), token)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        permissions.add_permission_for_role(_ROLE, f"media.factory.{right}", True)
    factory = GstRtspServer.RTSPMediaFactory(shared=True, launch=_PIPELINE)
    factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, transport.upper()))
    factory.set_permissions(permissions)
    server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
    server.set_auth(auth)
    server.get_mount_points().add_factory(PATH, factory)
    if not server.attach(None):
        return 1
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
